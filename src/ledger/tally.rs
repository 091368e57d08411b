//! What went through one connection: bytes each way, and when.

use std::cell::Cell;
use std::fmt;
use std::time::{Duration, Instant};

/// Counts of one connection. *Down* is towards the controller, *up* from it.
pub struct Tally {
    started: Instant,
    last: Cell<Instant>,
    down: Cell<u64>,
    up: Cell<u64>,
}

impl Tally {
    /// For a connection that the source started `now`.
    pub fn new(now: Instant) -> Tally {
        Tally {
            started: now,
            last: Cell::new(now),
            down: Cell::new(0),
            up: Cell::new(0),
        }
    }

    /// Bytes that the kernel took for the controller.
    pub fn down(&self) -> u64 {
        self.down.get()
    }

    /// Bytes read from the controller.
    pub fn up(&self) -> u64 {
        self.up.get()
    }

    /// When a byte last went either way, or came for the controller.
    pub fn last(&self) -> Instant {
        self.last.get()
    }

    /// A sign of life at `now`.
    pub fn touch(&self, now: Instant) {
        self.last.set(now);
    }

    /// Counts bytes that the kernel took; tells whether they are the first.
    pub(super) fn add_down(&self, bytes: usize, now: Instant) -> bool {
        self.touch(now);
        let before = self.down.get();
        self.down.set(before + bytes as u64);
        before == 0 && bytes > 0
    }

    /// Counts bytes read; tells whether they are the first.
    pub(super) fn add_up(&self, bytes: usize, now: Instant) -> bool {
        self.touch(now);
        let before = self.up.get();
        self.up.set(before + bytes as u64);
        before == 0 && bytes > 0
    }

    /// The time since the start.
    pub fn age(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.started)
    }

    /// The count, with the duration until `now`.
    pub fn told_at(&self, now: Instant) -> Told<'_> {
        Told { tally: self, now }
    }
}

/// A [`Tally`] at the end of its connection.
pub struct Told<'a> {
    tally: &'a Tally,
    now: Instant,
}

impl fmt::Display for Told<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.tally.age(self.now).as_secs_f64();
        write!(
            f,
            "{} bytes to the controller, {} from it, {seconds:.1} s",
            self.tally.down(),
            self.tally.up()
        )
    }
}
