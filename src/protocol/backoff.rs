//! How long to wait before the next attempt to reach the service or the broker.
//!
//! Full jitter: any time between nothing and a cap that doubles up to a last one, so that a fleet whose service was
//! away does not come back in step. What the waits of 100,000 gateways come to is simulated in `tests/fleet` and shown
//! in docs/fleet.md.

use std::time::Duration;

use crate::limits::{
    BACKOFF_FIRST, BACKOFF_FORGET, BACKOFF_MAX, MQTT_BACKOFF_MAX, MQTT_BACKOFF_SPREAD,
    RETRY_AFTER_MAX,
};

/// A connection that held for so long, and then was lost, may be waited for by one part of that.
const SPREAD_PART: u32 = 8;

/// The waits of one tunnel, or those of the connection to the broker.
#[derive(Debug)]
pub struct Backoff {
    /// The first cap after a connection that held for long, at most.
    spread: Duration,
    /// The last cap.
    max: Duration,
    /// The first cap now.
    first: Duration,
    attempts: u32,
}

impl Backoff {
    /// Of a tunnel: somebody works in it, and few gateways of a fleet have one at the same time.
    pub fn tunnel() -> Backoff {
        Backoff::new(BACKOFF_FIRST, BACKOFF_MAX)
    }

    /// Of the connection to the broker, which every gateway of a fleet has.
    pub fn broker() -> Backoff {
        Backoff::new(MQTT_BACKOFF_SPREAD, MQTT_BACKOFF_MAX)
    }

    /// With a first cap that grows up to `spread` the longer a connection held, and with this last cap.
    pub fn new(spread: Duration, max: Duration) -> Backoff {
        Backoff {
            spread,
            max,
            first: BACKOFF_FIRST,
            attempts: 0,
        }
    }

    /// A connection is lost that was up for `held`. One that held starts the waits anew.
    ///
    /// The longer it held, the more of a fleet lost it in the same second, and the less a wait costs: with a spread of
    /// 60 s one that was up for an hour waits up to 60 s, one that was up for a minute up to 7.5 s.
    pub fn lost(&mut self, held: Duration) {
        if held >= BACKOFF_FORGET {
            self.attempts = 0;
            self.first = (held / SPREAD_PART).clamp(BACKOFF_FIRST, self.spread);
        }
    }

    /// The wait before the next attempt. `random` is any number, evenly spread; `least` is what the service asked for,
    /// or what must not be shorter, obeyed up to [`RETRY_AFTER_MAX`].
    ///
    /// The jitter comes on top, and is as wide as `least` itself up to the last cap: whoever was turned away in the
    /// same second would be back in the same second otherwise.
    pub fn next_wait(&mut self, random: u64, least: Option<Duration>) -> Duration {
        let least = least.unwrap_or_default().min(RETRY_AFTER_MAX);
        let cap = self
            .first
            .saturating_mul(1u32.checked_shl(self.attempts).unwrap_or(u32::MAX))
            .max(least)
            .min(self.max);
        self.attempts = (self.attempts + 1).min(31);
        let cap_us = u64::try_from(cap.as_micros()).unwrap_or(u64::MAX - 1);
        least + Duration::from_micros(random % (cap_us + 1))
    }

    /// Attempts since a connection held, at most 31.
    pub fn attempts(&self) -> u32 {
        self.attempts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// The longest waits that may come next, one behind the other.
    fn caps(backoff: &mut Backoff, count: usize) -> Vec<f32> {
        // Whatever the cap, one of many numbers is close below it.
        let longest = |backoff: &mut Backoff| {
            let tries = (0..20_000u64).map(|n| {
                let mut copy = Backoff { ..*backoff };
                copy.next_wait(n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20, None)
            });
            let longest = tries.max().expect("there are some").as_secs_f32();
            backoff.next_wait(0, None);
            (longest * 10.0).round() / 10.0
        };
        (0..count).map(|_| longest(backoff)).collect()
    }

    #[test]
    fn the_cap_of_a_tunnel_doubles_from_half_a_second_to_thirty() {
        let wanted = [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0, 30.0];
        let mut backoff = Backoff::tunnel();
        assert_eq!(caps(&mut backoff, 9), wanted);
        backoff.lost(BACKOFF_FORGET - SECOND);
        assert_eq!(caps(&mut backoff, 1), [30.0], "it did not hold");
        backoff.lost(Duration::from_secs(3600));
        assert_eq!(caps(&mut backoff, 9), wanted);
    }

    #[test]
    fn the_first_cap_of_the_broker_grows_with_the_time_it_was_there() {
        let mut backoff = Backoff::broker();
        assert_eq!(caps(&mut backoff, 3), [0.5, 1.0, 2.0], "never connected");
        backoff.lost(60 * SECOND);
        assert_eq!(caps(&mut backoff, 3), [7.5, 15.0, 30.0]);
        backoff.lost(3600 * SECOND);
        assert_eq!(caps(&mut backoff, 4), [60.0, 120.0, 120.0, 120.0]);
        backoff.lost(SECOND);
        assert_eq!(caps(&mut backoff, 1), [120.0], "it did not hold");
    }

    #[test]
    fn any_wait_lies_between_nothing_and_the_cap() {
        let mut backoff = Backoff::tunnel();
        assert_eq!(backoff.next_wait(0, None), Duration::ZERO);
        for n in 0..100u64 {
            let wait = backoff.next_wait(n.wrapping_mul(0x9e37_79b9_7f4a_7c15), None);
            assert!(wait <= BACKOFF_MAX);
        }
        assert_eq!(backoff.attempts(), 31);
        backoff.lost(BACKOFF_FORGET);
        assert_eq!(backoff.attempts(), 0);
        assert!(backoff.next_wait(u64::MAX, None) <= BACKOFF_FIRST);
    }

    #[test]
    fn retry_after_is_obeyed_within_reason_and_spread() {
        let mut backoff = Backoff::tunnel();
        let seven = 7 * SECOND;
        assert_eq!(backoff.next_wait(0, Some(seven)), seven);
        assert_eq!(backoff.next_wait(0, Some(Duration::MAX)), RETRY_AFTER_MAX);
        let mut backoff = Backoff::tunnel();
        let longest = backoff.next_wait(7_000_000, Some(seven));
        assert_eq!(longest, 2 * seven, "as wide as it is long");
        let longest = backoff.next_wait(30_000_000, Some(60 * SECOND));
        assert_eq!(longest, 90 * SECOND, "and no wider than the last cap");
    }
}
