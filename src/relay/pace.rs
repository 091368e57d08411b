//! A route's pace: so many bytes a second towards the controller, because some drop what comes too fast.

use std::num::NonZeroU32;
use std::time::{Duration, Instant};

/// The largest part of a second that may go out at once. Bytes are let through smoothly: a controller that
/// drops characters drops them in bursts.
const BURST: Duration = Duration::from_millis(20);

/// Tells how many bytes may be written, and when the next may.
pub struct Pace {
    bytes_per_second: f64,
    burst: f64,
    allowance: f64,
    counted: Instant,
}

impl Pace {
    /// A pace that lets the first burst through at once.
    pub fn new(bytes_per_second: NonZeroU32, now: Instant) -> Pace {
        let bytes_per_second = f64::from(bytes_per_second.get());
        let burst = (bytes_per_second * BURST.as_secs_f64()).max(1.0);
        Pace {
            bytes_per_second,
            burst,
            allowance: burst,
            counted: now,
        }
    }

    /// Bytes that may be written `now`, of `wanted` ones. Nothing rather than a few of many: each write is a system
    /// call and a segment, so half a burst is waited for.
    pub fn allowed(&mut self, wanted: usize, now: Instant) -> usize {
        let passed = now.saturating_duration_since(self.counted).as_secs_f64();
        self.counted = now;
        self.allowance = (self.allowance + passed * self.bytes_per_second).min(self.burst);
        if self.allowance < (self.burst / 2.0).min(wanted as f64) {
            return 0;
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "the allowance is positive and at most a fiftieth of a u32"
        )]
        let whole = self.allowance.max(0.0) as usize;
        whole.min(wanted)
    }

    /// So many bytes were written.
    pub fn handle_written(&mut self, count: usize) {
        self.allowance -= count as f64;
    }

    /// When a burst, or the one byte of a very slow pace, may be written again. Nothing if it may be now: then it
    /// is the controller that makes the bytes wait, and no clock helps.
    pub fn next_time(&self) -> Option<Instant> {
        let missing = self.burst - self.allowance;
        let time = Duration::from_secs_f64(missing.max(0.0) / self.bytes_per_second);
        (missing > 0.0).then(|| self.counted + time)
    }

    /// How long so many bytes take.
    pub fn time_for(&self, count: usize) -> Duration {
        Duration::from_secs_f64(count as f64 / self.bytes_per_second)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_lets_its_bytes_through_and_no_more() {
        for rate in [1u32, 7, 300, 4000, 1_000_000] {
            let start = Instant::now();
            let mut pace = Pace::new(NonZeroU32::new(rate).expect("not 0"), start);
            let (mut now, mut written) = (start, 0usize);
            while now < start + Duration::from_secs(10) {
                let count = pace.allowed(usize::MAX, now);
                pace.handle_written(count);
                written += count;
                let next = pace.next_time().expect("a burst was just written");
                now = next.max(now + Duration::from_micros(1));
            }
            let (least, most) = (
                rate as usize * 10 * 97 / 100,
                rate as usize * 10 + rate as usize / 50 + 1,
            );
            assert!(
                (least..=most).contains(&written),
                "{rate} B/s let {written} through in 10 s"
            );
        }
    }

    #[test]
    fn many_bytes_go_in_bursts_and_few_at_once() {
        let start = Instant::now();
        let mut pace = Pace::new(NonZeroU32::new(100_000).expect("not 0"), start);
        assert_eq!(pace.allowed(5_000, start), 2_000, "a burst of 20 ms");
        pace.handle_written(2_000);
        let soon = start + Duration::from_millis(1);
        assert_eq!(
            pace.allowed(3_000, soon),
            0,
            "not a hundred of three thousand"
        );
        assert_eq!(pace.allowed(10, soon), 10, "but all of ten");
        let later = start + Duration::from_millis(11);
        assert!(pace.allowed(3_000, later) >= 1_000);
    }
}
