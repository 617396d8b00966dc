//! What is stored survives: failing calls, a full disk, death at any moment, a power cut. And what
//! that costs in system calls.
//!
//! Fault points are of the whole process, so the tests take turns. The helper process is this
//! binary again, told by the environment what to do.

#![allow(
    clippy::cast_possible_truncation,
    clippy::disallowed_methods,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test may panic, and runs itself with its orders in the environment"
)]

mod calls;
mod disk;
mod durable;
mod failing;
mod full;
mod killed;
mod scenario;

use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Names the helper's orders.
const ORDERS: &str = "FUZARR_SAFETY_ORDERS";

static TURN: Mutex<()> = Mutex::new(());

/// Waits for this test's turn.
fn turn() -> MutexGuard<'static, ()> {
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// This binary as a helper with orders.
fn helper(orders: &[&str]) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["helper_process", "--exact", "--quiet", "--test-threads=1"]);
    command.env(ORDERS, orders.join("\n"));
    command
}

/// Does what the orders say; in the tests' own process there are none.
#[test]
fn helper_process() {
    let Ok(orders) = std::env::var(ORDERS) else { return };
    let orders: Vec<&str> = orders.split('\n').collect();
    match orders[0] {
        "die" => killed::die(&orders[1..]),
        "fill" => full::fill(orders[1]),
        other => panic!("no such order: {other}"),
    }
}
