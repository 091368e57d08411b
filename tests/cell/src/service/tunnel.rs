//! One tunnel: its tokens, its two places and what is on its way between them.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use bytes::Bytes;
use tokio::sync::{Notify, mpsc, watch};

use super::event::{Event, TunnelId};
use super::line::LineSender;
use super::request::{Protocol, Refused, Request};
use super::streams::Streams;
use super::switches::{Kill, Refusal, Switches};
use super::token::{self, Use};
use super::{ResetOn, websocket};
use crate::journal::Journal;
use crate::wire::{Kind, Message, Mode, Violation, check};

/// What goes to a client, in order.
#[derive(Debug)]
pub(super) enum Outgoing {
    /// Tunnel bytes, to be shaped as the switches say.
    Data(Bytes),
    /// Bytes of the socket, as they are: control frames and what a test made up.
    Raw(Bytes),
    /// A close frame; no data goes out behind it.
    Close(Bytes),
    /// The end of the TCP connection.
    Shutdown,
}

/// One side's place in a tunnel while it is connected.
#[derive(Debug, Clone)]
pub(super) struct Seat {
    /// Tells this connection from the next one of the same side.
    pub(super) channel_id: String,
    pub(super) line: LineSender<Outgoing>,
    pub(super) kill: mpsc::UnboundedSender<Kill>,
    pub(super) closing: Arc<Closing>,
    pub(super) hush: watch::Sender<bool>,
}

/// A close that the service began.
#[derive(Debug, Default)]
pub(super) struct Closing {
    pub(super) code: OnceLock<u16>,
    pub(super) begun: Notify,
}

impl Seat {
    /// Begins to close from the service's side. Only the first call has an effect.
    pub(super) fn close(&self, code: u16, reason: &str) {
        if self.closing.code.set(code).is_ok() {
            // A line without a receiver belongs to a connection that is over already.
            let _ = self
                .line
                .send_now(Outgoing::Close(websocket::close_frame(code, reason)));
            self.closing.begun.notify_one();
        }
    }
}

/// What one side moved, over all its connections.
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) connections: AtomicU64,
    pub(super) bytes: AtomicU64,
    pub(super) messages: AtomicU64,
    pub(super) largest: AtomicU64,
}

impl Counters {
    /// Notes one WebSocket message that came from the client.
    pub(super) fn note(&self, bytes: usize) {
        let bytes = bytes as u64;
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.messages.fetch_add(1, Ordering::Relaxed);
        self.largest.fetch_max(bytes, Ordering::Relaxed);
    }
}

/// What belongs to one side whether it is connected or not.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) switches: watch::Sender<Switches>,
    pub(super) counters: Counters,
    state: Mutex<PlaceState>,
}

#[derive(Debug)]
struct PlaceState {
    token: String,
    used: Use,
    refusals: VecDeque<Refusal>,
    seat: Option<Seat>,
}

impl Place {
    fn new() -> Self {
        Self {
            switches: watch::Sender::default(),
            counters: Counters::default(),
            state: Mutex::new(PlaceState {
                token: token::access_token(),
                used: Use::default(),
                refusals: VecDeque::new(),
                seat: None,
            }),
        }
    }

    /// The token that is good now.
    pub(super) fn token(&self) -> String {
        self.state().token.clone()
    }

    /// Makes a new token that nobody has used; the old one is forgotten.
    pub(super) fn rotate(&self) {
        let mut state = self.state();
        state.token = token::access_token();
        state.used = Use::Fresh;
    }

    pub(super) fn seat(&self) -> Option<Seat> {
        self.state().seat.clone()
    }

    pub(super) fn refuse_next(&self, count: usize, refusal: &Refusal) {
        self.state()
            .refusals
            .extend(std::iter::repeat_n(refusal.clone(), count));
    }

    fn state(&self) -> MutexGuard<'_, PlaceState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the service does with a handshake whose token is known.
pub(super) enum Verdict {
    /// Let it in.
    Accept,
    /// Answer with this status.
    Refuse(Refused),
    /// A test asked for this.
    Misbehave(Refusal),
}

/// A tunnel.
#[derive(Debug)]
pub(super) struct TunnelState {
    pub(super) id: TunnelId,
    pub(super) services: Vec<String>,
    pub(super) journal: Journal<Event>,
    reset_on: ResetOn,
    source: Place,
    destination: Place,
    shared: Mutex<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    closed: bool,
    streams: Streams,
}

impl TunnelState {
    pub(super) fn new(
        id: TunnelId,
        services: Vec<String>,
        journal: Journal<Event>,
        reset_on: ResetOn,
    ) -> Self {
        Self {
            id,
            services,
            journal,
            reset_on,
            source: Place::new(),
            destination: Place::new(),
            shared: Mutex::default(),
        }
    }

