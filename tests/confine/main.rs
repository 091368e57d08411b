//! What the agent gives up: its memory is for nobody else's eyes, and the kernel holds it to its files and ports.

#[path = "../stage/mod.rs"]
mod stage;

mod held;
mod sealed;

use std::io::Write as _;

/// Says past the capture of the test harness what was left out: a skip that nobody sees counts as a pass.
fn skipped(why: &str) {
    let _ = writeln!(std::io::stderr(), "SKIPPED: {why}");
}
