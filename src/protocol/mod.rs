//! The rules of the tunnel, without a socket and without a clock: bytes and time in, commands out.
//!
//! Is responsible for: the wire ([`message`], [`frame`]), what each received message means
//! ([`session`] over the table of [`streams`]), the handshake's request and the verdict on its reply
//! ([`handshake`]), when to ping and when the link is dead ([`liveness`]), what the end of a login at the
//! broker means ([`login`]), and how long to wait before the next attempt ([`backoff`]).
//!
//! Source of the rules: the V1, V2 and V3 WebSocket protocol guides of AWS IoT Secure Tunneling.
//! Nothing here imports tokio or reads a clock, so that every rule is tested with a virtual one.

pub mod backoff;
mod fields;
pub mod frame;
pub mod handshake;
pub mod ids;
pub mod liveness;
pub mod login;
pub mod message;
pub mod notification;
pub mod session;
pub mod streams;
