//! The relays of one tunnel: the live ones by their slot, and those that only finish.

use std::task::{Context, Poll, Waker};
use std::time::Instant;

use super::readiness::Readiness;
use crate::limits::{CONNECTIONS_MAX, FINISHING_MAX, OVERFLOWS_MAX};
use crate::protocol::streams::Slot;
use crate::relay::Relay;
use crate::relay::finishing::Finishing;

const _: () = assert!(CONNECTIONS_MAX <= u64::BITS as usize);

/// The TCP connections of one tunnel. They outlive its link: what is queued is written out while the tunnel
/// reconnects.
pub(super) struct Relays {
    live: [Option<(Slot, Relay)>; CONNECTIONS_MAX],
    /// A bit for each place of `live` that is taken.
    taken: u64,
    /// Which of them have something to do: a turn of the loop looks at those alone.
    readiness: Readiness,
    /// No clock of a live one runs out before; it may be that none does then either.
    due: Option<Instant>,
    finishing: Vec<Finishing>,
    /// Bytes that those threw away since the last look.
    thrown_away: usize,
    /// Where the next round begins: behind the connection that sent last, so that none is always the first. Not with
    /// each turn of the loop, of which many find the link full.
    first: u32,
}

impl Relays {
    /// None yet.
    pub(super) fn new() -> Relays {
        Relays {
            live: [const { None }; CONNECTIONS_MAX],
            taken: 0,
            readiness: Readiness::new(),
            due: None,
            finishing: Vec::new(),
            thrown_away: 0,
            first: 0,
        }
    }

    /// A relay for a slot that has none.
    pub(super) fn insert(&mut self, slot: Slot, relay: Relay) {
        self.live[slot.index()] = Some((slot, relay));
        self.taken |= 1 << slot.index();
        self.readiness.mark(slot.index());
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
        if self.taken == 0 {
            // Nobody would set it anew while the link is down.
            self.due = None;
        }
        self.live[slot.index()].take().map(|(_, relay)| relay)
    }

    /// From now on the live relays wake this task.
    pub(super) fn listen(&self, cx: &Context<'_>) {
        self.readiness.listen(cx);
    }

    /// What a live relay is to be polled with: it wakes the task, and leaves a mark that this one is it.
    pub(super) fn waker(&mut self, slot: Slot) -> Waker {
        self.readiness.waker(slot.index())
    }

    /// A live relay has something to do in the next round.
    pub(super) fn mark(&self, slot: Slot) {
        self.readiness.mark(slot.index());
    }

    /// The clock of a live relay runs out: the next round is to be one of all.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.due.is_some_and(|due| now >= due)
    }

    /// A live relay is looked at; whatever marks it from now on is news.
    pub(super) fn look_at(&self, slot: Slot) {
        self.readiness.clear(slot.index());
    }

    /// A live relay was looked at: takes its clocks into account.
    pub(super) fn looked_at(&mut self, slot: Slot) {
        let deadline = self.get(slot).and_then(|relay| relay.next_deadline());
        self.due = self.due.into_iter().chain(deadline).min();
    }

    /// This one has sent; the others are before it now.
    pub(super) fn has_sent(&mut self, slot: Slot) {
        let place = u32::try_from(slot.index()).unwrap_or_default();
        self.first = (place + 1) % u64::BITS;
    }

    /// All live relays were looked at.
    pub(super) fn looked_at_all(&mut self) {
        let relays = self.live.iter().flatten();
        self.due = relays.filter_map(|(_, relay)| relay.next_deadline()).min();
    }

    /// The live connections that have something to do, or all of them, beginning behind the one that sent last: where
    /// the link takes one message and no more, each has its turn.
    pub(super) fn round(&self, all: bool) -> heapless::Vec<Slot, CONNECTIONS_MAX> {
        let mut slots = heapless::Vec::new();
        let first = self.first;
        let marks = if all {
            u64::MAX
        } else {
            self.readiness.marks()
        };
        let mut left = (self.taken & marks).rotate_right(first);
        while left != 0 {
            let place = (left.trailing_zeros() + first) % u64::BITS;
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

    /// When to ask again, if nothing else happens; it may be sooner than it must be.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.due.into_iter().chain(self.next_finishing()).min()
    }
}
