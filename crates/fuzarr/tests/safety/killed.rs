//! The process is killed at every point at which it changes something.

use std::os::unix::process::ExitStatusExt;
use std::path::Path;

use fuzarr::store::faults::{self, Action};
use fuzarr::store::{LocalOptions, LocalStore};

use crate::scenario::{Place, SCENARIOS, state};
use crate::{helper, turn};

#[test]
fn killed_at_each_point_every_object_is_old_or_new() {
    let _turn = turn();
    let mut deaths = 0;
    for (index, scenario) in SCENARIOS.into_iter().enumerate() {
        for (fsync, when) in [(false, "after"), (true, "before"), (true, "after")] {
            let options = LocalOptions { fsync, ..LocalOptions::default() };
            for nth in 0.. {
                let place = Place::new(scenario, options);
                let orders = [
                    "die",
                    place.path().to_str().unwrap(),
                    &index.to_string(),
                    &fsync.to_string(),
                    when,
                    &nth.to_string(),
                ];
                let output = helper(&orders).output().unwrap();
                let text = format!("{scenario:?}, killed {when} call {nth}");
                scenario.assert_old_or_new(&state(&place.store()), &text);
                if output.status.success() {
                    assert_eq!(state(&place.store()), scenario.states().1, "{text}");
                    break;
                }
                assert_eq!(output.status.signal(), Some(9), "{text}: {output:?}");
                deaths += 1;
                place.assert_clean(&text);
            }
        }
    }
    assert!(deaths > 150, "{deaths}");
}

/// The helper: runs a scenario and dies at a call.
pub(crate) fn die(orders: &[&str]) {
    let &[folder, scenario, fsync, when, nth] = orders else { panic!("{orders:?}") };
    let options = LocalOptions { fsync: fsync == "true", ..LocalOptions::default() };
    let store = LocalStore::open_with(Path::new(folder), options).unwrap();
    let nth: usize = nth.parse().unwrap();
    let action = if when == "before" { Action::KillBefore } else { Action::KillAfter };
    faults::install(move |at, _| if at == nth { action } else { Action::Pass });
    SCENARIOS[scenario.parse::<usize>().unwrap()].run(&store).unwrap();
}
