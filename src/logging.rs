//! The log: one line a record, on standard error.

use log::LevelFilter;

/// Starts the log; to be called once.
pub fn start(level: LevelFilter) {
    let _ = env_logger::Builder::new().filter_level(level).try_init();
}
