//! The names that messages carry: service ID, stream ID, connection ID, and the protocol's version.

use std::fmt;

use crate::limits::SERVICE_ID_MAX;

/// The version of the subprotocol that the service chose in the handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// `aws.iot.securetunneling-1.0`: one stream, no service IDs.
    V1,
    /// `aws.iot.securetunneling-2.0`: several services, one connection each.
    V2,
    /// `aws.iot.securetunneling-3.0`: several services, several connections each.
    V3,
}

impl Version {
    /// All of them, in the order in which they are offered.
    pub const OFFERED: [Version; 3] = [Version::V3, Version::V2, Version::V1];

    /// The name in `Sec-WebSocket-Protocol`.
    pub fn subprotocol(self) -> &'static str {
        match self {
            Version::V1 => "aws.iot.securetunneling-1.0",
            Version::V2 => "aws.iot.securetunneling-2.0",
            Version::V3 => "aws.iot.securetunneling-3.0",
        }
    }

    /// The version behind a name in `Sec-WebSocket-Protocol`.
    pub fn from_subprotocol(name: &str) -> Option<Version> {
        Version::OFFERED
            .into_iter()
            .find(|version| version.subprotocol() == name)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Version::V1 => "V1",
            Version::V2 => "V2",
            Version::V3 => "V3",
        })
    }
}

/// The name of a service of the tunnel, at most [`SERVICE_ID_MAX`] bytes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ServiceId(heapless::String<SERVICE_ID_MAX>);

impl ServiceId {
    /// The name, or nothing if it is empty or too long.
    pub fn new(name: &str) -> Option<ServiceId> {
        if name.is_empty() {
            return None;
        }
        heapless::String::try_from(name).ok().map(ServiceId)
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ServiceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The number of a stream, chosen by the source; never 0.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct StreamId(i32);

impl StreamId {
    /// The number, or nothing for 0, which the protocol forbids.
    pub fn new(id: i32) -> Option<StreamId> {
        (id != 0).then_some(StreamId(id))
    }

    /// The number as it goes over the wire.
    pub fn as_i32(self) -> i32 {
        self.0
    }
}

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The number of a TCP connection within a stream (V3). 0 on the wire means that there is none.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct ConnectionId(u32);

impl ConnectionId {
    /// The only connection of a V1 or V2 stream. Source: the V3 guide, "without a connection ID
    /// or with a connection ID of 0 … reinterpret it as connection ID set to 1".
    pub const FIRST: ConnectionId = ConnectionId(1);

    /// The number, or nothing for 0.
    pub fn new(id: u32) -> Option<ConnectionId> {
        (id != 0).then_some(ConnectionId(id))
    }

    /// The number as it goes over the wire.
    pub fn as_u32(self) -> u32 {
        self.0
    }
}

impl fmt::Display for ConnectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
