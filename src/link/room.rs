//! How much the kernel may hold for a connection to the service, or to the broker.
//!
//! One tunnel of the gateway at a time has room for bulk; the others have what they need at the rate that AWS allows. What
//! they come to stands in [`crate::limits`].

use std::cell::Cell;
use std::io;
use std::os::fd::AsFd;
use std::rc::Rc;

use crate::limits::{
    BROKER_RECEIVED, BROKER_SENT, LINK_RECEIVED, LINK_SENT, WIDE_LINK_RECEIVED, WIDE_LINK_SENT,
};
use crate::socket;

/// The wide room of a gateway, for whoever comes first.
pub struct Rooms {
    taken: Cell<bool>,
}

impl Rooms {
    /// The wide one is free.
    pub fn new() -> Rc<Rooms> {
        Rc::new(Rooms {
            taken: Cell::new(false),
        })
    }

    /// The wide one, if it is free. It is taken until the room is dropped, which is not before the link is.
    pub fn take(self: &Rc<Rooms>) -> Room {
        if self.taken.replace(true) {
            return Room::link();
        }
        Room {
            sent: WIDE_LINK_SENT,
            received: WIDE_LINK_RECEIVED,
            wide: Some(Rc::clone(self)),
        }
    }
}

/// The room of one connection.
pub struct Room {
    sent: usize,
    received: usize,
    wide: Option<Rc<Rooms>>,
}

impl Room {
    /// For a link like any other.
    pub fn link() -> Room {
        Room {
            sent: LINK_SENT,
            received: LINK_RECEIVED,
            wide: None,
        }
    }

    /// For the broker, whose packets are small.
    pub fn broker() -> Room {
        Room {
            sent: BROKER_SENT,
            received: BROKER_RECEIVED,
            wide: None,
        }
    }

    /// Whether it is the gateway's wide one.
    pub fn is_wide(&self) -> bool {
        self.wide.is_some()
    }

    /// Tells the kernel what it may hold. Before the connection is made: the window that the other end is offered depends
    /// on it.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn bound(&self, socket: &impl AsFd) -> io::Result<()> {
        socket::bound_sent(socket, self.sent)?;
        socket::bound_received(socket, self.received)
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        if let Some(rooms) = &self.wide {
            rooms.taken.set(false);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_at_a_time_is_wide() {
        let rooms = Rooms::new();
        let first = rooms.take();
        let second = rooms.take();
        assert!(first.is_wide() && !second.is_wide());
        drop(second);
        assert!(!rooms.take().is_wide(), "the first still has it");
        drop(first);
        assert!(rooms.take().is_wide());
    }
}
