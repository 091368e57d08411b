//! How many connections a route may have at once; one makes its robot exclusive.
//!
//! Two counts: the connections that an engineer still uses, and the TCP connections to the controller.
//! Who comes when the first is at the limit is refused. Who comes while a predecessor still writes
//! out its last bytes waits for it, so that an exclusive controller never sees two at once.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use crate::limits::ROUTES_MAX;

/// The gates of all routes, by the route's name. A gate outlives a change of the configuration.
#[derive(Default)]
pub struct Gates(RefCell<HashMap<String, Rc<Gate>>>);

impl Gates {
    /// The gate of a route, with the limit it has now.
    pub fn of(&self, route: &str, limit: u16) -> Rc<Gate> {
        let mut gates = self.0.borrow_mut();
        if gates.len() >= ROUTES_MAX && !gates.contains_key(route) {
            // Of routes that the configuration had once, only those with connections matter.
            gates.retain(|_, gate| Rc::strong_count(gate) > 1);
        }
        let gate = gates
            .entry(route.to_owned())
            .or_insert_with(|| Gate::new(limit));
        gate.limit.set(limit);
        Rc::clone(gate)
    }
}

/// The counts of one route, shared by all its connections.
pub struct Gate {
    limit: Cell<u16>,
    in_use: Cell<u16>,
    connected: Cell<u16>,
    waiting: RefCell<Vec<Waker>>,
}

impl Gate {
    /// A gate that lets `limit` connections through.
    pub fn new(limit: u16) -> Rc<Gate> {
        Rc::new(Gate {
            limit: Cell::new(limit),
            in_use: Cell::new(0),
            connected: Cell::new(0),
            waiting: RefCell::default(),
        })
    }

    /// Counts one more user; nothing if the route has its limit of them.
    pub fn admit(self: &Rc<Gate>) -> Option<Admission> {
        if self.in_use.get() >= self.limit.get() {
            return None;
        }
        self.in_use.set(self.in_use.get() + 1);
        Some(Admission(Rc::clone(self)))
    }
}

/// A connection that is in use. Dropped when it is over for the engineer.
pub struct Admission(Rc<Gate>);

impl Admission {
    /// Leave to open a TCP connection, once a predecessor is gone.
    pub fn poll_enter(gate: &Rc<Gate>, cx: &mut Context<'_>) -> Poll<Passage> {
        if gate.connected.get() < gate.limit.get() {
            gate.connected.set(gate.connected.get() + 1);
            return Poll::Ready(Passage(Rc::clone(gate)));
        }
        let mut waiting = gate.waiting.borrow_mut();
        if !waiting.iter().any(|waker| waker.will_wake(cx.waker())) {
            waiting.push(cx.waker().clone());
        }
        Poll::Pending
    }

    /// The gate that admitted.
    pub fn gate(&self) -> &Rc<Gate> {
        &self.0
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        self.0.in_use.set(self.0.in_use.get() - 1);
    }
}

/// A TCP connection to the controller, or the attempt at one. Dropped when its socket is closed.
pub struct Passage(Rc<Gate>);

impl Drop for Passage {
    fn drop(&mut self) {
        self.0.connected.set(self.0.connected.get() - 1);
        for waker in self.0.waiting.take() {
            waker.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_is_refused_and_a_successor_waits_for_the_socket() {
        let gate = Gate::new(1);
        let mut cx = Context::from_waker(Waker::noop());
        let first = gate.admit().expect("free");
        assert!(gate.admit().is_none(), "in use");
        let Poll::Ready(socket) = Admission::poll_enter(first.gate(), &mut cx) else {
            panic!("nobody is connected");
        };
        drop(first);
        let second = gate.admit().expect("the first is over for its engineer");
        assert!(Admission::poll_enter(second.gate(), &mut cx).is_pending());
        drop(socket);
        assert!(Admission::poll_enter(second.gate(), &mut cx).is_ready());
    }
}
