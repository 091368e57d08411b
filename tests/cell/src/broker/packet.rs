//! MQTT packets of both versions: what a client sends, taken apart, and what the broker sends, put together.
//!
//! The bytes are read and written by the library; here is only what a broker of notifications needs of them.

use bytes::{Buf as _, BytesMut};
use mqtt_protocol_core::mqtt::packet::{
    MaximumPacketSize, MaximumQos, Property, Qos, ReceiveMaximum, ServerKeepAlive, SubEntry,
    SubscriptionIdentifierAvailable, v3_1_1 as v3, v5_0 as v5,
};
use mqtt_protocol_core::mqtt::result_code::{
    ConnectReasonCode, ConnectReturnCode, DisconnectReasonCode, MqttError, SubackReasonCode,
    SubackReturnCode, UnsubackReasonCode,
};

/// The largest packet AWS IoT takes and sends, bytes: a payload of 128 KiB and its header.
pub const MAX_PACKET: usize = 146 * 1024;

/// The largest payload, bytes. Source: quotas of AWS IoT Core.
pub const MAX_PAYLOAD: usize = 128 * 1024;

/// QoS 1 messages a client may have unacknowledged. Source: quotas of AWS IoT Core.
const RECEIVE_MAXIMUM: u16 = 100;

/// Which MQTT a client speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// MQTT 3.1.1.
    V3,
    /// MQTT 5.
    V5,
}

/// What a client sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Packet {
    Connect(Connect),
    Subscribe {
        id: u16,
        entries: Vec<(String, u8)>,
    },
    Unsubscribe {
        id: u16,
        filters: Vec<String>,
    },
    Puback {
        id: u16,
        reason: u8,
    },
    Pingreq,
    Disconnect {
        reason: u8,
    },
    /// One that a device has no business to send, by the number of its type.
    Other(u8),
}

/// A CONNECT.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Connect {
    pub(super) version: Version,
    pub(super) client_id: String,
    pub(super) clean_start: bool,
    /// Seconds.
    pub(super) keep_alive: u16,
    /// Whether the session outlives the connection.
    pub(super) persistent: bool,
    /// Messages the client takes unacknowledged.
    pub(super) receive_maximum: usize,
    /// Bytes of the largest packet it takes.
    pub(super) maximum_packet: usize,
    pub(super) will: bool,
}

/// Why bytes are no packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fault {
    TooLarge(usize),
    Malformed(String),
}

impl From<MqttError> for Fault {
    fn from(error: MqttError) -> Self {
        Self::Malformed(format!("{error:?}"))
    }
}

/// Takes the next packet out of what was read, if it is there in full. Before CONNECT the version is unknown.
pub(super) fn next(
    buffer: &mut BytesMut,
    version: Option<Version>,
) -> Result<Option<Packet>, Fault> {
    let Some((header, length)) = header(buffer)? else {
        return Ok(None);
    };
    if header + length > MAX_PACKET {
        return Err(Fault::TooLarge(header + length));
    }
    if buffer.len() < header + length {
        return Ok(None);
    }
    let first = buffer[0];
    buffer.advance(header);
    let body = buffer.split_to(length);
    decode(first, &body, version).map(Some)
}

/// The length of the fixed header and of what follows.
fn header(buffer: &[u8]) -> Result<Option<(usize, usize)>, Fault> {
    let mut length = 0;
    for (index, byte) in buffer.iter().skip(1).take(4).enumerate() {
        length |= usize::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return Ok(Some((index + 2, length)));
        }
    }
    if buffer.len() >= 5 {
        return Err(Fault::Malformed(
            "a length of more than four bytes".to_owned(),
        ));
    }
    Ok(None)
}

