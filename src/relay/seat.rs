//! The sockets to controllers: how many there are at once, and how much the kernel may hold for each.
//!
//! What waits in the kernel is no memory of the process, but it is the gateway's, and a cgroup counts it. So every socket
//! takes a seat first, whatever its tunnel: the first [`BULK_MAX`] of them have room for bulk, the next [`WIDE_MAX`] for a
//! transfer, all others for as much as a robot and an engineer say to each other. The sum stands in [`crate::limits`].

use std::cell::{Cell, RefCell};
use std::io;
use std::os::fd::AsFd;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use crate::limits::{
    BULK_MAX, BULK_PIECE, BULK_RECEIVED, BULK_SENT, NARROW_PIECE, NARROW_RECEIVED, NARROW_SENT,
    SEATS_MAX, WIDE_MAX, WIDE_PIECE, WIDE_RECEIVED, WIDE_SENT,
};
use crate::socket;

/// The seats of the whole gateway.
pub struct Seats {
    free: Cell<usize>,
    bulk: Cell<usize>,
    wide: Cell<usize>,
    waiting: RefCell<Vec<Waker>>,
}

impl Seats {
    /// All of them free.
    pub fn new() -> Rc<Seats> {
        Rc::new(Seats {
            free: Cell::new(SEATS_MAX),
            bulk: Cell::new(BULK_MAX),
            wide: Cell::new(WIDE_MAX),
            waiting: RefCell::default(),
        })
    }

    /// The next seat, the widest that there is; once somebody gives his back, if all are taken.
    pub fn poll_take(self: &Rc<Seats>, cx: &mut Context<'_>) -> Poll<Seat> {
        let Some(left) = self.free.get().checked_sub(1) else {
            let mut waiting = self.waiting.borrow_mut();
            if !waiting.iter().any(|waker| waker.will_wake(cx.waker())) {
                waiting.push(cx.waker().clone());
            }
            return Poll::Pending;
        };
        self.free.set(left);
        Poll::Ready(Seat {
            width: self.widest(),
            seats: Rc::clone(self),
        })
    }

    fn widest(&self) -> Width {
        for width in [Width::Bulk, Width::Wide] {
            if let Some(free) = self.of(width)
                && let Some(left) = free.get().checked_sub(1)
            {
                free.set(left);
                return width;
            }
        }
        Width::Narrow
    }

    /// How many of this width are free; of narrow ones as many as there are seats.
    fn of(&self, width: Width) -> Option<&Cell<usize>> {
        match width {
            Width::Bulk => Some(&self.bulk),
            Width::Wide => Some(&self.wide),
            Width::Narrow => None,
        }
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
    Bulk,
    Wide,
    Narrow,
}

impl Seat {
    /// Bytes that one write may have.
    pub fn piece(&self) -> usize {
        match self.width {
            Width::Bulk => BULK_PIECE,
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
            Width::Bulk => (BULK_SENT, BULK_RECEIVED),
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
        if let Some(free) = seats.of(self.width) {
            free.set(free.get() + 1);
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
    fn the_first_are_the_widest_and_the_last_waits_for_one_that_goes() {
        let seats = Seats::new();
        let mut cx = Context::from_waker(Waker::noop());
        let mut take = || match seats.poll_take(&mut cx) {
            Poll::Ready(seat) => Some(seat),
            Poll::Pending => None,
        };
        let mut taken: Vec<Seat> = std::iter::from_fn(&mut take).collect();
        assert_eq!(taken.len(), SEATS_MAX);
        for (at, seat) in taken.iter().enumerate() {
            let width = match at {
                0..BULK_MAX => Width::Bulk,
                _ if at < BULK_MAX + WIDE_MAX => Width::Wide,
                _ => Width::Narrow,
            };
            assert_eq!(seat.width, width, "seat {at}");
        }

        for (at, width) in [
            (SEATS_MAX - 1, Width::Narrow),
            (BULK_MAX, Width::Wide),
            (0, Width::Bulk),
        ] {
            drop(taken.remove(at));
            let next = take().expect("a seat is free again");
            assert_eq!(next.width, width);
            taken.insert(at, next);
        }
        assert_eq!(seats.free.get(), 0);
    }
}
