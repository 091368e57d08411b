//! What the session asks the shell to do.

use bytes::Bytes;

use super::Note;
use crate::protocol::streams::Slot;

/// What the shell must do.
#[derive(Debug, PartialEq)]
pub enum Command {
    /// The tunnel's services are known (again): see [`Session::declared`](super::Session::declared).
    Declared,
    /// Open a TCP connection for [`Session::address`](super::Session::address); bytes for it may come at once.
    Connect(Slot),
    /// Bytes for the target, in order.
    Deliver(Slot, Bytes),
    /// Write out what is queued, then FIN. The slot means nothing to the session any more.
    Finish(Slot, Ending),
    /// A frame for the service.
    Send(Bytes),
    /// Something a technician should read.
    Note(Note),
}

/// Why a connection ends, where the tunnel or the session wants it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The source closed it.
    SourceReset,
    /// The source started a new stream for the service.
    Replaced,
    /// The service lost something and reset the session.
    SessionReset,
    /// Another connection of its stream could not reach the target, so the stream is over.
    StreamFailed,
    /// The link is lost.
    LinkLost,
    /// The agent stops.
    Stopping,
}
