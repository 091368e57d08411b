//! The outgoing connection to the tunnelling service: resolve, TCP, TLS, WebSocket.
//!
//! Is responsible for: reaching the service ([`dial`]) with a verified certificate ([`tls`]), and carrying
//! WebSocket messages both ways with bounded buffers ([`websocket`]). Knows nothing of streams.

pub mod dial;
pub mod tls;
pub mod websocket;