fn decode(first: u8, body: &[u8], version: Option<Version>) -> Result<Packet, Fault> {
    let kind = first >> 4;
    // SUBSCRIBE and UNSUBSCRIBE carry 2, a PUBLISH its own, all others 0. Source: MQTT 5, 2.1.3.
    let flags = first & 0x0f;
    let wanted = match kind {
        8 | 10 => 2,
        3 => flags,
        _ => 0,
    };
    if flags != wanted {
        return Err(Fault::Malformed(format!(
            "flags {flags} of packet type {kind}"
        )));
    }
    let Some(version) = version else {
        return match kind {
            1 => connect(body).map(Packet::Connect),
            _ => Ok(Packet::Other(kind)),
        };
    };
    let (packet, used) = match (kind, version) {
        (1, _) => (Packet::Connect(connect(body)?), body.len()),
        (4, Version::V5) => {
            let (packet, used) = v5::Puback::parse(body)?;
            let reason = packet.reason_code().map_or(0, |code| code as u8);
            (
                Packet::Puback {
                    id: packet.packet_id(),
                    reason,
                },
                used,
            )
        }
        (4, Version::V3) => {
            let (packet, used) = v3::Puback::parse(body)?;
            (
                Packet::Puback {
                    id: packet.packet_id(),
                    reason: 0,
                },
                used,
            )
        }
        (8, Version::V5) => {
            let (packet, used) = v5::Subscribe::parse(body)?;
            (
                Packet::Subscribe {
                    id: packet.packet_id(),
                    entries: entries(packet.entries()),
                },
                used,
            )
        }
        (8, Version::V3) => {
            let (packet, used) = v3::Subscribe::parse(body)?;
            (
                Packet::Subscribe {
                    id: packet.packet_id(),
                    entries: entries(packet.entries()),
                },
                used,
            )
        }
        (10, Version::V5) => {
            let (packet, used) = v5::Unsubscribe::parse(body)?;
            let filters = packet
                .entries()
                .iter()
                .map(|filter| filter.as_str().to_owned());
            (
                Packet::Unsubscribe {
                    id: packet.packet_id(),
                    filters: filters.collect(),
                },
                used,
            )
        }
        (10, Version::V3) => {
            let (packet, used) = v3::Unsubscribe::parse(body)?;
            let filters = packet
                .entries()
                .iter()
                .map(|filter| filter.as_str().to_owned());
            (
                Packet::Unsubscribe {
                    id: packet.packet_id(),
                    filters: filters.collect(),
                },
                used,
            )
        }
        (12, _) => (Packet::Pingreq, 0),
        (14, Version::V5) => {
            let (packet, used) = v5::Disconnect::parse(body)?;
            (
                Packet::Disconnect {
                    reason: packet.reason_code().map_or(0, |code| code as u8),
                },
                used,
            )
        }
        (14, Version::V3) => (Packet::Disconnect { reason: 0 }, 0),
        (other, _) => (Packet::Other(other), body.len()),
    };
    if used != body.len() {
        let rest = body.len() - used;
        return Err(Fault::Malformed(format!(
            "{rest} bytes behind packet type {kind}"
        )));
    }
    Ok(packet)
}

fn entries(entries: &[SubEntry]) -> Vec<(String, u8)> {
    let entry = |entry: &SubEntry| {
        (
            entry.topic_filter().to_owned(),
            entry.sub_opts().qos() as u8,
        )
    };
    entries.iter().map(entry).collect()
}

/// The version stands behind the protocol name, whose length is two bytes.
fn connect(body: &[u8]) -> Result<Connect, Fault> {
    match body.get(6) {
        Some(5) => {
            let (packet, _) = v5::Connect::parse(body)?;
            let mut connect = Connect {
                version: Version::V5,
                client_id: packet.client_id().to_owned(),
                clean_start: packet.clean_start(),
                keep_alive: packet.keep_alive(),
                persistent: false,
                receive_maximum: usize::from(u16::MAX),
                maximum_packet: MAX_PACKET,
                will: packet.will_flag(),
            };
            for property in packet.props() {
                if let Property::SessionExpiryInterval(seconds) = property {
                    connect.persistent = seconds.val() > 0;
                } else if let Property::ReceiveMaximum(count) = property {
                    connect.receive_maximum = usize::from(count.val());
                } else if let Property::MaximumPacketSize(bytes) = property {
                    connect.maximum_packet = usize::try_from(bytes.val()).unwrap_or(MAX_PACKET);
                }
            }
            Ok(connect)
        }
        Some(4) => {
            let (packet, _) = v3::Connect::parse(body)?;
            Ok(Connect {
                version: Version::V3,
                client_id: packet.client_id().to_owned(),
                clean_start: packet.clean_session(),
                keep_alive: packet.keep_alive(),
                persistent: !packet.clean_session(),
                receive_maximum: usize::from(RECEIVE_MAXIMUM),
                maximum_packet: MAX_PACKET,
                will: packet.will_flag(),
            })
        }
        other => Err(Fault::Malformed(format!("protocol version {other:?}"))),
    }
}

