//! The end of a connection: what is queued is written out, then FIN, then the controller's FIN is awaited.
//!
//! Never an RST while the controller takes bytes: a connection that is torn in the middle of an upload can
//! cost the cell a reboot of the controller. What the controller still sends has no reader any more and is
//! thrown away, since unread bytes would turn our FIN into an RST.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use log::{debug, info, warn};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{Over, Relay, State};
use crate::limits::{FINISH_LIMIT, LINGER_LIMIT};
use crate::socket;

/// Bytes thrown away at a time.
const SCRATCH: usize = 2048;

/// Between two looks at whether the controller has taken everything, once our FIN is behind it.
const LOOK: Duration = Duration::from_millis(100);

/// A connection that is over for the source, but not for the controller.
pub struct Finishing {
    relay: Relay,
    until: Instant,
    stage: Stage,
    /// Bytes that waited when it began.
    owed: usize,
    /// Bytes thrown away since the last look.
    thrown_away: usize,
}

/// How far the end has come.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Bytes wait here.
    Writing,
    /// Bytes and our FIN are in the kernel; the controller has not acknowledged all of them.
    Sent {
        /// When to look again.
        look: Instant,
    },
    /// The controller has everything, and may close.
    Lingering,
}

impl Finishing {
    pub(super) fn new(mut relay: Relay, now: Instant) -> Finishing {
        // The engineer's place is free from here on; the socket's is not.
        relay.admission = None;
        let owed = relay.waiting();
        Finishing {
            until: now + FINISH_LIMIT + relay.time_at_pace(owed),
            owed,
            thrown_away: 0,
            relay,
            stage: Stage::Writing,
        }
    }

    /// Ends it at once: its place is needed.
    pub fn cut(mut self) {
        warn!(
            "{}: cut: too many connections end at the same time",
            self.relay.label
        );
        self.relay.give_up("its place was needed");
    }

    /// Whether it holds on to bytes that do not fit its ring.
    pub fn overflows(&self) -> bool {
        self.relay.overflows()
    }

    /// Whether only the controller's FIN is awaited.
    pub fn is_lingering(&self) -> bool {
        self.stage == Stage::Lingering
    }

    /// Bytes of the controller that were thrown away since the last time.
    pub fn take_thrown_away(&mut self) -> usize {
        std::mem::take(&mut self.thrown_away)
    }

    /// Goes on; ready when the socket may be closed.
    pub fn poll(&mut self, now: Instant, cx: &mut Context<'_>) -> Poll<()> {
        if now >= self.until {
            self.relay.give_up("the time for it is over");
            return Poll::Ready(());
        }
        if let State::Connecting(way) = &mut self.relay.state {
            match way.as_mut().poll(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(wire)) => self.relay.handle_connected(wire, now),
                Poll::Ready(Err(error)) => {
                    self.relay.give_up(&error.to_string());
                    return Poll::Ready(());
                }
            }
        }
        if self.throw_away(cx).is_ready() {
            self.relay.give_up("the controller closed the connection");
            return Poll::Ready(());
        }
        if self.stage == Stage::Writing {
            self.relay.poll_ring(now, cx);
            if let State::Deaf(_, error, _) = &self.relay.state {
                let error = error.to_string();
                self.relay.give_up(&error);
                return Poll::Ready(());
            }
            if self.relay.waiting() == 0 && self.send_fin(now, cx).is_ready() {
                return Poll::Ready(());
            }
        }
        if let Stage::Sent { look } = self.stage
            && now >= look
            && let Some(over) = self.look(now)
        {
            let label = &self.relay.label;
            warn!("{label}: {over}; what the kernel held for it is lost");
            self.relay.reset();
            return Poll::Ready(());
        }
        match self.relay.poll_stall(now) {
            Some(over) => {
                self.relay.give_up(&over.to_string());
                self.relay.reset();
                Poll::Ready(())
            }
            None => Poll::Pending,
        }
    }

    /// When to ask again, if nothing else happens.
    pub fn next_deadline(&self) -> Instant {
        let look = match self.stage {
            Stage::Sent { look } => Some(look),
            Stage::Writing | Stage::Lingering => None,
        };
        look.into_iter()
            .chain(self.relay.flow_deadline())
            .fold(self.until, Instant::min)
    }

    fn send_fin(&mut self, now: Instant, cx: &mut Context<'_>) -> Poll<()> {
        let State::Open(wire) = &mut self.relay.state else {
            return Poll::Ready(());
        };
        match Pin::new(&mut wire.stream).poll_shutdown(cx) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Err(error)) => {
                debug!("{}: FIN: {error}", self.relay.label);
                Poll::Ready(())
            }
            Poll::Ready(Ok(())) => {
                self.stage = Stage::Sent { look: now };
                // The stall clock goes on for what is in the kernel: nothing else would end a wait for it.
                self.relay.stall.set_waiting(true, now);
                // Registers for the controller's FIN.
                self.throw_away(cx)
            }
        }
    }

    /// Asks the kernel whether the controller has everything. Only then its time to close begins: an exclusive
    /// robot must not get its next connection while the kernel still delivers the bytes of this one.
    fn look(&mut self, now: Instant) -> Option<Over> {
        let State::Open(wire) = &self.relay.state else {
            return None;
        };
        let stalled = match socket::acknowledged(&wire.stream, self.relay.stall.written()) {
            Ok(counted) => self.relay.stall.handle_acknowledged(counted, now),
            Err(error) => return Some(Over::Broken(error)),
        };
        if let Some(time) = stalled {
            return Some(Over::Stalled(time));
        }
        if self.relay.stall.is_taken() {
            self.relay.stall.set_waiting(false, now);
            self.stage = Stage::Lingering;
            self.until = now + LINGER_LIMIT;
            if self.owed > 0 {
                let told = self.relay.entry.tally.told_at(now);
                info!(
                    "{}: the controller has every byte; {told}",
                    self.relay.label
                );
            }
        } else {
            self.stage = Stage::Sent { look: now + LOOK };
        }
        None
    }

    /// Ready when the controller sent its FIN, or the connection broke. Reads once: one that sends without end must leave
    /// the others that finish their turn, and what the runtime lets a task do at once is for all of them.
    fn throw_away(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let State::Open(wire) = &mut self.relay.state else {
            return Poll::Pending;
        };
        let mut scratch = [0; SCRATCH];
        let mut buffer = ReadBuf::new(&mut scratch);
        match Pin::new(&mut wire.stream).poll_read(cx, &mut buffer) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Ok(())) if !buffer.filled().is_empty() => {
                self.thrown_away += buffer.filled().len();
                // There may be more.
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            Poll::Ready(Ok(())) => self.half_closed(),
            Poll::Ready(Err(error)) => {
                debug!("{}: while finishing: {error}", self.relay.label);
                Poll::Ready(())
            }
        }
    }

    /// The controller sent its FIN: it may still take what is queued, so only an empty ring ends it.
    fn half_closed(&self) -> Poll<()> {
        if self.stage != Stage::Writing || self.relay.waiting() == 0 {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    }
}
