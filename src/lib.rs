//! cellgate: the destination side of AWS IoT Secure Tunneling, as firmware for the gateway of a robot cell.
//!
//! The map of the house, from the ground up. A room uses only rooms that stand before it.
//!
//! | room | is responsible for |
//! |---|---|
//! | [`limits`] | every bound, with unit, reason and source; the memory budget is their sum |
//! | [`secret`], [`exit`] | what must never be shown; what the process says when it ends |
//! | [`config`] | the owner's word: file, drop-in flags and environment become one checked `Config` |
//! | [`argv`] | takes tokens out of the process list |
//! | [`confine`] | what the process gives up: core files, its memory to others, files and ports beside its own |
//! | [`logging`] | one line a record, to stderr or the journal |
//! | [`protocol`] | the rules of the tunnel, sans-io: bytes and time in, commands out |
//! | [`socket`] | TCP options, and what the kernel tells of a connection |
//! | [`resolve`] | names to addresses, beside the loop |
//! | [`link`] | the way out (proxy, TCP, TLS), and the WebSocket to the service; knows nothing of streams |
//! | [`audit`] | who did what, a JSON line each |
//! | [`ledger`] | the tunnels and streams that live, in numbers; each beginning and end becomes an audit line |
//! | [`supervise`] | signals, the clock; the heartbeat, and the watchdogs that it feeds; knows none of the others |
//! | [`access`] | key switch and windows: whether the cell lets anybody in |
//! | [`relay`] | one TCP connection to a controller; knows nothing of tunnels |
//! | [`tunnel`] | one tunnel: joins protocol, link and relay in one event loop; reconnects |
//! | [`notify`] | the connection to the MQTT broker that tells of tunnels |
//! | [`control`] | the local socket: open, close, status; the check |
//! | [`command`] | the subcommands beside a running agent, and what they print |
//! | [`agent`] | the gateway: a fixed number of places for tunnels, who gets one, and what a restart needs |
//!
//! Nevers: `protocol` imports no tokio and reads no clock; `config` and `limits` import no room above them;
//! `link` and `relay` do not know each other; only `tunnel` sees protocol, link and relay together; only `agent`
//! sees `tunnel`; it also makes what tunnels share, the pool, the seats, the rooms of the links, the gates, the way out and
//! the ledger. `notify` and `control` know no tunnel: what they take in goes to `agent`.
//!
//! A byte's way down: TLS → WebSocket message → frame → [`protocol::session::Command::Deliver`] → the
//! controller's socket; only what the socket refuses is copied, into that connection's ring. Up: the socket is
//! read behind room for the heads of frame and WebSocket; they are written in place, the mask is laid over all of it
//! there, and it goes to TLS.

pub mod access;
pub mod agent;
pub mod argv;
pub mod audit;
pub mod command;
pub mod config;
pub mod confine;
pub mod control;
pub mod exit;
pub mod ledger;
pub mod limits;
pub mod link;
pub mod logging;
pub mod notify;
pub mod protocol;
pub mod relay;
pub mod resolve;
pub mod secret;
pub mod socket;
pub mod supervise;
pub mod tunnel;
