//! The stall clock: does the controller still take bytes?
//!
//! What counts is what the controller's own TCP acknowledged, not what our kernel accepted: the kernel
//! takes a hundred kilobytes for a controller that is long gone, and then refuses for many seconds while
//! a slow one takes byte after byte. The clock asks the kernel only when it is due, so a healthy
//! connection costs nothing.

use std::time::{Duration, Instant};

/// Parts of the stall time after which the kernel is asked again; a stall is found at most that much late.
const CHECKS: u32 = 8;

/// The clock of one connection.
pub struct Stall {
    limit: Duration,
    /// Bytes given to the kernel, counted as the kernel counts acknowledged ones.
    written: u64,
    acknowledged: u64,
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
            since: None,
            check: now,
        }
    }

    /// So many bytes were given to the kernel.
    pub fn handle_written(&mut self, count: usize, now: Instant) {
        self.written += count as u64;
        if self.since.is_none() {
            self.since = Some(now);
            self.check = now + self.limit / CHECKS;
        }
    }

    /// When to ask the kernel; never while nothing waits.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.since.map(|_| self.check)
    }

    /// What the kernel says. Tells for how long the controller took nothing, if that is the limit or more.
    pub fn handle_acknowledged(&mut self, acknowledged: u64, now: Instant) -> Option<Duration> {
        if acknowledged > self.acknowledged {
            self.acknowledged = acknowledged;
            self.since = Some(now);
        }
        if self.acknowledged >= self.written {
            self.since = None;
            return None;
        }
        self.check = now + self.limit / CHECKS;
        let waited = now.saturating_duration_since(self.since?);
        (waited >= self.limit).then_some(waited)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(10);
    const SECOND: Duration = Duration::from_secs(1);

    /// Drives the clock as the shell does; `taken` tells what the kernel counts at a time.
    fn stalled_at(taken: impl Fn(u64) -> u64, write: usize) -> Option<u64> {
        let start = Instant::now();
        let mut stall = Stall::new(LIMIT, 1, start);
        stall.handle_written(write, start);
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
    fn one_that_took_all_has_no_clock() {
        let start = Instant::now();
        let mut stall = Stall::new(LIMIT, 1, start);
        assert_eq!(stall.next_deadline(), None);
        stall.handle_written(500, start);
        assert!(stall.next_deadline().is_some());
        assert_eq!(stall.handle_acknowledged(501, start + SECOND * 2), None);
        assert_eq!(stall.next_deadline(), None);
        // Long idle time is no stall.
        stall.handle_written(1, start + SECOND * 1000);
        assert_eq!(stall.handle_acknowledged(501, start + SECOND * 1002), None);
    }
}