/// A CONNACK with what AWS IoT says of itself. `keep_alive` overrules the client's, in MQTT 5 only.
pub(super) fn connack(
    version: Version,
    reason: u8,
    present: bool,
    keep_alive: Option<u16>,
) -> Vec<u8> {
    match version {
        Version::V5 => {
            let code =
                ConnectReasonCode::try_from(reason).unwrap_or(ConnectReasonCode::UnspecifiedError);
            let mut builder = v5::Connack::builder()
                .session_present(present)
                .reason_code(code);
            if reason == 0 {
                builder = builder.props(server(keep_alive));
            }
            builder.build().map(|packet| packet.to_continuous_buffer())
        }
        Version::V3 => {
            let code = match reason {
                0 => ConnectReturnCode::Accepted,
                0x85 => ConnectReturnCode::IdentifierRejected,
                0x86 => ConnectReturnCode::BadUserNameOrPassword,
                0x87 => ConnectReturnCode::NotAuthorized,
                _ => ConnectReturnCode::ServerUnavailable,
            };
            let packet = v3::Connack::builder()
                .session_present(present)
                .return_code(code)
                .build();
            packet.map(|packet| packet.to_continuous_buffer())
        }
    }
    .unwrap_or_default()
}

fn server(keep_alive: Option<u16>) -> Vec<Property> {
    let properties = [
        ReceiveMaximum::new(RECEIVE_MAXIMUM).map(Property::ReceiveMaximum),
        MaximumQos::new(1).map(Property::MaximumQos),
        MaximumPacketSize::new(u32::try_from(MAX_PACKET).unwrap_or(u32::MAX))
            .map(Property::MaximumPacketSize),
        SubscriptionIdentifierAvailable::new(0).map(Property::SubscriptionIdentifierAvailable),
    ];
    let keep_alive =
        keep_alive.map(|seconds| ServerKeepAlive::new(seconds).map(Property::ServerKeepAlive));
    properties.into_iter().chain(keep_alive).flatten().collect()
}

/// A SUBACK; a reason is a granted QoS or an error.
pub(super) fn suback(version: Version, id: u16, reasons: &[u8]) -> Vec<u8> {
    match version {
        Version::V5 => {
            let code = |reason: &u8| {
                SubackReasonCode::try_from(*reason).unwrap_or(SubackReasonCode::UnspecifiedError)
            };
            let codes = reasons.iter().map(code).collect();
            let packet = v5::Suback::builder()
                .packet_id(id)
                .reason_codes(codes)
                .build();
            packet.map(|packet| packet.to_continuous_buffer())
        }
        Version::V3 => {
            let code = |reason: &u8| {
                SubackReturnCode::try_from(*reason).unwrap_or(SubackReturnCode::Failure)
            };
            let codes = reasons.iter().map(code).collect();
            let packet = v3::Suback::builder()
                .packet_id(id)
                .return_codes(codes)
                .build();
            packet.map(|packet| packet.to_continuous_buffer())
        }
    }
    .unwrap_or_default()
}

