//! What a test can do to one side of a tunnel.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;

use super::event::{Event, TunnelId};
use super::switches::{Kill, Refusal, Switches};
use super::tunnel::{Outgoing, TunnelState};
use super::websocket::{Opcode, frame};
use crate::journal::{Entry, Mark, WaitTimeout};
use crate::wire::{Message, Mode};

/// An open tunnel, as `OpenTunnel` gives it. A clone is a second handle.
#[derive(Clone)]
pub struct Tunnel {
    /// Tells it from the others of the service.
    pub id: TunnelId,
    /// The access token of the source.
    pub source_token: String,
    /// The access token of the destination.
    pub destination_token: String,
    /// What can be done to the source.
    pub source: Side,
    /// What can be done to the destination.
    pub destination: Side,
    state: Arc<TunnelState>,
}

impl Tunnel {
    pub(super) fn new(state: Arc<TunnelState>) -> Self {
        let side = |mode| Side {
            mode,
            state: Arc::clone(&state),
        };
        Self {
            id: state.id,
            source_token: state.place(Mode::Source).token(),
            destination_token: state.place(Mode::Destination).token(),
            source: side(Mode::Source),
            destination: side(Mode::Destination),
            state,
        }
    }

    /// `RotateTunnelAccessToken` for one side: its old token is worth nothing any more, a connection that is there
    /// stays. Gives the tunnel with the new token; other handles keep showing the old one.
    #[must_use]
    pub fn rotate(&self, mode: Mode) -> Self {
        self.state.place(mode).rotate();
        Self::new(Arc::clone(&self.state))
    }

    /// The services it was opened with.
    pub fn services(&self) -> &[String] {
        &self.state.services
    }

    /// Closes the tunnel: both WebSockets with 1000, every later handshake with 403 "Tunnel is closed".
    pub fn close(&self) {
        self.state.close();
    }

    /// Waits for an event of this tunnel, also one that has happened already.
    ///
    /// # Errors
    /// When none that fits happened within `limit`.
    pub async fn wait_event(
        &self,
        fits: impl Fn(&Event) -> bool,
        limit: Duration,
    ) -> Result<Event, WaitTimeout> {
        Ok(self.wait_event_after(Mark::START, fits, limit).await?.0)
    }

    /// Waits for an event of this tunnel behind a mark, and gives the mark behind it.
    ///
    /// # Errors
    /// When none that fits happened within `limit`.
    pub async fn wait_event_after(
        &self,
        mark: Mark,
        fits: impl Fn(&Event) -> bool,
        limit: Duration,
    ) -> Result<(Event, Mark), WaitTimeout> {
        let ours = |event: &Event| event.tunnel() == Some(self.id) && fits(event);
        let (entry, mark) = self.state.journal.wait(mark, ours, limit).await?;
        Ok((entry.what, mark))
    }

    /// The place behind the newest event.
    pub fn mark(&self) -> Mark {
        self.state.journal.mark()
    }

    /// Every event of this tunnel with its time, oldest first.
    pub fn events(&self) -> Vec<Entry<Event>> {
        let mut entries = self.state.journal.entries();
        entries.retain(|entry| entry.what.tunnel() == Some(self.id));
        entries
    }

    /// Every violation on this tunnel so far, for the last line of a test.
    pub fn violations(&self) -> Vec<Event> {
        let events = self.events().into_iter().map(|entry| entry.what);
        events.filter(Event::is_violation).collect()
    }
}

impl fmt::Debug for Tunnel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Without the tokens: test output is a log too.
        f.debug_struct("Tunnel")
            .field("id", &self.id)
            .field("services", &self.state.services)
            .finish_non_exhaustive()
    }
}

/// Nobody is connected on this side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotConnected(pub Mode);

impl fmt::Display for NotConnected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no {} is connected to the tunnel", self.0)
    }
}

impl std::error::Error for NotConnected {}

/// What a side has sent to the service, over all its connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Traffic {
    /// Handshakes let in.
    pub connections: u64,
    /// Bytes in binary WebSocket messages.
    pub bytes: u64,
    /// Binary WebSocket messages.
    pub messages: u64,
    /// The largest of them, bytes.
    pub largest: u64,
}

/// One side of a tunnel. What is sent here goes to that side as if the service or the other side had sent it.
#[derive(Clone)]
pub struct Side {
    mode: Mode,
    state: Arc<TunnelState>,
}

impl Side {
    /// Turns switches: `side.switch(|s| s.delay = Duration::from_millis(75))`.
    pub fn switch(&self, turn: impl FnOnce(&mut Switches)) {
        self.state.place(self.mode).switches.send_modify(turn);
    }

