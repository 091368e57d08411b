//! A tunnel whose WebSocket is up: the event loop that joins protocol, link and relays.
//!
//! One task, one poll over everything that is ready. Down: a WebSocket message is cut into commands, and bytes
//! go straight into their controller's socket; while a controller takes nothing and its ring is full, the rest
//! of this one message is kept and the WebSocket is not read. Up: a controller is read only when the link takes
//! a message, one read each in turn. Each way has a file of its own ([`downward`], [`upward`]), and so has the end
//! ([`parting`]).

mod downward;
mod parting;
mod upward;

use std::future::poll_fn;
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use heapless::Deque;
use log::debug;

use super::Tunnel;
use super::clock::Clock;
use super::desk::Interrupt;
use super::down::{Down, Farewell};
use crate::limits::{OUTBOX_FULL, OUTBOX_MAX, TURNS_MAX, UPWARD_READ};
use crate::link::websocket::{CloseCode, Link, Lost};
use crate::protocol::ids::Version;
use crate::protocol::liveness::{Liveness, Pulse};
use crate::protocol::session::Session;
use crate::protocol::streams::Slot;

/// One WebSocket's time.
pub(super) struct Up<'a> {
    tunnel: &'a mut Tunnel,
    session: Box<Session>,
    link: Link,
    liveness: Liveness,
    /// Resets that the link did not take yet.
    outbox: Deque<Bytes, OUTBOX_MAX>,
    /// What a slow controller could not take: while there is some, the WebSocket is not read.
    held: Option<Held>,
    ping_due: bool,
    /// The owner changed the routes, and not every connection was looked at since.
    routes_changed: bool,
    /// Why the agent or the cell ends it, once one does.
    parting: Option<String>,
    /// A controller was read into the large buffer since the loop last waited.
    in_bulk: bool,
    /// Where controllers are read to, behind room for the heads; their bytes go to TLS from here.
    buffer: BytesMut,
}

/// Bytes that a slow controller could not take.
struct Held {
    slot: Slot,
    bytes: Bytes,
    since: Instant,
}

impl<'a> Up<'a> {
    /// For a link that came up now.
    pub(super) fn new(tunnel: &'a mut Tunnel, link: Link, version: Version) -> Up<'a> {
        let mut session = Session::new(version).with_connections(tunnel.setup.connections);
        if !tunnel.was_up {
            session = session.without_past();
        }
        tunnel.was_up = true;
        for address in &tunnel.setup.gone {
            session.handle_gone(address);
        }
        Up {
            session: Box::new(session),
            outbox: tunnel.tell_what_is_gone(),
            tunnel,
            link,
            liveness: Liveness::new(Clock::now()),
            held: None,
            ping_due: false,
            routes_changed: false,
            parting: None,
            in_bulk: false,
            buffer: BytesMut::new(),
        }
    }

    /// Serves until the WebSocket is over or the agent orders a stop. Every connection is then finishing, and
    /// the link, where a close is owed on it, comes back with the resets that it has not taken yet.
    pub(super) async fn serve(mut self) -> (Down, Option<Farewell>) {
        let down = poll_fn(|cx| self.poll(cx)).await;
        poll_fn(|cx| {
            self.end_connections(&down, Clock::now(), cx);
            if let Down::Lost(Lost::Closed(_)) = down {
                // The answer to the service's close, if the link takes it at once; nobody waits for it.
                let _ = self.link.poll_answer_close(cx);
            }
            Poll::Ready(())
        })
        .await;
        let code = match &down {
            Down::Stop(_) | Down::NoAccess => Some(CloseCode::Normal),
            Down::Violation(_) => Some(CloseCode::Protocol),
            Down::Lost(lost) => lost.close_code(),
            Down::Dead(_) => None,
        };
        let farewell = code.map(|code| Farewell {
            link: self.link,
            outbox: self.outbox,
            code,
        });
        (down, farewell)
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Down> {
        for _ in 0..TURNS_MAX {
            match self.turn(cx) {
                Err(down) => return Poll::Ready(down),
                Ok(true) => {}
                Ok(false) => {
                    self.rest();
                    let deadline = self.next_deadline();
                    if self.tunnel.clock.poll_until(deadline, cx).is_pending() {
                        return Poll::Pending;
                    }
                }
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// A tunnel that waits, and did not need a large buffer since it waited before, holds none. In a bulk transfer it
    /// waits for each few messages, and a new buffer each time would cost more than the wait.
    fn rest(&mut self) {
        let in_bulk = std::mem::take(&mut self.in_bulk);
        if !in_bulk && self.buffer.capacity() > 2 * UPWARD_READ {
            self.buffer = BytesMut::new();
        }
    }

    /// One look at everything; tells whether anything moved.
    fn turn(&mut self, cx: &mut Context<'_>) -> Result<bool, Down> {
        let now = Clock::now();
        self.tunnel.relays.listen(cx);
        let mut moved = self.take_orders(cx)?;
        moved |= self.receive(now, cx)?;
        moved |= self.serve_relays(now, cx)?;
        moved |= self.send_answers(cx)?;
        self.beat(now, cx)?;
        let free = self.tunnel.setup.pool.free();
        let _ = self.tunnel.poll_finishing(now, cx);
        moved |= self.tunnel.setup.pool.free() > free;
        // Pending only says that the link is slow; it wakes us.
        if let Poll::Ready(Err(lost)) = self.link.poll_flush(cx) {
            return Err(Down::Lost(lost));
        }
        Ok(moved)
    }

    fn take_orders(&mut self, cx: &mut Context<'_>) -> Result<bool, Down> {
        if let Poll::Ready(interrupt) = self.tunnel.setup.desk.poll_interrupt(cx) {
            return Err(match interrupt {
                Interrupt::Stop(why) => Down::Stop(why),
                Interrupt::NoAccess => Down::NoAccess,
            });
        }
        let changed = self.tunnel.take_routes();
        self.routes_changed |= changed;
        Ok(changed)
    }

    fn is_ready(&mut self, cx: &mut Context<'_>) -> Result<bool, Down> {
        match self.link.poll_ready(cx) {
            Poll::Pending => Ok(false),
            Poll::Ready(Ok(())) => Ok(true),
            Poll::Ready(Err(lost)) => Err(Down::Lost(lost)),
        }
    }

    // ---- clocks -----------------------------------------------------------------------------

    fn beat(&mut self, now: Instant, cx: &mut Context<'_>) -> Result<(), Down> {
        match self.liveness.poll(now) {
            Pulse::Quiet => {}
            Pulse::Ping => self.ping_due = true,
            Pulse::Dead(silence) => return Err(Down::Dead(silence)),
        }
        if self.ping_due && self.is_ready(cx)? {
            self.ping_due = false;
            debug!("{}: ping", self.tunnel.name);
            self.link.ping().map_err(Down::Lost)?;
        }
        Ok(())
    }

    fn next_deadline(&self) -> Instant {
        let liveness = self.liveness.next_deadline();
        let relays = if self.outbox.len() >= OUTBOX_FULL {
            // The live ones are not looked at before the link takes an answer; that wakes us.
            self.tunnel.relays.next_finishing()
        } else {
            self.tunnel.relays.next_deadline()
        };
        relays.map_or(liveness, |relays| relays.min(liveness))
    }
}