/// An UNSUBACK for this many filters.
pub(super) fn unsuback(version: Version, id: u16, count: usize) -> Vec<u8> {
    match version {
        Version::V5 => {
            let codes = vec![UnsubackReasonCode::Success; count];
            let packet = v5::Unsuback::builder()
                .packet_id(id)
                .reason_codes(codes)
                .build();
            packet.map(|packet| packet.to_continuous_buffer())
        }
        Version::V3 => {
            let packet = v3::Unsuback::builder().packet_id(id).build();
            packet.map(|packet| packet.to_continuous_buffer())
        }
    }
    .unwrap_or_default()
}

/// A PUBLISH; `id` is there for QoS 1. Empty for a topic that is none.
pub(super) fn publish(
    version: Version,
    topic: &str,
    payload: &[u8],
    id: Option<u16>,
    dup: bool,
) -> Vec<u8> {
    let qos = if id.is_some() {
        Qos::AtLeastOnce
    } else {
        Qos::AtMostOnce
    };
    match version {
        Version::V5 => {
            let builder = v5::Publish::builder().topic_name(topic).map(|builder| {
                let builder = builder.qos(qos).dup(dup).payload(payload.to_vec());
                match id {
                    Some(id) => builder.packet_id(id),
                    None => builder,
                }
            });
            builder
                .and_then(|builder| builder.build())
                .map(|packet| packet.to_continuous_buffer())
        }
        Version::V3 => {
            let builder = v3::Publish::builder().topic_name(topic).map(|builder| {
                let builder = builder.qos(qos).dup(dup).payload(payload.to_vec());
                match id {
                    Some(id) => builder.packet_id(id),
                    None => builder,
                }
            });
            builder
                .and_then(|builder| builder.build())
                .map(|packet| packet.to_continuous_buffer())
        }
    }
    .unwrap_or_default()
}

/// A PINGRESP, alike in both versions.
pub(super) const PINGRESP: [u8; 2] = [0xd0, 0];

/// A DISCONNECT; MQTT 3.1.1 has none of the broker's, so it is empty there.
pub(super) fn disconnect(version: Version, reason: u8) -> Vec<u8> {
    let code =
        DisconnectReasonCode::try_from(reason).unwrap_or(DisconnectReasonCode::UnspecifiedError);
    match version {
        Version::V5 => v5::Disconnect::builder()
            .reason_code(code)
            .build()
            .map(|packet| packet.to_continuous_buffer())
            .unwrap_or_default(),
        Version::V3 => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packet_comes_in_pieces() {
        let whole = v5::Connect::builder()
            .client_id("cell-1")
            .and_then(|builder| builder.keep_alive(30).build());
        let whole = whole.expect("a packet").to_continuous_buffer();
        let mut buffer = BytesMut::new();
        for byte in &whole[..whole.len() - 1] {
            buffer.extend_from_slice(&[*byte]);
            assert_eq!(next(&mut buffer, None), Ok(None));
        }
        buffer.extend_from_slice(&whole[whole.len() - 1..]);
        let Ok(Some(Packet::Connect(connect))) = next(&mut buffer, None) else {
            panic!("a CONNECT");
        };
        assert_eq!(
            (connect.client_id.as_str(), connect.keep_alive),
            ("cell-1", 30)
        );
        assert!(!connect.persistent && buffer.is_empty());
    }

    #[test]
    fn what_is_no_packet_is_named() {
        let fault = |bytes: &[u8]| {
            next(&mut BytesMut::from(bytes), Some(Version::V5)).expect_err("no packet")
        };
        assert!(matches!(
            fault(&[0x30, 0xff, 0xff, 0xff, 0x7f]),
            Fault::TooLarge(_)
        ));
        assert!(matches!(
            fault(&[0x30, 0xff, 0xff, 0xff, 0xff]),
            Fault::Malformed(_)
        ));
        assert!(matches!(fault(&[0x82, 0]), Fault::Malformed(_)));
        assert!(matches!(fault(&[0xc1, 0]), Fault::Malformed(_)));
        assert!(matches!(fault(&[0xc0, 1, 0]), Fault::Malformed(_)));
    }
}
