//! How many lines of one kind the log has: whoever sends what is refused, or makes no sense, could fill it otherwise.

use std::time::Instant;

use crate::limits::FLOOD_WINDOW;

/// The lines of a window.
#[derive(Debug)]
pub struct Flood {
    max: u32,
    began: Option<Instant>,
    lines: u32,
    untold: u64,
}

/// Whether something has a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Line {
    /// It has.
    Yes,
    /// It has, and is the last for a while.
    Last,
    /// It is counted.
    No,
}

impl Flood {
    /// With so many lines within one [`FLOOD_WINDOW`]; what comes beyond is counted.
    pub fn new(max: u32) -> Flood {
        Flood {
            max,
            began: None,
            lines: 0,
            untold: 0,
        }
    }

    /// One more. Ask [`untold`](Self::untold) before.
    pub fn add(&mut self, now: Instant) -> Line {
        self.began.get_or_insert(now);
        if self.lines == self.max {
            self.untold = self.untold.saturating_add(1);
            return Line::No;
        }
        self.lines += 1;
        if self.lines == self.max {
            Line::Last
        } else {
            Line::Yes
        }
    }

    /// How many had no line in a window that is over; none if all had one.
    pub fn untold(&mut self, now: Instant) -> Option<u64> {
        if now.saturating_duration_since(self.began?) < FLOOD_WINDOW {
            return None;
        }
        let untold = self.untold;
        *self = Flood::new(self.max);
        (untold > 0).then_some(untold)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::FLOOD_WINDOW as WINDOW;

    #[test]
    fn a_flood_is_counted_and_told_once() {
        let start = Instant::now();
        let mut refusals = Flood::new(10);
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

    #[test]
    fn what_was_left_out_comes_with_the_first_of_the_next_window() {
        let start = Instant::now();
        let mut notes = Flood::new(30);
        let told = (0..1_000).filter(|_| notes.add(start) != Line::No).count();
        assert_eq!(told, 30);
        let later = start + WINDOW;
        assert_eq!(notes.untold(later), Some(1_000 - 30));
        assert_ne!(notes.add(later), Line::No);
        assert_eq!(notes.untold(later), None);
    }
}
