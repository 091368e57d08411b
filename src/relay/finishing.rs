//! The end of a connection: what is queued is written out, then FIN, then the controller's FIN is awaited.
//!
//! Never an RST while the controller takes bytes: a connection that is torn in the middle of an upload can
//! cost the cell a reboot of the controller. What the controller still sends has no reader any more and is
//! thrown away, since unread bytes would turn our FIN into an RST.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;

use log::{debug, warn};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{Relay, State};
use crate::limits::{FINISH_LIMIT, LINGER_LIMIT};

/// Bytes thrown away at a time.
const SCRATCH: usize = 2048;

/// A connection that is over for the source, but not for the controller.
pub struct Finishing {
    relay: Relay,
    until: Instant,
    fin_sent: bool,
}

impl Finishing {
    pub(super) fn new(mut relay: Relay, now: Instant) -> Finishing {
        // The engineer's place is free from here on; the socket's is not.
        relay.admission = None;
        Finishing {
            until: now + FINISH_LIMIT,
            relay,
            fin_sent: false,
        }
    }

    /// Whether only the controller's FIN is awaited.
    pub fn fin_sent(&self) -> bool {
        self.fin_sent
    }

    /// Goes on; ready when the socket may be closed.
    pub fn poll(&mut self, now: Instant, cx: &mut Context<'_>) -> Poll<()> {
        if now >= self.until {
            if !self.fin_sent {
                self.give_up("the time for it is over");
            }
            return Poll::Ready(());
        }
        if let State::Connecting(way) = &mut self.relay.state {
            match way.as_mut().poll(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok((stream, passage))) => {
                    self.relay.handle_connected(stream, passage, now);
                }
                Poll::Ready(Err(error)) => {
                    self.give_up(&error.to_string());
                    return Poll::Ready(());
                }
            }
        }
        if self.throw_away(cx).is_ready() {
            if self.relay.waiting() > 0 {
                self.give_up("the controller closed the connection");
            }
            return Poll::Ready(());
        }
        if self.fin_sent {
            return Poll::Pending;
        }
        self.relay.poll_ring(now, cx);
        if let Some(over) = self.relay.poll_stall(now) {
            self.give_up(&over.to_string());
            self.relay.reset();
            return Poll::Ready(());
        }
        if self.relay.waiting() == 0 {
            return self.send_fin(now, cx);
        }
        Poll::Pending
    }

    /// When to ask again, if nothing else happens.
    pub fn next_deadline(&self) -> Instant {
        [
            self.relay.stall.next_deadline().filter(|_| !self.fin_sent),
            self.relay.pace_deadline(),
        ]
        .into_iter()
        .flatten()
        .fold(self.until, Instant::min)
    }

    fn send_fin(&mut self, now: Instant, cx: &mut Context<'_>) -> Poll<()> {
        let State::Open(socket) = &mut self.relay.state else {
            return Poll::Ready(());
        };
        match Pin::new(&mut socket.stream).poll_shutdown(cx) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Err(error)) => {
                debug!("{}: FIN: {error}", self.relay.label);
                Poll::Ready(())
            }
            Poll::Ready(Ok(())) => {
                self.fin_sent = true;
                self.until = now + LINGER_LIMIT;
                // Registers for the controller's FIN.
                self.throw_away(cx)
            }
        }
    }

    /// Ready when the controller sent its FIN, or the connection broke.
    fn throw_away(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let State::Open(socket) = &mut self.relay.state else {
            return Poll::Pending;
        };
        let mut scratch = [0; SCRATCH];
        loop {
            let mut buffer = ReadBuf::new(&mut scratch);
            match Pin::new(&mut socket.stream).poll_read(cx, &mut buffer) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(())) if !buffer.filled().is_empty() => {}
                Poll::Ready(Ok(())) => return self.half_closed(),
                Poll::Ready(Err(error)) => {
                    debug!("{}: while finishing: {error}", self.relay.label);
                    return Poll::Ready(());
                }
            }
        }
    }

    /// The controller sent its FIN: it may still take what is queued, so only an empty ring ends it.
    fn half_closed(&self) -> Poll<()> {
        if self.fin_sent || self.relay.waiting() == 0 {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    }

    fn give_up(&mut self, why: &str) {
        let lost = self.relay.forget_waiting();
        if lost > 0 {
            warn!(
                "{}: the last {lost} bytes could not be written out and are lost: {why}",
                self.relay.label
            );
        }
    }
}
