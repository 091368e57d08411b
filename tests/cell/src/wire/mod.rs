//! The tunnel's messages, as the V1, V2 and V3 WebSocket protocol guides define them.
//!
//! Responsible for: the message and its bytes ([`Message`]), cutting the byte stream into frames ([`Assembler`]) and
//! everything a client may not send ([`Violation`], [`check`]). The cell has its own codec on purpose: an error of the
//! agent's codec must not be mirrored here.

mod assembler;
mod message;
mod mode;
mod strict;

pub use assembler::Assembler;
pub use message::{Kind, Message};
pub use mode::Mode;
pub use strict::{Violation, check};

/// The largest WebSocket message either way, bytes (protocol guides, "WebSocket Subprotocol").
pub const MAX_WEBSOCKET_MESSAGE: usize = 131_076;

/// The largest payload of one message, bytes: 63 KiB (protocol guides, "ProtocolBuffers Message Schema").
pub const MAX_PAYLOAD: usize = 64_512;
