//! What went wrong in a session, in words for the log.

use std::fmt;

use crate::limits::{CONNECTIONS_MAX, DECLARED_MAX, SERVICE_ID_MAX, SERVICES_MAX};
use crate::protocol::message::Address;

/// Something odd that the session dealt with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Note {
    /// A start with stream ID 0, which the protocol forbids.
    StreamZero,
    /// A start for a service that the tunnel does not declare.
    Undeclared(Address),
    /// A start beyond [`SERVICES_MAX`] services or the connections of one tunnel (`[places] connections`).
    TableFull(Address),
    /// A connection ID that is in use already.
    ConnectionTaken(Address),
    /// Something of a stream that was started before this WebSocket was up.
    Earlier(Address),
    /// A connection start in a stream that is not current.
    NoStream(Address),
    /// A connection start without a connection ID, or in a stream whose source has only one (V1, V2).
    NotMultiplexed(Address),
    /// SERVICE_IDS with more than [`DECLARED_MAX`] services; the first ones count.
    TooManyServices(usize),
    /// SERVICE_IDS with a service ID of so many bytes that is none.
    OddServiceId(usize),
    /// A kind that this version does not know.
    UnknownKind(i32),
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Note::StreamZero => {
                write!(
                    f,
                    "ignored a start with stream ID 0, which the protocol forbids"
                )
            }
            Note::Undeclared(at) => write!(
                f,
                "{at}: ignored a start: the tunnel does not declare this service; open the tunnel with it"
            ),
            Note::TableFull(at) => write!(
                f,
                "{at}: refused: all connections of the tunnel ([places] connections, at most {CONNECTIONS_MAX}) or {SERVICES_MAX} services are in use already"
            ),
            Note::ConnectionTaken(at) => {
                write!(
                    f,
                    "{at}: refused a connection start: this connection ID is live already"
                )
            }
            Note::Earlier(at) => write!(
                f,
                "{at}: was started before this WebSocket was up; the source is told that it is gone"
            ),
            Note::NoStream(at) => {
                write!(
                    f,
                    "{at}: refused a connection start: this stream is not the current one"
                )
            }
            Note::NotMultiplexed(at) => write!(
                f,
                "{at}: refused a connection start: it needs a connection ID, and a stream that was started with one (V3)"
            ),
            Note::TooManyServices(count) => write!(
                f,
                "the tunnel declares {count} services; only the first {DECLARED_MAX} are served"
            ),
            Note::OddServiceId(length) => write!(
                f,
                "the tunnel declares a service ID of {length} bytes that is no text of 1 to {SERVICE_ID_MAX} bytes; it is not served"
            ),
            Note::UnknownKind(kind) => write!(f, "ignored a message of unknown type {kind}"),
        }
    }
}

/// Bytes that are not the protocol. The WebSocket must be closed, and opened anew.
#[derive(Debug)]
pub enum Violation {
    /// A frame that is no message.
    Unparsable {
        /// Its length in bytes.
        length: usize,
        /// What the decoder said.
        reason: prost::DecodeError,
    },
    /// A service ID that is no text, or not of 1 to [`SERVICE_ID_MAX`] bytes.
    ServiceId {
        /// Its length in bytes.
        length: usize,
    },
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Violation::Unparsable { length, reason } => {
                write!(
                    f,
                    "a frame of {length} bytes is no tunnel message: {reason}"
                )
            }
            Violation::ServiceId { length } => write!(
                f,
                "a service ID of {length} bytes is no text of 1 to {SERVICE_ID_MAX} bytes"
            ),
        }
    }
}
