//! What went through one connection, for the log: bytes each way, and when.

use std::fmt;
use std::time::Instant;

/// Counts of one connection. *Down* is towards the controller, *up* from it.
pub struct Tally {
    started: Instant,
    /// When a byte last went either way.
    pub last: Instant,
    /// Bytes that the kernel took for the controller.
    pub down: u64,
    /// Bytes read from the controller.
    pub up: u64,
}

impl Tally {
    /// For a connection that the source started `now`.
    pub fn new(now: Instant) -> Tally {
        Tally {
            started: now,
            last: now,
            down: 0,
            up: 0,
        }
    }

    /// The count, with the duration until `now`.
    pub fn told_at(&self, now: Instant) -> Told<'_> {
        Told { tally: self, now }
    }

    /// Milliseconds since the start.
    pub fn millis(&self, now: Instant) -> f64 {
        now.saturating_duration_since(self.started).as_secs_f64() * 1e3
    }
}

/// A [`Tally`] at the end of its connection.
pub struct Told<'a> {
    tally: &'a Tally,
    now: Instant,
}

impl fmt::Display for Told<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.tally.millis(self.now) / 1e3;
        write!(
            f,
            "{} bytes to the controller, {} from it, {seconds:.1} s",
            self.tally.down, self.tally.up
        )
    }
}
