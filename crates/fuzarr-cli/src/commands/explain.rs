//! `fuzarr explain`.

use super::Outcome;
use crate::arguments::Explain;
use crate::render;
use fuzarr::plan::ReadOptions;
use fuzarr::store::AddressOptions;
use fuzarr::{Result, Selection};

pub(super) fn run(arguments: &Explain, options: &AddressOptions) -> Result<Outcome> {
    let array = super::open(&arguments.location, options)?;
    let selection = Selection::parse(&arguments.selection)?;
    let read = ReadOptions::with_overrides(&arguments.settings.set)?;
    let explanation = if arguments.exact {
        array.explain_exactly(&selection, &read)?
    } else {
        array.explain(&selection, &read)?
    };
    let network = arguments.network.network();
    let forecast = network.map(|network| explanation.over(&network, &read.limits));
    let shown = render::explanation(&explanation, arguments.exact, forecast);
    if arguments.json {
        super::print_json(&shown.json())?;
    } else {
        super::print(&shown.text())?;
    }
    Ok(Outcome::Fine)
}
