//! How long to wait before the next attempt to reach the service.
//!
//! Full jitter: any time between nothing and a cap that doubles from [`BACKOFF_FIRST`] to
//! [`BACKOFF_MAX`], so that a fleet whose service was away does not come back in step.

use std::time::Duration;

use crate::limits::{BACKOFF_FIRST, BACKOFF_MAX, RETRY_AFTER_MAX};

/// The waits of one tunnel.
#[derive(Default, Debug)]
pub struct Backoff {
    attempts: u32,
}

impl Backoff {
    /// The wait before the next attempt. `random` is any number, evenly spread; `retry_after` is what
    /// the service asked for, obeyed up to [`RETRY_AFTER_MAX`] and with the jitter on top.
    pub fn next_wait(&mut self, random: u64, retry_after: Option<Duration>) -> Duration {
        let cap = BACKOFF_FIRST
            .saturating_mul(1u32.checked_shl(self.attempts).unwrap_or(u32::MAX))
            .min(BACKOFF_MAX);
        self.attempts = (self.attempts + 1).min(31);
        let cap_us = u64::try_from(cap.as_micros()).unwrap_or(u64::MAX - 1);
        let jitter = Duration::from_micros(random % (cap_us + 1));
        jitter + retry_after.unwrap_or_default().min(RETRY_AFTER_MAX)
    }

    /// Attempts since the last [`forget`](Self::forget), at most 31.
    pub fn attempts(&self) -> u32 {
        self.attempts
    }

    /// The link held: the next wait is a short one again.
    pub fn forget(&mut self) {
        self.attempts = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cap_doubles_from_half_a_second_to_thirty() {
        // A number whose remainder is the cap itself, for each cap in its turn.
        let longest = |attempt: usize| {
            let mut backoff = Backoff::default();
            let mut wait = Duration::ZERO;
            for n in 0..=attempt {
                let cap_us = (500_000u64 << n.min(10)).min(30_000_000);
                wait = backoff.next_wait(cap_us, None);
            }
            wait
        };
        let seconds: Vec<f32> = (0..9).map(|n| longest(n).as_secs_f32()).collect();
        assert_eq!(seconds, [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0, 30.0]);
    }

    #[test]
    fn any_wait_lies_between_nothing_and_the_cap() {
        let mut backoff = Backoff::default();
        assert_eq!(backoff.next_wait(0, None), Duration::ZERO);
        for n in 0..100u64 {
            let wait = backoff.next_wait(n.wrapping_mul(0x9e37_79b9_7f4a_7c15), None);
            assert!(wait <= BACKOFF_MAX);
        }
        backoff.forget();
        assert!(backoff.next_wait(u64::MAX, None) <= BACKOFF_FIRST);
    }

    #[test]
    fn retry_after_is_obeyed_within_reason() {
        let mut backoff = Backoff::default();
        assert_eq!(
            backoff.next_wait(0, Some(Duration::from_secs(7))),
            Duration::from_secs(7)
        );
        assert_eq!(backoff.next_wait(0, Some(Duration::MAX)), RETRY_AFTER_MAX);
    }
}
