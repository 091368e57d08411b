//! How the connection to the broker stands, for those who show it.

use std::cell::{Cell, RefCell};
use std::time::Instant;

use crate::limits::BOARD_TEXT_MAX;

/// Where the connection stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// The clock is older than this program: no certificate could be checked.
    WaitingForClock,
    /// On the way: name, TCP, TLS, MQTT, subscription.
    Connecting,
    /// Subscribed: a notification would arrive.
    Connected,
    /// It did not work, or it is over; the next attempt comes at this time.
    WaitingToRetry(Instant),
}

/// What the connection to the broker tells of itself. It is written by the connection alone.
#[derive(Debug)]
pub struct Board {
    state: Cell<State>,
    since: Cell<Instant>,
    last_error: RefCell<Option<String>>,
    taken: Cell<u64>,
    refused: Cell<u64>,
    last_notification: Cell<Option<Instant>>,
    session_present: Cell<bool>,
}

impl Board {
    /// Nothing has happened yet.
    pub fn new(now: Instant) -> Board {
        Board {
            state: Cell::new(State::WaitingForClock),
            since: Cell::new(now),
            last_error: RefCell::default(),
            taken: Cell::default(),
            refused: Cell::default(),
            last_notification: Cell::default(),
            session_present: Cell::default(),
        }
    }

    /// Where it stands.
    pub fn state(&self) -> State {
        self.state.get()
    }

    /// Since when it stands there.
    pub fn since(&self) -> Instant {
        self.since.get()
    }

    /// Why the last attempt or connection came to its end, in at most [`BOARD_TEXT_MAX`] bytes; it stays when
    /// a later one works.
    pub fn last_error(&self) -> Option<String> {
        self.last_error.borrow().clone()
    }

    /// Notifications that were passed on.
    pub fn taken(&self) -> u64 {
        self.taken.get()
    }

    /// Messages that were no notification for us, and notifications for which there was no room.
    pub fn refused(&self) -> u64 {
        self.refused.get()
    }

    /// When the last notification was passed on.
    pub fn last_notification(&self) -> Option<Instant> {
        self.last_notification.get()
    }

    /// Whether the broker still knew us at the last login: what it was told while we were away arrives.
    pub fn session_present(&self) -> bool {
        self.session_present.get()
    }

    pub(super) fn enter(&self, state: State, now: Instant) {
        self.state.set(state);
        self.since.set(now);
    }

    pub(super) fn set_error(&self, error: &str) {
        let mut end = error.len().min(BOARD_TEXT_MAX);
        while !error.is_char_boundary(end) {
            end -= 1;
        }
        *self.last_error.borrow_mut() = Some(error[..end].to_owned());
    }

    pub(super) fn set_session_present(&self, present: bool) {
        self.session_present.set(present);
    }

    pub(super) fn count_taken(&self, now: Instant) {
        self.taken.set(self.taken.get().saturating_add(1));
        self.last_notification.set(Some(now));
    }

    pub(super) fn count_refused(&self) {
        self.refused.set(self.refused.get().saturating_add(1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_cut_between_characters() {
        let board = Board::new(Instant::now());
        board.set_error(&"ä".repeat(BOARD_TEXT_MAX));
        let kept = board.last_error().expect("one");
        assert!(kept.len() <= BOARD_TEXT_MAX && kept.len() + 2 > BOARD_TEXT_MAX);
        board.set_error("short");
        assert_eq!(board.last_error().as_deref(), Some("short"));
    }
}
