//! How many refused messages have a line in the log: whoever can publish on the topic could fill it otherwise.

use std::time::{Duration, Instant};

/// Lines within one [`WINDOW`]; those beyond are counted.
const LINES: u32 = 10;

/// After this the lines begin anew.
const WINDOW: Duration = Duration::from_secs(60);

/// The refusals of a window.
#[derive(Debug)]
pub(super) struct Refusals {
    began: Option<Instant>,
    lines: u32,
    untold: u64,
}

/// Whether a refusal has a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// It has.
    Yes,
    /// It has, and is the last for a while.
    Last,
    /// It is counted.
    No,
}

impl Refusals {
    pub(super) fn new() -> Refusals {
        Refusals {
            began: None,
            lines: 0,
            untold: 0,
        }
    }

    /// One more refusal. Ask [`untold`](Self::untold) before.
    pub(super) fn add(&mut self, now: Instant) -> Line {
        self.began.get_or_insert(now);
        if self.lines == LINES {
            self.untold = self.untold.saturating_add(1);
            return Line::No;
        }
        self.lines += 1;
        if self.lines == LINES {
            Line::Last
        } else {
            Line::Yes
        }
    }

    /// How many had no line in a window that is over; none if all had one.
    pub(super) fn untold(&mut self, now: Instant) -> Option<u64> {
        if now.saturating_duration_since(self.began?) < WINDOW {
            return None;
        }
        let untold = self.untold;
        *self = Refusals::new();
        (untold > 0).then_some(untold)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_counted_and_told_once() {
        let start = Instant::now();
        let mut refusals = Refusals::new();
        assert_eq!(refusals.untold(start), None);
        let lines: Vec<Line> = (0..1000).map(|_| refusals.add(start)).collect();
        assert_eq!(lines.iter().filter(|line| **line == Line::Yes).count(), 9);
        assert_eq!(lines[9], Line::Last);
        assert_eq!(refusals.untold(start + WINDOW / 2), None);
        assert_eq!(refusals.untold(start + WINDOW), Some(990));
        assert_eq!(refusals.untold(start + WINDOW), None);
        assert_eq!(refusals.add(start + WINDOW), Line::Yes);
        assert_eq!(refusals.untold(start + 2 * WINDOW), None, "it had its line");
    }
}
