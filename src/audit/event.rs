//! What is written down.

use serde::Serialize;

/// Which way a byte went.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Way {
    /// To the controller.
    Down,
    /// From the controller.
    Up,
}

/// One thing that happened. `tunnel` is the hash that names it everywhere; `down` and `up` are bytes to the
/// controller and from it.
#[derive(Debug, Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
#[allow(missing_docs, reason = "the fields are the field's own names")]
pub enum Event<'a> {
    /// A tunnel took a place.
    TunnelOpened {
        tunnel: &'a str,
        by: &'a str,
        region: Option<&'a str>,
    },
    /// A token got no place.
    TunnelRefused {
        tunnel: &'a str,
        by: &'a str,
        reason: &'a str,
    },
    /// Its WebSocket is up.
    TunnelUp { tunnel: &'a str, service: &'a str },
    /// Its WebSocket is up no more; it may come again.
    TunnelDown { tunnel: &'a str, reason: &'a str },
    /// A tunnel gave its place back.
    TunnelEnded {
        tunnel: &'a str,
        seconds: u64,
        streams: u64,
        down: u64,
        up: u64,
        reason: &'a str,
    },
    /// The source started a connection.
    StreamOpened {
        tunnel: &'a str,
        service: &'a str,
        stream: i32,
        connection: u32,
        target: &'a str,
    },
    /// The source started one that leads nowhere.
    StreamRefused {
        tunnel: &'a str,
        service: &'a str,
        stream: i32,
        connection: u32,
        reason: &'a str,
    },
    /// The first byte went one way.
    FirstByte {
        tunnel: &'a str,
        service: &'a str,
        stream: i32,
        connection: u32,
        way: Way,
        milliseconds: u128,
    },
    /// A connection is over.
    StreamEnded {
        tunnel: &'a str,
        service: &'a str,
        stream: i32,
        connection: u32,
        target: &'a str,
        seconds: f64,
        down: u64,
        up: u64,
        reason: &'a str,
    },
    /// The cell lets people in.
    AccessOn { reason: &'a str },
    /// The cell lets nobody in.
    AccessOff { reason: &'a str },
}
