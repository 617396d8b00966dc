//! `fuzarr explain`.

use super::Outcome;
use crate::arguments::Explain;
use crate::render;
use fuzarr::plan::ReadOptions;
use fuzarr::{Result, Selection};

pub(super) fn run(arguments: &Explain) -> Result<Outcome> {
    let array = super::open(&arguments.location)?;
    let selection = Selection::parse(&arguments.selection)?;
    let options = ReadOptions::with_overrides(&arguments.settings.set)?;
    let explanation = if arguments.exact {
        array.explain_exactly(&selection, &options)?
    } else {
        array.explain(&selection, &options)?
    };
    let network = arguments.network.network();
    let forecast = network.map(|network| explanation.over(&network, &options.limits));
    let shown = render::explanation(&explanation, arguments.exact, forecast);
    if arguments.json {
        super::print_json(&shown.json())?;
    } else {
        super::print(&shown.text())?;
    }
    Ok(Outcome::Fine)
}
