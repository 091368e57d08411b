//! What the session notes of odd frames, as lines of the log: a service that sends nothing else must not fill the log.

use std::time::Instant;

use crate::limits::{NOTES_MAX, NOTES_PERIOD};

/// Lets so many lines through in a period, and counts the others.
pub(super) struct Notes {
    since: Option<Instant>,
    told: u32,
    withheld: u64,
}

impl Notes {
    /// Nothing was noted yet.
    pub(super) fn new() -> Notes {
        Notes {
            since: None,
            told: 0,
            withheld: 0,
        }
    }

    /// Whether one more is told. With the first of a period comes how many the one before withheld.
    pub(super) fn admit(&mut self, now: Instant) -> Option<u64> {
        let over = self
            .since
            .is_none_or(|since| now.saturating_duration_since(since) >= NOTES_PERIOD);
        if over {
            self.since = Some(now);
            self.told = 0;
        } else if self.told == NOTES_MAX {
            self.withheld += 1;
            return None;
        }
        self.told += 1;
        Some(std::mem::take(&mut self.withheld))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_a_few_lines_and_a_number() {
        let start = Instant::now();
        let mut notes = Notes::new();
        let mut told = 0;
        for _ in 0..1_000 {
            told += u32::from(notes.admit(start).is_some());
        }
        assert_eq!(told, NOTES_MAX);
        let later = start + NOTES_PERIOD;
        assert_eq!(notes.admit(later), Some(1_000 - u64::from(NOTES_MAX)));
        assert_eq!(notes.admit(later), Some(0));
    }
}
