//! What a client may not send.

use std::fmt;

use prost::Message as _;

use super::{Kind, MAX_PAYLOAD, Message, Mode};
use crate::service::Protocol;

/// Why the service closes a WebSocket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Violation {
    /// The bytes are no protobuf message.
    Unparsable(String),
    /// A field that the schema of the negotiated version does not have.
    UnknownField(u64),
    /// A field of the schema, encoded as another type.
    WrongWireType {
        /// Its number.
        field: u64,
        /// The wire type found.
        found: u64,
    },
    /// The type is 0 or above 7.
    UnknownType(i32),
    /// SESSION_RESET and SERVICE_IDS come from the service only.
    OnlyFromService(Kind),
    /// STREAM_START and CONNECTION_START come from a source only.
    OnlyFromSource(Kind),
    /// A message about a stream without its id.
    ZeroStream(Kind),
    /// More than [`MAX_PAYLOAD`] bytes.
    PayloadTooLarge(usize),
    /// A service that is not part of the tunnel.
    UndeclaredService(String),
    /// A service (or none) for which no stream was ever started on this tunnel.
    ServiceNotStarted(String),
    /// A WebSocket message above [`super::MAX_WEBSOCKET_MESSAGE`] bytes.
    WebSocketMessageTooLarge(u64),
    /// A text message.
    Text,
    /// Something RFC 6455 forbids.
    WebSocket(String),
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unparsable(why) => write!(f, "a tunnel frame does not parse: {why}"),
            Self::UnknownField(field) => write!(f, "unknown field {field}"),
            Self::WrongWireType { field, found } => {
                write!(f, "field {field} has wire type {found}")
            }
            Self::UnknownType(number) => write!(f, "unknown message type {number}"),
            Self::OnlyFromService(kind) => write!(f, "{kind:?} from a client"),
            Self::OnlyFromSource(kind) => write!(f, "{kind:?} from a destination"),
            Self::ZeroStream(kind) => write!(f, "{kind:?} with stream id 0"),
            Self::PayloadTooLarge(bytes) => write!(f, "payload of {bytes} bytes"),
            Self::UndeclaredService(service) => {
                write!(f, "service {service:?} is not part of the tunnel")
            }
            Self::ServiceNotStarted(service) => {
                write!(f, "no stream was started for service {service:?}")
            }
            Self::WebSocketMessageTooLarge(bytes) => {
                write!(f, "WebSocket message of {bytes} bytes")
            }
            Self::Text => f.write_str("text message"),
            Self::WebSocket(why) => write!(f, "against RFC 6455: {why}"),
        }
    }
}

impl std::error::Error for Violation {}

/// Decodes the body of a frame and holds it against every rule that needs no memory of earlier messages.
///
/// `services` are those of the tunnel. `protocol` is what this client negotiated: a destination may use no field that
/// came later. A source is let off, because one of 3.0 may speak in the form of V1.
///
/// # Errors
/// The first rule broken.
pub fn check<S: AsRef<str>>(
    body: &[u8],
    from: Mode,
    protocol: Protocol,
    services: &[S],
) -> Result<Message, Violation> {
    let last = match from {
        Mode::Source => LAST_FIELD,
        Mode::Destination => last_field(protocol),
    };
    check_fields(body, last)?;
    let message =
        Message::decode(body).map_err(|error| Violation::Unparsable(error.to_string()))?;
    let kind = message.kind().map_err(Violation::UnknownType)?;
    match kind {
        Kind::Unknown => return Err(Violation::UnknownType(0)),
        Kind::SessionReset | Kind::ServiceIds => return Err(Violation::OnlyFromService(kind)),
        Kind::StreamStart | Kind::ConnectionStart if from == Mode::Destination => {
            return Err(Violation::OnlyFromSource(kind));
        }
        Kind::Data
        | Kind::StreamStart
        | Kind::StreamReset
        | Kind::ConnectionStart
        | Kind::ConnectionReset => {}
    }
    if message.stream_id == 0 {
        return Err(Violation::ZeroStream(kind));
    }
    if message.payload.len() > MAX_PAYLOAD {
        return Err(Violation::PayloadTooLarge(message.payload.len()));
    }
    let declared = services
        .iter()
        .any(|service| service.as_ref() == message.service_id);
    if !message.service_id.is_empty() && !declared {
        return Err(Violation::UndeclaredService(message.service_id));
    }
    Ok(message)
}

/// The last field of the newest schema.
const LAST_FIELD: u64 = 7;

/// The last field of a version's schema. Source: the V1, V2 and V3 protocol guides, "ProtocolBuffers Message Schema".
fn last_field(protocol: Protocol) -> u64 {
    match protocol {
        Protocol::V1 => 4,
        Protocol::V2 => 6,
        Protocol::V3 => LAST_FIELD,
    }
}

/// Walks over the fields, which may be 1 to `last`. Prost drops the unknown ones without a word.
fn check_fields(body: &[u8], last: u64) -> Result<(), Violation> {
    let mut rest = body;
    while !rest.is_empty() {
        let key = varint(&mut rest)?;
        let (field, found) = (key >> 3, key & 7);
        if field > last {
            return Err(Violation::UnknownField(field));
        }
        let expected = match field {
            1 | 2 | 3 | 7 => VARINT,
            4..=6 => LENGTH_DELIMITED,
            0 | 8.. => return Err(Violation::UnknownField(field)),
        };
        if found != expected {
            return Err(Violation::WrongWireType { field, found });
        }
        let value = varint(&mut rest)?;
        if expected == LENGTH_DELIMITED {
            let length = usize::try_from(value).unwrap_or(usize::MAX);
            let Some((content, after)) = rest.split_at_checked(length) else {
                return Err(Violation::Unparsable(format!("field {field} is cut short")));
            };
            if field != 4 && std::str::from_utf8(content).is_err() {
                return Err(Violation::Unparsable(format!("field {field} is not UTF-8")));
            }
            rest = after;
        }
    }
    Ok(())
}

