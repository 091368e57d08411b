//! Bytes a second of each stream, from two looks at its counts.

use std::rc::{Rc, Weak};
use std::time::{Duration, Instant};

use crate::ledger::Ledger;
use crate::ledger::stream::StreamEntry;

/// Looks that follow sooner than this tell the rates of the last one: a rate of a moment says nothing.
const LOOK_MIN: Duration = Duration::from_secs(1);

/// The counts of the last look, and the rates that came of it.
#[derive(Default)]
pub(super) struct Rates {
    looked: Option<Instant>,
    counts: Vec<Count>,
}

struct Count {
    /// Weak keeps the memory of a stream that is gone, so that no other one is taken for it; the next look
    /// frees it.
    stream: Weak<StreamEntry>,
    bytes: (u64, u64),
    rates: (u64, u64),
}

impl Rates {
    /// Looks at all streams.
    pub(super) fn look(&mut self, ledger: &Ledger, now: Instant) {
        let passed = self
            .looked
            .map(|looked| now.saturating_duration_since(looked));
        if passed.is_some_and(|passed| passed < LOOK_MIN) {
            return;
        }
        let mut counts = Vec::new();
        for tunnel in ledger.tunnels().iter() {
            for stream in tunnel.streams().iter() {
                let bytes = (stream.tally.down(), stream.tally.up());
                let (before, time) = match (self.count(stream), passed) {
                    (Some(count), Some(passed)) => (count.bytes, passed),
                    (Some(_) | None, _) => ((0, 0), stream.tally.age(now).max(LOOK_MIN)),
                };
                counts.push(Count {
                    stream: Rc::downgrade(stream),
                    bytes,
                    rates: (
                        a_second(bytes.0, before.0, time),
                        a_second(bytes.1, before.1, time),
                    ),
                });
            }
        }
        self.counts = counts;
        self.looked = Some(now);
    }

    /// Bytes a second to the controller and from it, at the last look.
    pub(super) fn of(&self, stream: &Rc<StreamEntry>) -> (u64, u64) {
        self.count(stream).map_or((0, 0), |count| count.rates)
    }

    fn count(&self, stream: &Rc<StreamEntry>) -> Option<&Count> {
        let own = |count: &&Count| std::ptr::eq(count.stream.as_ptr(), Rc::as_ptr(stream));
        self.counts.iter().find(own)
    }
}

fn a_second(bytes: u64, before: u64, time: Duration) -> u64 {
    let millis = u64::try_from(time.as_millis()).unwrap_or(u64::MAX).max(1);
    bytes.saturating_sub(before).saturating_mul(1000) / millis
}
