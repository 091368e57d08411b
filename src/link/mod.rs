//! The outgoing connection: resolve, TCP, proxy, TLS, WebSocket.
//!
//! Is responsible for: the way out ([`way`]), with the first address that answers ([`reach`]), what the kernel may hold for
//! it ([`room`]), and through the owner's HTTP proxy ([`proxy`]); reaching the service ([`dial`]) with a verified certificate
//! ([`tls`]); carrying WebSocket messages both ways with bounded buffers ([`websocket`]; `inflow` cuts what comes, `outflow`
//! makes what goes); and saying what became of the way of a lost connection ([`route`]). Knows nothing of the tunnel's
//! streams.

pub mod dial;
mod head;
mod inflow;
mod mask;
mod outflow;
pub mod proxy;
pub mod reach;
mod reply;
pub mod room;
pub mod route;
pub mod stream;
pub mod tls;
pub mod way;
pub mod websocket;