const VARINT: u64 = 0;
const LENGTH_DELIMITED: u64 = 2;

fn varint(rest: &mut &[u8]) -> Result<u64, Violation> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let Some((&byte, after)) = rest.split_first() else {
            return Err(Violation::Unparsable("a varint is cut short".to_owned()));
        };
        *rest = after;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok(value);
        }
    }
    Err(Violation::Unparsable(
        "a varint is longer than 10 bytes".to_owned(),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SERVICES: [&str; 2] = ["robot1", "robot2"];

    fn checked(body: &[u8], from: Mode) -> Result<Message, Violation> {
        check(body, from, Protocol::V3, &SERVICES)
    }

    fn sent(message: &Message, from: Mode) -> Result<Message, Violation> {
        checked(&message.encode_to_vec(), from)
    }

    #[test]
    fn what_a_destination_may_send_passes() {
        for message in [
            Message::data(1, "robot1", 1, vec![0; MAX_PAYLOAD]),
            Message::data(1, "", 0, &b"x"[..]),
            Message::stream_reset(-7, "robot2"),
            Message::connection_reset(1, "robot2", 9),
        ] {
            assert_eq!(sent(&message, Mode::Destination), Ok(message));
        }
    }

    #[test]
    fn each_rule_is_found_broken() {
        use Mode::{Destination, Source};
        let start = Message::stream_start(1, "robot1", 1);
        let more = Message::connection_start(1, "robot1", 2);
        assert!(sent(&start, Source).is_ok());
        assert!(sent(&more, Source).is_ok());
        let cases = [
            (
                start,
                Destination,
                Violation::OnlyFromSource(Kind::StreamStart),
            ),
            (
                more,
                Destination,
                Violation::OnlyFromSource(Kind::ConnectionStart),
            ),
            (
                Message::session_reset(),
                Source,
                Violation::OnlyFromService(Kind::SessionReset),
            ),
            (
                Message::service_ids(&SERVICES),
                Destination,
                Violation::OnlyFromService(Kind::ServiceIds),
            ),
            (Message::default(), Source, Violation::UnknownType(0)),
            (
                Message {
                    r#type: 8,
                    ..Message::data(1, "", 0, "")
                },
                Source,
                Violation::UnknownType(8),
            ),
            (
                Message::data(0, "robot1", 1, "x"),
                Source,
                Violation::ZeroStream(Kind::Data),
            ),
            (
                Message::data(1, "robot1", 1, vec![0; MAX_PAYLOAD + 1]),
                Source,
                Violation::PayloadTooLarge(MAX_PAYLOAD + 1),
            ),
            (
                Message::data(1, "robot3", 1, "x"),
                Source,
                Violation::UndeclaredService("robot3".to_owned()),
            ),
        ];
        for (message, sender, violation) in cases {
            assert_eq!(sent(&message, sender), Err(violation));
        }
    }

    #[test]
    fn a_destination_uses_no_field_of_a_later_version() {
        let of = |message: &Message, from, protocol| {
            check(&message.encode_to_vec(), from, protocol, &SERVICES).map(|_| ())
        };
        let cases = [
            (Message::data(1, "", 0, "x"), [Ok(()), Ok(()), Ok(())]),
            (Message::data(1, "robot1", 0, "x"), [Err(5), Ok(()), Ok(())]),
            (Message::data(1, "robot1", 1, "x"), [Err(5), Err(7), Ok(())]),
            (Message::data(1, "", 1, "x"), [Err(7), Err(7), Ok(())]),
            (Message::stream_reset(1, "robot1"), [Err(5), Ok(()), Ok(())]),
            (
                Message::connection_reset(1, "robot1", 2),
                [Err(5), Err(7), Ok(())],
            ),
        ];
        for (message, expected) in cases {
            for (protocol, expected) in [Protocol::V1, Protocol::V2, Protocol::V3]
                .into_iter()
                .zip(expected)
            {
                assert_eq!(
                    of(&message, Mode::Destination, protocol),
                    expected.map_err(Violation::UnknownField),
                    "{message:?} {protocol:?}"
                );
                assert_eq!(of(&message, Mode::Source, protocol), Ok(()));
            }
        }
    }

    #[test]
    fn fields_outside_the_schema_are_found() {
        // Each after a valid DATA on stream 1.
        let cases: [(&[u8], Violation); 6] = [
            (&[0x40, 0x01], Violation::UnknownField(8)),
            (
                &[0x3a, 0x00],
                Violation::WrongWireType { field: 7, found: 2 },
            ),
            (
                &[0x21, 1, 2, 3, 4, 5, 6, 7, 8],
                Violation::WrongWireType { field: 4, found: 1 },
            ),
            (
                &[0x2a, 0x05, b'r'],
                Violation::Unparsable("field 5 is cut short".to_owned()),
            ),
            (
                &[0x2a, 0x01, 0xff],
                Violation::Unparsable("field 5 is not UTF-8".to_owned()),
            ),
            (
                &[0x38, 0x80],
                Violation::Unparsable("a varint is cut short".to_owned()),
            ),
        ];
        for (extra, violation) in cases {
            let body = [&[0x08, 0x01, 0x10, 0x01], extra].concat();
            assert_eq!(checked(&body, Mode::Destination), Err(violation));
        }
    }
}
