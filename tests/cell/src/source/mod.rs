//! The source: the side of the tunnel that people connect to.
//!
//! Responsible for: the handshake of a client (`dial`), a source with listening TCP ports that speaks V1, V2 or V3
//! ([`Source`]), and the bare WebSocket under it for conformance tests ([`RawSource`]).

mod connection;
mod dial;
mod listen;
mod pump;
mod raw;
mod streams;

pub use dial::{ConnectError, SourceOptions, connect_tls};
pub use listen::{Source, SourceEvent};
pub use raw::{RawSource, RecvError};
