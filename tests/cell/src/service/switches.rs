//! What can be turned while a tunnel runs.

use std::time::Duration;

/// How the service behaves towards one side of one tunnel. Turned by [`Side::switch`](super::Side::switch), at any
/// time; they stay when the side reconnects.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Switches {
    /// Added to the way of each byte, each direction. Bytes travel at the same time, so it costs latency only.
    pub delay: Duration,
    /// Bytes a second, each direction; `None` is no limit.
    pub bandwidth: Option<u32>,
    /// WebSocket messages to the side hold at most this many bytes. 1 works.
    pub cut: Option<usize>,
    /// Everything waiting for the side goes into one WebSocket message, up to 131,076 bytes.
    pub glue: Option<Glue>,
    /// Messages to the side travel as fragments (continuation frames) of at most this many bytes.
    pub fragments: Option<Fragments>,
    /// Nothing is read from the side, written to it or answered; its TCP connection stays.
    pub silence: bool,
    /// The side's pings get no pong.
    pub no_pong: bool,
}

/// How messages are glued.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Glue {
    /// How long the first message waits for others.
    pub hold: Duration,
}

/// How messages are fragmented.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fragments {
    /// The size of a fragment, bytes; at least 1.
    pub size: usize,
    /// Whether a ping travels between the first and the second fragment, as RFC 6455 allows.
    pub ping_between: bool,
}

/// What the service does to a handshake that it was told to refuse.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// An answer with this status.
    Status {
        /// The HTTP status, 300 to 599.
        status: u16,
        /// The value of `Retry-After`.
        retry_after: Option<String>,
        /// The value of `X-Status-Reason`.
        reason: Option<String>,
    },
    /// The TCP connection ends instead of an answer.
    Cut(Kill),
    /// 200 with a page, as a captive portal answers.
    CaptivePortal,
    /// No answer; the TCP connection stays.
    Hang,
    /// 101 with a `Sec-WebSocket-Accept` that is not the answer to the key.
    WrongAccept,
    /// 101 without a subprotocol.
    NoSubprotocol,
    /// 101 with a subprotocol that was not offered.
    OtherSubprotocol,
}

impl Refusal {
    /// An answer with a status and nothing more.
    pub fn status(status: u16) -> Self {
        Self::Status {
            status,
            retry_after: None,
            reason: None,
        }
    }
}

/// How a TCP connection ends abruptly: without a WebSocket close, and without a TLS one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kill {
    /// By RST.
    Reset,
    /// By FIN.
    Fin,
}
