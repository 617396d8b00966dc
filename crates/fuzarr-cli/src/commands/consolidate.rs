//! `fuzarr consolidate`.

use super::Outcome;
use crate::arguments::Consolidate;
use crate::render::count;
use fuzarr::store::AddressOptions;
use fuzarr::{Result, hierarchy};

pub(super) fn run(arguments: &Consolidate, options: &AddressOptions) -> Result<Outcome> {
    let (opened, path) = super::find_opened(&arguments.location, options)?;
    let nodes = hierarchy::consolidate(&*opened.store, &path)?;
    opened.close()?;
    super::print(&format!("{} nodes\n", count(nodes as u128)))?;
    Ok(Outcome::Fine)
}
