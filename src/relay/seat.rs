//! The sockets to controllers: how many there are at once, and how much the kernel may hold for each.
//!
//! What waits in the kernel is no memory of the process, but it is the gateway's, and a cgroup counts it. So every socket
//! takes a seat first, whatever its tunnel: the first [`WIDE_MAX`] of them have room for bulk, all others for as much as
//! a robot and an engineer say to each other. The sum stands in [`crate::limits`].

use std::cell::{Cell, RefCell};
use std::io;
use std::os::fd::AsFd;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use crate::limits::{
    NARROW_PIECE, NARROW_RECEIVED, NARROW_SENT, SEATS_MAX, WIDE_MAX, WIDE_PIECE, WIDE_RECEIVED,
    WIDE_SENT,
};
use crate::socket;

/// The seats of the whole gateway.
pub struct Seats {
    free: Cell<usize>,
    wide: Cell<usize>,
    waiting: RefCell<Vec<Waker>>,
}

impl Seats {
    /// All of them free.
    pub fn new() -> Rc<Seats> {
        Rc::new(Seats {
            free: Cell::new(SEATS_MAX),
            wide: Cell::new(WIDE_MAX),
            waiting: RefCell::default(),
        })
    }

    /// The next seat, a wide one while there is one; once somebody gives his back, if all are taken.
    pub fn poll_take(self: &Rc<Seats>, cx: &mut Context<'_>) -> Poll<Seat> {
        let Some(left) = self.free.get().checked_sub(1) else {
            let mut waiting = self.waiting.borrow_mut();
            if !waiting.iter().any(|waker| waker.will_wake(cx.waker())) {
                waiting.push(cx.waker().clone());
            }
            return Poll::Pending;
        };
        self.free.set(left);
        let width = match self.wide.get().checked_sub(1) {
            Some(wide) => {
                self.wide.set(wide);
                Width::Wide
            }
            None => Width::Narrow,
        };
        Poll::Ready(Seat {
            width,
            seats: Rc::clone(self),
        })
    }
}

/// Leave to have one socket. Dropped when the socket is closed.
pub struct Seat {
    width: Width,
    seats: Rc<Seats>,
}

/// How much the kernel may hold for a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Width {
    Wide,
    Narrow,
}

impl Seat {
    /// Bytes that one write may have.
    pub fn piece(&self) -> usize {
        match self.width {
            Width::Wide => WIDE_PIECE,
            Width::Narrow => NARROW_PIECE,
        }
    }

    /// Tells the kernel what it may hold. Before the connection is made: the window that the controller is offered
    /// depends on it.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn bound(&self, socket: &impl AsFd) -> io::Result<()> {
        let (sent, received) = match self.width {
            Width::Wide => (WIDE_SENT, WIDE_RECEIVED),
            Width::Narrow => (NARROW_SENT, NARROW_RECEIVED),
        };
        socket::bound_sent(socket, sent)?;
        socket::bound_received(socket, received)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let seats = &self.seats;
        seats.free.set(seats.free.get() + 1);
        if self.width == Width::Wide {
            seats.wide.set(seats.wide.get() + 1);
        }
        for waker in seats.waiting.take() {
            waker.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_are_wide_and_the_last_waits_for_one_that_goes() {
        let seats = Seats::new();
        let mut cx = Context::from_waker(Waker::noop());
        let mut take = || match seats.poll_take(&mut cx) {
            Poll::Ready(seat) => Some(seat),
            Poll::Pending => None,
        };
        let mut taken: Vec<Seat> = std::iter::from_fn(&mut take).collect();
        let wide = |seat: &Seat| seat.width == Width::Wide;
        assert_eq!(taken.len(), SEATS_MAX);
        assert!(taken[..WIDE_MAX].iter().all(wide));
        assert!(!taken[WIDE_MAX..].iter().any(wide));

        drop(taken.pop());
        assert!(!wide(&take().expect("a seat is free again")));
        drop(taken.remove(0));
        assert!(wide(&take().expect("and a wide one")));
        assert_eq!(seats.free.get(), 2, "both were let go at once");
    }
}
