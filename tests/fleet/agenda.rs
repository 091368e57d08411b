//! What comes when: a wheel of short slots, since millions of events come and their order within one means nothing.

use std::time::Duration;

/// The width of a slot.
const SLOT: Duration = Duration::from_millis(10);

/// Something that happens to a gateway.
#[derive(Clone, Copy)]
pub(crate) struct Event {
    pub(crate) at: Duration,
    pub(crate) gateway: u32,
    /// Before a restart of the gateway it means nothing any more.
    pub(crate) life: u8,
    pub(crate) what: What,
}

/// What happens.
#[derive(Clone, Copy)]
pub(crate) enum What {
    /// It begins an attempt.
    Tries,
    /// Its request reaches the service.
    Knocks,
    /// An attempt is over before it reached the service.
    Fails,
    /// It is started anew, with what the rejoin file says.
    Restarts,
}

pub(crate) struct Agenda {
    slots: Vec<Vec<Event>>,
    now: usize,
}

impl Agenda {
    pub(crate) fn until(end: Duration) -> Agenda {
        let slots = end.as_millis() / SLOT.as_millis() + 1;
        let slots = usize::try_from(slots).expect("not so many");
        Agenda {
            slots: vec![Vec::new(); slots],
            now: 0,
        }
    }

    /// What would come behind the end is left out; nobody may be missing there.
    pub(crate) fn add(&mut self, event: Event) {
        let slot = usize::try_from(event.at.as_millis() / SLOT.as_millis()).expect("not so late");
        if let Some(slot) = self.slots.get_mut(slot.max(self.now)) {
            slot.push(event);
        }
    }

    pub(crate) fn next(&mut self) -> Option<Event> {
        while self.now < self.slots.len() {
            if let Some(event) = self.slots[self.now].pop() {
                return Some(event);
            }
            self.now += 1;
        }
        None
    }
}
