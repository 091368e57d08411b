//! What the broker saw.

use std::fmt;

use super::packet::Version;

/// Which port a device came by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// As 8883 of AWS IoT.
    Plain,
    /// As 443, where the ALPN name is demanded.
    Alpn,
}

/// One thing the broker saw. `thing` is the name in the certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// TLS failed: no certificate, one of somebody else, or a client that does not trust the broker.
    TlsFailed {
        /// By which port.
        way: Way,
        /// The words of the TLS library.
        why: String,
    },
    /// A CONNECT was accepted.
    Connected {
        /// Whose.
        thing: String,
        /// By which port.
        way: Way,
        /// Which MQTT.
        version: Version,
        /// Whether it asked for a new session.
        clean_start: bool,
        /// Whether the session outlives the connection.
        persistent: bool,
        /// Whether there was a session.
        session_present: bool,
        /// Seconds, as it asked.
        keep_alive: u16,
    },
    /// A CONNECT was refused by a switch.
    Refused {
        /// Whose.
        thing: String,
        /// The reason code.
        reason: u8,
    },
    /// A SUBSCRIBE was answered, for each of its filters.
    Subscribed {
        /// Whose.
        thing: String,
        /// The filter.
        filter: String,
        /// The QoS it asked for.
        qos: u8,
        /// What it was granted, or the reason why not.
        answer: u8,
    },
    /// A message was sent to a device.
    Sent {
        /// To whom.
        thing: String,
        /// Its packet id.
        id: u16,
        /// Whether it was sent before.
        dup: bool,
        /// Bytes of payload.
        payload: usize,
    },
    /// A message was acknowledged.
    Puback {
        /// By whom.
        thing: String,
        /// Its packet id.
        id: u16,
        /// The reason code; 0 in MQTT 3.1.1.
        reason: u8,
    },
    /// A PINGREQ came.
    Ping {
        /// From whom.
        thing: String,
    },
    /// A connection that was accepted is over.
    Disconnected {
        /// Whose.
        thing: String,
        /// How it ended.
        ending: Ending,
    },
    /// A client broke a rule. The broker closes its connection.
    Violation {
        /// Whose certificate it has, if it showed one.
        thing: Option<String>,
        /// Which rule.
        what: Violation,
    },
}

/// How a connection ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// By the client's DISCONNECT, with its reason code; 0 is normal.
    Client(u8),
    /// By the end of the TCP connection.
    Lost(String),
    /// By the broker's DISCONNECT, with its reason code.
    Broker(u8),
    /// A second connection with the same client id took its session.
    TakenOver,
    /// Nothing came for one and a half times the keep-alive.
    Silent,
    /// A rule was broken.
    Violation,
    /// The broker was told to kill the TCP connection, or stopped.
    Killed,
}

/// A rule of AWS IoT that a client broke.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Violation {
    /// TLS without the name of the server.
    NoSni,
    /// TLS without the ALPN name on the port that demands it.
    NoAlpn,
    /// No CONNECT within the time of a handshake.
    NoConnect,
    /// The first packet was none, or a second one came.
    NotConnect,
    /// A client id that is not the thing of the certificate.
    ClientId(String),
    /// A last will; the least policy lets a device publish nothing.
    Will,
    /// A topic filter that the least policy does not allow.
    Filter(String),
    /// QoS 2, which AWS IoT has not.
    Qos2,
    /// A PUBACK for a message that was not sent.
    Puback(u16),
    /// A packet that a device has no business to send, by the number of its type; 3 is PUBLISH.
    Packet(u8),
    /// A packet larger than AWS IoT takes.
    TooLarge(usize),
    /// Bytes that are no MQTT.
    Malformed(String),
}

impl Event {
    /// Whether this device was connected.
    pub fn is_connected(&self, device: &str) -> bool {
        matches!(self, Self::Connected { thing, .. } if thing == device)
    }

    /// Whether this device was subscribed.
    pub fn is_subscribed(&self, device: &str) -> bool {
        matches!(self, Self::Subscribed { thing, answer: 0 | 1, .. } if thing == device)
    }

    /// Whether this device acknowledged a message.
    pub fn is_puback(&self, device: &str) -> bool {
        matches!(self, Self::Puback { thing, .. } if thing == device)
    }

    /// Whether the connection of this device is over.
    pub fn is_disconnected(&self, device: &str) -> bool {
        matches!(self, Self::Disconnected { thing, .. } if thing == device)
    }

    /// Whether a rule was broken.
    pub fn is_violation(&self) -> bool {
        matches!(self, Self::Violation { .. })
    }
}

/// No connection of this thing is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotConnected(pub String);

impl fmt::Display for NotConnected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is not connected to the broker", self.0)
    }
}

impl std::error::Error for NotConnected {}
