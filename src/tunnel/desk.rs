//! What the agent wants of a tunnel while it runs.
//!
//! It is a state and no queue: the newest word counts, none is ever dropped for want of room, and a tunnel that
//! is busy finds it when it looks.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use crate::config::Routes;

/// Why the agent ends a tunnel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// The agent itself ends.
    AgentStops,
    /// Somebody at the gateway closed it (`cellgate close`).
    Closed,
    /// It is as old as a tunnel can become.
    Lifetime,
    /// A newer tunnel needs its place.
    Replaced,
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Why::AgentStops => "the agent stops",
            Why::Closed => "closed at the gateway by `cellgate close`",
            Why::Lifetime => "its lifetime is over: AWS keeps no tunnel for longer",
            Why::Replaced => "a newer tunnel took its place",
        })
    }
}

/// What a tunnel must interrupt its work for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Interrupt {
    /// It is to end.
    Stop(Why),
    /// The cell lets nobody in.
    NoAccess,
}

/// The agent's word to one tunnel.
pub struct Desk {
    stop: Cell<Option<Why>>,
    access: Cell<bool>,
    routes: RefCell<Option<Routes>>,
    waker: RefCell<Option<Waker>>,
}

impl Desk {
    /// For a tunnel that starts while the cell lets people in, or does not.
    pub fn new(access: bool) -> Rc<Desk> {
        Rc::new(Desk {
            stop: Cell::new(None),
            access: Cell::new(access),
            routes: RefCell::default(),
            waker: RefCell::default(),
        })
    }

    /// End in order: resets to the source, FIN to the controllers, WebSocket close. Only the first reason
    /// counts.
    pub fn stop(&self, why: Why) {
        self.stop.set(self.stop.get().or(Some(why)));
        self.wake();
    }

    /// Whether it was told to end.
    pub fn is_stopped(&self) -> bool {
        self.stop.get().is_some()
    }

    /// The cell lets people in, or does so no more: then live streams end in order, and the tunnel waits.
    pub fn set_access(&self, access: bool) {
        self.access.set(access);
        self.wake();
    }

    /// The owner changed the routes. Live connections to a route that stays are kept.
    pub fn replace_routes(&self, routes: Routes) {
        self.routes.replace(Some(routes));
        self.wake();
    }

    /// What interrupts the tunnel now; pending if nothing does.
    pub(super) fn poll_interrupt(&self, cx: &mut Context<'_>) -> Poll<Interrupt> {
        if let Some(why) = self.stop.get() {
            return Poll::Ready(Interrupt::Stop(why));
        }
        if !self.access.get() {
            return Poll::Ready(Interrupt::NoAccess);
        }
        self.register(cx);
        Poll::Pending
    }

    /// Ready when the cell lets people in.
    pub(super) fn poll_access(&self, cx: &mut Context<'_>) -> Poll<()> {
        if self.access.get() {
            return Poll::Ready(());
        }
        self.register(cx);
        Poll::Pending
    }

    /// Why it is to end, if it is.
    pub(super) fn poll_stop(&self, cx: &mut Context<'_>) -> Poll<Why> {
        if let Some(why) = self.stop.get() {
            return Poll::Ready(why);
        }
        self.register(cx);
        Poll::Pending
    }

    /// The owner's new routes, once.
    pub(super) fn take_routes(&self) -> Option<Routes> {
        // Asked in every turn of the loop: a look is cheaper than a write.
        self.routes.borrow().as_ref()?;
        self.routes.take()
    }

    fn register(&self, cx: &Context<'_>) {
        let mut waker = self.waker.borrow_mut();
        if !waker
            .as_ref()
            .is_some_and(|waker| waker.will_wake(cx.waker()))
        {
            *waker = Some(cx.waker().clone());
        }
    }

    fn wake(&self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stop_goes_before_access_and_keeps_its_first_reason() {
        let desk = Desk::new(true);
        let mut cx = Context::from_waker(Waker::noop());
        assert!(desk.poll_interrupt(&mut cx).is_pending());
        desk.set_access(false);
        assert_eq!(
            desk.poll_interrupt(&mut cx),
            Poll::Ready(Interrupt::NoAccess)
        );
        assert!(desk.poll_access(&mut cx).is_pending());
        desk.stop(Why::Closed);
        desk.stop(Why::AgentStops);
        desk.set_access(true);
        assert!(desk.poll_access(&mut cx).is_ready());
        assert_eq!(
            desk.poll_interrupt(&mut cx),
            Poll::Ready(Interrupt::Stop(Why::Closed))
        );
    }
}
