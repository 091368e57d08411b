//! The stall clock: does the controller still take bytes?
//!
//! What counts is what the controller's own TCP acknowledged, not what our kernel accepted: the kernel
//! takes a hundred kilobytes for a controller that is long gone, and then refuses for many seconds while
//! a slow one takes byte after byte. The clock runs only while bytes wait here, which is when a controller
//! that stands still could hold others up; what fits into the kernel is left to the kernel's own limit. It asks
//! the kernel only when it is due, so a healthy connection costs nothing.

use std::time::{Duration, Instant};

/// Parts of the stall time after which the kernel is asked again; a stall is found at most that much late.
const CHECKS: u32 = 8;

/// The longest time between two questions: a stall time of an hour must not make the end of a connection slow.
const CHECK_MAX: Duration = Duration::from_secs(2);

/// The clock of one connection.
pub struct Stall {
    limit: Duration,
    /// Bytes given to the kernel, counted as the kernel counts acknowledged ones.
    written: u64,
    acknowledged: u64,
    /// `written`, when the kernel was asked last.
    seen: u64,
    /// Since when bytes wait and none was acknowledged, as far as is known.
    since: Option<Instant>,
    check: Instant,
}

impl Stall {
    /// For a connection of which `acknowledged` is what the kernel counts before the first byte.
    pub fn new(limit: Duration, acknowledged: u64, now: Instant) -> Stall {
        Stall {
            limit,
            written: acknowledged,
            acknowledged,
            seen: acknowledged,
            since: None,
            check: now,
        }
    }

    /// So many bytes were given to the kernel.
    pub fn handle_written(&mut self, count: usize) {
        self.written += count as u64;
    }

    /// Bytes given to the kernel, counted as the kernel counts acknowledged ones.
    pub fn written(&self) -> u64 {
        self.written
    }

    /// Whether bytes wait for the controller.
    pub fn set_waiting(&mut self, waiting: bool, now: Instant) {
        match (self.since, waiting) {
            (None, true) => {
                self.since = Some(now);
                self.seen = self.written;
                self.check = now + self.interval();
            }
            (Some(_), false) => self.since = None,
            (None, false) | (Some(_), true) => {}
        }
    }

    /// Whether the controller acknowledged all that was written, as far as is known.
    pub fn is_taken(&self) -> bool {
        self.acknowledged >= self.written
    }

    /// When to ask the kernel; never while nothing waits.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.since.map(|_| self.check)
    }

    /// What the kernel says. Tells for how long the controller took nothing, if that is the limit or more.
    pub fn handle_acknowledged(&mut self, acknowledged: u64, now: Instant) -> Option<Duration> {
        // The kernel takes more only when some was acknowledged; a kernel that does not count shows it like this.
        let progress = acknowledged > self.acknowledged || self.written > self.seen;
        self.acknowledged = self.acknowledged.max(acknowledged);
        self.seen = self.written;
        let since = self.since?;
        self.check = now + self.interval();
        // A controller that took all it was given does not stand still: the route's pace makes the rest wait.
        if progress || self.is_taken() {
            self.since = Some(now);
            return None;
        }
        let waited = now.saturating_duration_since(since);
        (waited >= self.limit).then_some(waited)
    }

    fn interval(&self) -> Duration {
        (self.limit / CHECKS).min(CHECK_MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(10);
    const SECOND: Duration = Duration::from_secs(1);

    /// Drives the clock as the shell does, with bytes that always wait; `taken` tells what the kernel counts at a
    /// time.
    fn stalled_at(taken: impl Fn(u64) -> u64, write: usize) -> Option<u64> {
        let start = Instant::now();
        let mut stall = Stall::new(LIMIT, 1, start);
        stall.handle_written(write);
        stall.set_waiting(true, start);
        for second in 0..300 {
            let now = start + SECOND * second;
            while stall.next_deadline().is_some_and(|due| due <= now) {
                if stall
                    .handle_acknowledged(taken(u64::from(second)), now)
                    .is_some()
                {
                    return Some(u64::from(second));
                }
            }
        }
        None
    }

    #[test]
    fn a_controller_that_takes_nothing_is_found_after_the_limit() {
        let at = stalled_at(|_| 1, 100).expect("stalled");
        assert!((10..=12).contains(&at), "found after {at} s");
    }

    #[test]
    fn one_that_takes_a_byte_now_and_then_is_never_cut() {
        assert_eq!(stalled_at(|second| 1 + second / 7, 1000), None);
    }

    #[test]
    fn one_that_took_all_it_was_given_is_only_paced() {
        assert_eq!(stalled_at(|_| 1001, 1000), None);
    }

    #[test]
    fn nothing_that_waits_no_clock() {
        let start = Instant::now();
        let mut stall = Stall::new(LIMIT, 1, start);
        stall.handle_written(500);
        assert_eq!(stall.next_deadline(), None, "the kernel has it all");
        stall.set_waiting(true, start);
        assert!(stall.next_deadline().is_some());
        stall.set_waiting(false, start + SECOND);
        assert_eq!(stall.next_deadline(), None);
        // The time in which nothing waited does not count.
        stall.set_waiting(true, start + SECOND * 1000);
        assert_eq!(stall.handle_acknowledged(1, start + SECOND * 1002), None);
        assert!(!stall.is_taken());
        stall.handle_acknowledged(501, start + SECOND * 1003);
        assert!(stall.is_taken());
    }
}