    /// The switches as they stand.
    pub fn switches(&self) -> Switches {
        self.state.place(self.mode).switches.borrow().clone()
    }

    /// Refuses the next `count` handshakes that would have been let in. Their token stays fresh.
    pub fn refuse_next(&self, count: usize, refusal: &Refusal) {
        self.state.place(self.mode).refuse_next(count, refusal);
    }

    /// Whether a client is connected.
    pub fn is_connected(&self) -> bool {
        self.state.place(self.mode).seat().is_some()
    }

    /// What the side has sent.
    pub fn traffic(&self) -> Traffic {
        let counters = &self.state.place(self.mode).counters;
        Traffic {
            connections: counters.connections.load(Ordering::Relaxed),
            bytes: counters.bytes.load(Ordering::Relaxed),
            messages: counters.messages.load(Ordering::Relaxed),
            largest: counters.largest.load(Ordering::Relaxed),
        }
    }

    /// Ends the TCP connection without a WebSocket close.
    ///
    /// # Errors
    /// When nobody is connected.
    pub fn kill(&self, how: Kill) -> Result<(), NotConnected> {
        let _ = self.seat()?.kill.send(how);
        Ok(())
    }

    /// Silences the connection that is there now, for good: nothing is read, written or answered, its TCP connection
    /// stays. A new connection is not silent.
    ///
    /// # Errors
    /// When nobody is connected.
    pub fn hush(&self) -> Result<(), NotConnected> {
        self.seat()?.hush.send_replace(true);
        Ok(())
    }

    /// Closes the WebSocket with a code.
    ///
    /// # Errors
    /// When nobody is connected.
    pub fn close(&self, code: u16, reason: &str) -> Result<(), NotConnected> {
        self.seat()?.close(code, reason);
        Ok(())
    }

    /// Sends a tunnel message.
    ///
    /// # Errors
    /// When nobody is connected.
    pub fn send(&self, message: &Message) -> Result<(), NotConnected> {
        self.send_many(std::slice::from_ref(message))
    }

    /// Sends tunnel messages in one WebSocket message.
    ///
    /// # Errors
    /// When nobody is connected.
    pub fn send_many(&self, messages: &[Message]) -> Result<(), NotConnected> {
        let seat = self.seat()?;
        let mut bytes = Vec::new();
        for message in messages {
            self.state.note_sent(message);
            bytes.extend_from_slice(&message.frame());
        }
        let _ = seat.line.send_now(Outgoing::Data(bytes.into()));
        Ok(())
    }

    /// Sends SESSION_RESET.
    ///
    /// # Errors
    /// When nobody is connected.
    pub fn session_reset(&self) -> Result<(), NotConnected> {
        self.send(&Message::session_reset())
    }

    /// Sends any bytes in binary WebSocket messages. The service forgets what it knows about started streams.
    ///
    /// # Errors
    /// When nobody is connected.
    pub fn send_bytes(&self, bytes: impl Into<Bytes>) -> Result<(), NotConnected> {
        self.state.lose_track();
        self.put(Outgoing::Data(bytes.into()))
    }

    /// Sends any bytes below the WebSocket: frames that a test made up, or nonsense.
    ///
    /// # Errors
    /// When nobody is connected.
    pub fn send_socket_bytes(&self, bytes: impl Into<Bytes>) -> Result<(), NotConnected> {
        self.state.lose_track();
        self.put(Outgoing::Raw(bytes.into()))
    }

    /// Sends a ping of at most 125 bytes.
    ///
    /// # Errors
    /// When nobody is connected.
    pub fn ping(&self, payload: &[u8]) -> Result<(), NotConnected> {
        self.put(Outgoing::Raw(frame(Opcode::Ping, true, payload)))
    }

    /// Sends a text message.
    ///
    /// # Errors
    /// When nobody is connected.
    pub fn text(&self, text: &str) -> Result<(), NotConnected> {
        self.put(Outgoing::Raw(frame(Opcode::Text, true, text.as_bytes())))
    }

    fn put(&self, item: Outgoing) -> Result<(), NotConnected> {
        let _ = self.seat()?.line.send_now(item);
        Ok(())
    }

    fn seat(&self) -> Result<super::tunnel::Seat, NotConnected> {
        self.state
            .place(self.mode)
            .seat()
            .ok_or(NotConnected(self.mode))
    }
}

impl fmt::Debug for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Side")
            .field("tunnel", &self.state.id)
            .field("mode", &self.mode)
            .finish_non_exhaustive()
    }
}
