//! The exit codes, as `sysexits.h` numbers them; the service unit decides by them whether to restart.

/// Stopped in order.
pub const STOPPED: u8 = 0;

/// `cellgate check` found something that is not well.
pub const NOT_WELL: u8 = 1;

/// The service refused the access token: a restart with the same token is of no use (EX_UNAVAILABLE). Of `open`,
/// `close` and `status`: the agent refused, or none runs.
pub const REFUSED: u8 = 69;

/// One of the agent's loops hangs: a bug of ours, and a restart helps (EX_SOFTWARE).
pub const HUNG: u8 = 70;

/// The system lacks what the agent cannot do without (EX_OSERR).
pub const SYSTEM: u8 = 71;

/// The configuration or the command line is wrong: a restart changes nothing (EX_CONFIG).
pub const CONFIG: u8 = 78;
