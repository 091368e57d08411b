//! What can be turned while the broker runs.

/// How the broker behaves towards every device. Turned by [`Broker::switch`](super::Broker::switch).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Switches {
    /// Each CONNECT gets a CONNACK with this reason code of MQTT 5, such as 0x87 (not authorized), 0x88 (server
    /// unavailable), 0x9f (connection rate exceeded).
    pub refuse_connect: Option<u8>,
    /// Each SUBSCRIBE gets a SUBACK with this reason code, such as 0x87.
    pub refuse_subscribe: Option<u8>,
    /// A TCP connection is accepted and then nothing is read or written.
    pub hang_tls: bool,
    /// A CONNECT gets no answer.
    pub hang_connect: bool,
    /// A SUBSCRIBE gets no answer.
    pub hang_subscribe: bool,
    /// A PINGREQ gets no answer.
    pub no_pingresp: bool,
    /// Nothing more is read from a device or written to it; its TCP connection stays.
    pub silence: bool,
    /// The keep-alive that the broker imposes by CONNACK, seconds; MQTT 5 only.
    pub keep_alive: Option<u16>,
}
