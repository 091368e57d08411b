//! The relays of one tunnel: the live ones by their slot, and those that only finish.

use std::task::{Context, Poll};
use std::time::Instant;

use crate::limits::{CONNECTIONS_MAX, FINISHING_MAX, OVERFLOWS_MAX};
use crate::protocol::streams::Slot;
use crate::relay::Relay;
use crate::relay::finishing::Finishing;

const _: () = assert!(CONNECTIONS_MAX <= u64::BITS as usize);

/// The TCP connections of one tunnel. They outlive its link: what is queued is written out while the tunnel
/// reconnects.
pub(super) struct Relays {
    live: [Option<(Slot, Relay)>; CONNECTIONS_MAX],
    /// A bit for each place of `live` that is taken: a turn of the loop looks at those alone.
    taken: u64,
    finishing: Vec<Finishing>,
    /// Bytes that those threw away since the last look.
    thrown_away: usize,
    /// Where the next round begins, so that no connection is always the first.
    first: u32,
}

impl Relays {
    /// None yet.
    pub(super) fn new() -> Relays {
        Relays {
            live: [const { None }; CONNECTIONS_MAX],
            taken: 0,
            finishing: Vec::new(),
            thrown_away: 0,
            first: 0,
        }
    }

    /// A relay for a slot that has none.
    pub(super) fn insert(&mut self, slot: Slot, relay: Relay) {
        self.live[slot.index()] = Some((slot, relay));
        self.taken |= 1 << slot.index();
    }

    /// The live relay of a slot.
    pub(super) fn get(&mut self, slot: Slot) -> Option<&mut Relay> {
        match &mut self.live[slot.index()] {
            Some((owner, relay)) if *owner == slot => Some(relay),
            Some(_) | None => None,
        }
    }

    /// Takes the live relay of a slot away.
    pub(super) fn take(&mut self, slot: Slot) -> Option<Relay> {
        self.get(slot)?;
        self.taken &= !(1 << slot.index());
        self.live[slot.index()].take().map(|(_, relay)| relay)
    }

    /// The live connections, beginning with another one each time.
    pub(super) fn round(&mut self) -> heapless::Vec<Slot, CONNECTIONS_MAX> {
        let mut slots = heapless::Vec::new();
        let first = self.first;
        let mut left = self.taken.rotate_right(first);
        while left != 0 {
            let place = (left.trailing_zeros() + first) % u64::BITS;
            if slots.is_empty() {
                self.first = (place + 1) % u64::BITS;
            }
            left &= left - 1;
            if let Some((slot, _)) = &self.live[place as usize] {
                // There are no more places than the list has.
                let _ = slots.push(*slot);
            }
        }
        slots
    }

    /// Whether one connection more may hold on to the last message of a lost link.
    pub(super) fn may_overflow(&self) -> bool {
        let live = self
            .live
            .iter()
            .flatten()
            .filter(|(_, relay)| relay.overflows());
        let finishing = self.finishing.iter().filter(|relay| relay.overflows());
        live.count() + finishing.count() < OVERFLOWS_MAX
    }

    /// Ends a relay in order: what is queued is written out, then FIN.
    pub(super) fn finish(&mut self, slot: Slot, why: &str, now: Instant) {
        let Some(finishing) = self.take(slot).and_then(|relay| relay.finish(why, now)) else {
            return;
        };
        if self.finishing.len() == FINISHING_MAX {
            // Rather one whose controller has everything and only does not close.
            let victim = self.finishing.iter().position(Finishing::is_lingering);
            self.finishing.remove(victim.unwrap_or(0)).cut();
        }
        self.finishing.push(finishing);
    }

    /// Goes on with those that finish; ready when there are none.
    pub(super) fn poll_finishing(&mut self, now: Instant, cx: &mut Context<'_>) -> Poll<()> {
        let thrown_away = &mut self.thrown_away;
        self.finishing.retain_mut(|finishing| {
            let polled = finishing.poll(now, cx);
            *thrown_away += finishing.take_thrown_away();
            polled.is_pending()
        });
        if self.finishing.is_empty() {
            // Gives the list's memory back as well.
            self.finishing = Vec::new();
            return Poll::Ready(());
        }
        Poll::Pending
    }

    /// Bytes that those that finish threw away since the last time.
    pub(super) fn take_thrown_away(&mut self) -> usize {
        std::mem::take(&mut self.thrown_away)
    }

    /// When to ask those again that finish, if nothing else happens.
    pub(super) fn next_finishing(&self) -> Option<Instant> {
        self.finishing.iter().map(Finishing::next_deadline).min()
    }

    /// When to ask again, if nothing else happens.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        let places = (0..CONNECTIONS_MAX).filter(|place| self.taken & (1 << place) != 0);
        places
            .filter_map(|place| self.live[place].as_ref())
            .filter_map(|(_, relay)| relay.next_deadline())
            .chain(self.next_finishing())
            .min()
    }
}
