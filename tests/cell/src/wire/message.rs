//! One message of the tunnel and its bytes.

use bytes::{BufMut as _, Bytes, BytesMut};
use prost::Message as _;

/// What a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum Kind {
    /// Not a type; a message of this type is invalid.
    Unknown = 0,
    /// Bytes of a connection.
    Data = 1,
    /// Source to destination: a new stream of a service, with its first connection.
    StreamStart = 2,
    /// The stream and all its connections are over.
    StreamReset = 3,
    /// Service to client only: every stream is over.
    SessionReset = 4,
    /// Service to client only: the services of the tunnel.
    ServiceIds = 5,
    /// Source to destination: one more connection of a stream (V3).
    ConnectionStart = 6,
    /// One connection is over (V3).
    ConnectionReset = 7,
}

/// One message. A field with its default value is absent on the wire.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct Message {
    /// What it is; see [`Message::kind`] for the [`Kind`]. May hold a number that is no kind.
    #[prost(enumeration = "Kind", tag = "1")]
    pub r#type: i32,
    /// The stream it belongs to; 0 is none.
    #[prost(int32, tag = "2")]
    pub stream_id: i32,
    /// An unknown type with this set may be ignored.
    #[prost(bool, tag = "3")]
    pub ignorable: bool,
    /// The bytes of a DATA message, at most [`super::MAX_PAYLOAD`].
    #[prost(bytes = "bytes", tag = "4")]
    pub payload: Bytes,
    /// The service it belongs to; empty from a V1 peer.
    #[prost(string, tag = "5")]
    pub service_id: String,
    /// The services of the tunnel, in SERVICE_IDS only.
    #[prost(string, repeated, tag = "6")]
    pub available_service_ids: Vec<String>,
    /// The connection it belongs to; 0 from a V1 or V2 peer.
    #[prost(uint32, tag = "7")]
    pub connection_id: u32,
}

impl Message {
    /// A message about a stream, without payload. `service` empty and `connection` 0 leave the field away.
    pub fn new(kind: Kind, stream: i32, service: &str, connection: u32) -> Self {
        Self {
            r#type: kind.into(),
            stream_id: stream,
            service_id: service.to_owned(),
            connection_id: connection,
            ..Self::default()
        }
    }

    /// DATA.
    pub fn data(stream: i32, service: &str, connection: u32, payload: impl Into<Bytes>) -> Self {
        Self {
            payload: payload.into(),
            ..Self::new(Kind::Data, stream, service, connection)
        }
    }

    /// STREAM_START.
    pub fn stream_start(stream: i32, service: &str, connection: u32) -> Self {
        Self::new(Kind::StreamStart, stream, service, connection)
    }

    /// STREAM_RESET.
    pub fn stream_reset(stream: i32, service: &str) -> Self {
        Self::new(Kind::StreamReset, stream, service, 0)
    }

    /// CONNECTION_START.
    pub fn connection_start(stream: i32, service: &str, connection: u32) -> Self {
        Self::new(Kind::ConnectionStart, stream, service, connection)
    }

    /// CONNECTION_RESET.
    pub fn connection_reset(stream: i32, service: &str, connection: u32) -> Self {
        Self::new(Kind::ConnectionReset, stream, service, connection)
    }

    /// SESSION_RESET.
    pub fn session_reset() -> Self {
        Self::new(Kind::SessionReset, 0, "", 0)
    }

    /// SERVICE_IDS.
    pub fn service_ids<S: AsRef<str>>(services: &[S]) -> Self {
        Self {
            available_service_ids: services
                .iter()
                .map(|service| service.as_ref().to_owned())
                .collect(),
            ..Self::new(Kind::ServiceIds, 0, "", 0)
        }
    }

    /// The kind, or the number that is none.
    ///
    /// # Errors
    /// The number of a type that this version of the protocol does not know.
    pub fn kind(&self) -> Result<Kind, i32> {
        Kind::try_from(self.r#type).map_err(|_| self.r#type)
    }

    /// The message as it travels: length, then protobuf.
    ///
    /// # Panics
    /// When it is longer than its length can say, 65,535 bytes: a mistake in a test.
    pub fn frame(&self) -> Bytes {
        frame(&self.encode_to_vec())
    }
}

/// Puts the length before a message that is bytes already.
///
/// # Panics
/// When there are more than 65,535 bytes.
pub(super) fn frame(body: &[u8]) -> Bytes {
    let length = u16::try_from(body.len()).expect("a tunnel frame holds at most 65,535 bytes");
    let mut framed = BytesMut::with_capacity(2 + body.len());
    framed.put_u16(length);
    framed.put_slice(body);
    framed.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;

    // Written by hand from the schema in the protocol guide, so that the derive attributes above are checked too.
    #[test]
    fn the_bytes_are_those_of_the_guide() {
        let message = Message {
            ignorable: true,
            available_service_ids: vec!["a".into()],
            ..Message::data(5, "ssh1", 300, &b"hi"[..])
        };
        let expected = [
            0x00, 0x16, // 22 bytes follow
            0x08, 0x01, // type DATA
            0x10, 0x05, // streamId 5
            0x18, 0x01, // ignorable
            0x22, 0x02, b'h', b'i', // payload
            0x2a, 0x04, b's', b's', b'h', b'1', // serviceId
            0x32, 0x01, b'a', // availableServiceIds
            0x38, 0xac, 0x02, // connectionId 300
        ];
        assert_eq!(message.frame().as_ref(), expected.as_slice());
        assert_eq!(
            Message::decode(&expected[2..]).expect("it is valid"),
            message
        );
    }

    #[test]
    fn a_type_from_the_future_keeps_its_number() {
        let message = Message::decode(&[0x08, 0x63][..]).expect("proto3 enums are open");
        assert_eq!(message.kind(), Err(99));
    }
}