    pub(super) fn place(&self, mode: Mode) -> &Place {
        match mode {
            Mode::Source => &self.source,
            Mode::Destination => &self.destination,
        }
    }

    /// Judges a handshake that brought the token of one of this tunnel's places; a token that is let in is used up.
    pub(super) fn judge(&self, request: &Request) -> Verdict {
        let mode = request.mode;
        let refuse = |reason: &str| Verdict::Refuse(Refused::new(403, Some(mode), reason));
        let place = self.place(mode);
        if request.access_token != place.token() {
            return refuse("Access token does not belong to this local-proxy-mode");
        }
        if self.shared().closed {
            return refuse("Tunnel is closed");
        }
        let mut state = place.state();
        if !state.used.allows(request.client_token.as_deref()) {
            return refuse("Access token was already used");
        }
        if let Some(refusal) = state.refusals.pop_front() {
            return Verdict::Misbehave(refusal);
        }
        state.used.note(request.client_token.as_deref());
        Verdict::Accept
    }

    /// Seats a client that was let in. Whoever sat there is closed: it was replaced.
    pub(super) fn enter(
        &self,
        mode: Mode,
        seat: Seat,
        protocol: Protocol,
        client_token: Option<String>,
    ) {
        if protocol != Protocol::V1 {
            // Before anything of the other side: nobody else has this line yet.
            let services = Message::service_ids(&self.services).frame();
            let _ = seat.line.send_now(Outgoing::Data(services));
        }
        let place = self.place(mode);
        place.counters.connections.fetch_add(1, Ordering::Relaxed);
        let channel_id = seat.channel_id.clone();
        let replaced = place.state().seat.replace(seat);
        if let Some(replaced) = replaced {
            replaced.close(1000, "replaced by a new connection");
        }
        if matches!(self.reset_on, ResetOn::Both | ResetOn::Reconnect) {
            self.reset_streams(mode.other());
        }
        self.journal.record(Event::Connected {
            tunnel: self.id,
            mode,
            protocol: protocol.name(),
            client_token,
            channel_id,
        });
    }

    /// Takes a client out of its place, unless another sits there already.
    pub(super) fn leave(&self, mode: Mode, channel_id: &str) {
        let mut state = self.place(mode).state();
        if state
            .seat
            .as_ref()
            .is_some_and(|seat| seat.channel_id == channel_id)
        {
            state.seat = None;
            drop(state);
            if matches!(self.reset_on, ResetOn::Both | ResetOn::Disconnect) {
                self.reset_streams(mode.other());
            }
        }
    }

    /// Judges one tunnel frame of a client that negotiated `protocol`, and notes it. Gives the way to the other side, if it is there.
    ///
    /// # Errors
    /// The rule it broke.
    pub(super) fn receive(
        &self,
        from: Mode,
        protocol: Protocol,
        body: &[u8],
    ) -> Result<Option<LineSender<Outgoing>>, Violation> {
        let message = check(body, from, protocol, &self.services)?;
        self.shared().streams.note(&message)?;
        let other = self.place(from.other()).seat();
        self.journal.record(Event::Message {
            tunnel: self.id,
            from,
            kind: message.kind().unwrap_or(Kind::Unknown),
            stream: message.stream_id,
            connection: message.connection_id,
            service: message.service_id,
            payload: message.payload.len(),
            delivered: other.is_some(),
        });
        Ok(other.map(|seat| seat.line))
    }

    /// Notes a message that a test sends to a side.
    pub(super) fn note_sent(&self, message: &Message) {
        // A test may send what nobody else may; only what is known about streams matters here.
        let _ = self.shared().streams.note(message);
    }

    /// Notes that a test sends bytes that nobody looks at.
    pub(super) fn lose_track(&self) {
        self.shared().streams.lose_track();
    }

    /// Closes the tunnel for good.
    pub(super) fn close(&self) {
        self.shared().closed = true;
        for mode in [Mode::Source, Mode::Destination] {
            if let Some(seat) = self.place(mode).seat() {
                seat.close(1000, "Tunnel is closed");
            }
        }
    }

    fn reset_streams(&self, to: Mode) {
        let resets = self.shared().streams.reset_all();
        let Some(seat) = self.place(to).seat() else {
            return;
        };
        for reset in resets {
            let _ = seat.line.send_now(Outgoing::Data(reset.frame()));
        }
    }

    fn shared(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
