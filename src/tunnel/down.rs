//! Why a WebSocket's time is over, and what is still owed on it.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use heapless::Deque;

use super::desk::Why;
use crate::limits::OUTBOX_MAX;
use crate::link::websocket::{CloseCode, Link, Lost};
use crate::protocol::session::{Ending, Violation};

/// Why a tunnel's WebSocket is up no more.
#[derive(Debug)]
pub(super) enum Down {
    /// The link is over.
    Lost(Lost),
    /// What came is not the protocol.
    Violation(Violation),
    /// No sign of life for this long.
    Dead(Duration),
    /// The agent ends the tunnel.
    Stop(Why),
    /// The cell lets nobody in any more.
    NoAccess,
}

impl fmt::Display for Down {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Down::Lost(lost) => lost.fmt(f),
            Down::Violation(violation) => write!(f, "what came is not the protocol: {violation}"),
            Down::Dead(silence) => write!(
                f,
                "the link is dead: no pong and nothing else from the service for {:.0} s",
                silence.as_secs_f64()
            ),
            Down::Stop(why) => why.fmt(f),
            Down::NoAccess => write!(f, "the cell lets nobody in any more ([access])"),
        }
    }
}

/// A link on which only the last resets and the close are still to be sent.
pub(super) struct Farewell {
    /// The link.
    pub(super) link: Link,
    /// What it has not taken yet.
    pub(super) outbox: Deque<Bytes, OUTBOX_MAX>,
    /// The code of the close.
    pub(super) code: CloseCode,
}

/// Why a connection ends, for the log.
pub(super) fn reason(why: Ending) -> &'static str {
    match why {
        Ending::SourceReset => "the source closed it",
        Ending::Replaced => "the source started a new stream for the service",
        Ending::SessionReset => "the service reset the session",
        Ending::StreamFailed => "its stream failed: the target cannot be reached",
        Ending::LinkLost => "the link to the service is lost",
        Ending::Stopping => "the agent stops",
    }
}
