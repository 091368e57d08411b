//! What the service saw.

use crate::wire::{Kind, Mode, Violation};

/// Tells the tunnels of a service apart. Counts from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TunnelId(pub u32);

/// One thing the service saw. `tunnel` is `None` where a handshake came without a token that is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A handshake was accepted.
    Connected {
        /// Of which tunnel.
        tunnel: TunnelId,
        /// Which side.
        mode: Mode,
        /// The subprotocol chosen, `aws.iot.securetunneling-3.0`.
        protocol: String,
        /// The client token brought along.
        client_token: Option<String>,
        /// The `channel-id` in the reply.
        channel_id: String,
    },
    /// A handshake is about to be accepted: the answer is on its way, behind the delay.
    Admitted {
        /// Of which tunnel.
        tunnel: TunnelId,
        /// Which side.
        mode: Mode,
    },
    /// A handshake was refused.
    Rejected {
        /// Of which tunnel, if the token is known.
        tunnel: Option<TunnelId>,
        /// Which side, if it said so.
        mode: Option<Mode>,
        /// The HTTP status of the answer; 0 for none.
        status: u16,
        /// Why: the `X-Status-Reason` or the switch.
        reason: String,
    },
    /// TLS failed before there was a request; a client that does not trust the certificate shows here.
    TlsFailed {
        /// The words of the TLS library.
        why: String,
    },
    /// A client broke a rule. The service closes its WebSocket.
    Violation {
        /// Of which tunnel.
        tunnel: TunnelId,
        /// Which side broke it.
        mode: Mode,
        /// Which rule.
        what: Violation,
    },
    /// A tunnel message that kept the rules.
    Message {
        /// Of which tunnel.
        tunnel: TunnelId,
        /// Who sent it.
        from: Mode,
        /// Its type.
        kind: Kind,
        /// Its stream id.
        stream: i32,
        /// Its connection id; 0 when it had none.
        connection: u32,
        /// Its service id; empty when it had none.
        service: String,
        /// Bytes of payload.
        payload: usize,
        /// Whether the other side was there to receive it.
        delivered: bool,
    },
    /// A ping came.
    Ping {
        /// Of which tunnel.
        tunnel: TunnelId,
        /// Who sent it.
        from: Mode,
        /// Its payload.
        payload: Vec<u8>,
    },
    /// A pong came.
    Pong {
        /// Of which tunnel.
        tunnel: TunnelId,
        /// Who sent it.
        from: Mode,
        /// Its payload.
        payload: Vec<u8>,
    },
    /// A WebSocket is over.
    Closed {
        /// Of which tunnel.
        tunnel: TunnelId,
        /// Which side's.
        mode: Mode,
        /// Its `channel-id`.
        channel_id: String,
        /// How it ended.
        ending: Ending,
    },
}

/// How a WebSocket ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// The client sent a close frame first, and its TCP connection did not end by an error before ours was out.
    Client {
        /// Its code, if it had one.
        code: Option<u16>,
        /// Its reason.
        reason: String,
    },
    /// The service sent a close frame first.
    Service {
        /// Its code.
        code: u16,
        /// Whether the client answered it with a close frame in time.
        answered: bool,
    },
    /// The client's TCP connection ended without a close frame: by an end of stream.
    AbruptEnd,
    /// The client's TCP connection ended by an error, such as a reset: without a close frame, or before ours was out.
    AbruptError(String),
    /// The service was told to kill the TCP connection.
    Killed,
}

impl Event {
    /// The tunnel it belongs to.
    pub fn tunnel(&self) -> Option<TunnelId> {
        match self {
            Self::Admitted { tunnel, .. }
            | Self::Connected { tunnel, .. }
            | Self::Violation { tunnel, .. }
            | Self::Message { tunnel, .. }
            | Self::Ping { tunnel, .. }
            | Self::Pong { tunnel, .. }
            | Self::Closed { tunnel, .. } => Some(*tunnel),
            Self::Rejected { tunnel, .. } => *tunnel,
            Self::TlsFailed { .. } => None,
        }
    }

    /// Whether this side was connected.
    pub fn is_connected(&self, side: Mode) -> bool {
        matches!(self, Self::Connected { mode, .. } if *mode == side)
    }

    /// Whether the WebSocket of this side is over.
    pub fn is_closed(&self, side: Mode) -> bool {
        matches!(self, Self::Closed { mode, .. } if *mode == side)
    }

    /// Whether a handshake was refused with this status.
    pub fn is_rejected(&self, with: u16) -> bool {
        matches!(self, Self::Rejected { status, .. } if *status == with)
    }

    /// Whether a rule was broken.
    pub fn is_violation(&self) -> bool {
        matches!(self, Self::Violation { .. })
    }

    /// Whether this is a message of a type from a side.
    pub fn is_message(&self, side: Mode, of: Kind) -> bool {
        matches!(self, Self::Message { from, kind, .. } if *from == side && *kind == of)
    }
}
