//! Hand-over and what people see: `cellgate open`, `close` and `status`, the local socket and the status file, with
//! the real binary at both ends of the socket. The gateway has no `[notify]`: another program brings the
//! notifications, as on a gateway with Greengrass.

#[path = "../stage/client.rs"]
mod client;
#[path = "../stage/mod.rs"]
mod stage;

mod close;
mod gateway;
mod hostile;
mod open;
mod secrets;
mod shown;
mod socket;
mod status;
mod status_file;
mod users;

use std::io::Write as _;

/// The exit code of what was refused, or of no agent. Source: `sysexits.h`, EX_UNAVAILABLE.
const REFUSED: Option<i32> = Some(69);

/// The exit code of wrong arguments or a wrong configuration. Source: `sysexits.h`, EX_CONFIG.
const WRONG: Option<i32> = Some(78);

/// Says past the capture of the test harness what was left out: a skip that nobody sees counts as a pass.
fn skipped(why: &str) {
    let _ = writeln!(std::io::stderr(), "SKIPPED: {why}");
}
