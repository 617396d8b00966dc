//! `fuzarr consolidate`.

use super::Outcome;
use crate::arguments::Consolidate;
use crate::render::count;
use fuzarr::{Result, hierarchy};

pub(super) fn run(arguments: &Consolidate) -> Result<Outcome> {
    let (store, path) = super::find(&arguments.location)?;
    let nodes = hierarchy::consolidate(&*store, &path)?;
    super::print(&format!("{} nodes\n", count(nodes as u128)))?;
    Ok(Outcome::Fine)
}
