//! How far a transfer is.

use std::time::{Duration, Instant};

/// The state of a LOAD or SAVE.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    /// The bytes of the program that have gone over.
    pub bytes: usize,
    /// How many there are, where it is known: at LOAD.
    pub total: Option<usize>,
    /// The blocks that have gone over.
    pub blocks: usize,
    /// How often one side had to wait for the other. It is this that makes an upload slow on a long way.
    pub round_trips: usize,
    since: Instant,
}

impl Progress {
    pub(super) fn new(total: Option<usize>, since: Instant) -> Self {
        Self {
            bytes: 0,
            total,
            blocks: 0,
            round_trips: 0,
            since,
        }
    }

    /// The time since the command was sent.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.since.elapsed()
    }
}
