//! One tunnel message: the protobuf, and the encoding of what a destination sends.
//!
//! Decoding, in `fields.rs`, is on shared bytes, so that a payload is not copied. Encoding is split: a reset is
//! a whole message; DATA is written *around* a payload that already stands in the buffer.

use std::fmt;

use bytes::{BufMut, Bytes, BytesMut};
use prost::Message as _;
use prost::encoding::{WireType, encode_key, encode_varint, encoded_len_varint};

use super::ids::{ConnectionId, ServiceId, StreamId};
use crate::limits::{FRAME_PREFIX, SERVICE_ID_MAX};

/// A message as it is on the wire. Source: `Message.proto` in the protocol guides.
///
/// Service IDs are bytes here and not strings: the wire is the same, and DATA, which carries one each
/// time, needs no allocation.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Message {
    /// What it is; see [`Kind`].
    pub kind: i32,
    /// The stream; 0 where the message belongs to none.
    pub stream_id: i32,
    /// An unknown kind with this set may be passed over.
    pub ignorable: bool,
    /// The bytes of DATA.
    pub payload: Bytes,
    /// The service; empty from a V1 peer.
    pub service_id: Bytes,
    /// The list of SERVICE_IDS, as far as it is read.
    pub available_service_ids: Vec<Bytes>,
    /// How many more stand in that list.
    pub more_service_ids: usize,
    /// The connection; 0 from a V1 or V2 peer.
    pub connection_id: u32,
}

/// The kinds of messages, by their number on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Bytes of a connection.
    Data = 1,
    /// The source wants a stream and its first connection.
    StreamStart = 2,
    /// A stream is over.
    StreamReset = 3,
    /// The service lost something: every stream is over.
    SessionReset = 4,
    /// The services of the tunnel.
    ServiceIds = 5,
    /// The source wants one more connection in a stream.
    ConnectionStart = 6,
    /// A connection is over.
    ConnectionReset = 7,
}

impl Kind {
    /// The kind behind a number, or nothing for one that this version does not know.
    pub fn from_wire(number: i32) -> Option<Kind> {
        [
            Kind::Data,
            Kind::StreamStart,
            Kind::StreamReset,
            Kind::SessionReset,
            Kind::ServiceIds,
            Kind::ConnectionStart,
            Kind::ConnectionReset,
        ]
        .into_iter()
        .find(|kind| *kind as i32 == number)
    }
}

/// Bytes that [`Address::enclose`] may need before a payload: prefix, kind, stream ID (a negative
/// one has ten bytes), key and length of the payload.
pub const DATA_HEAD_MAX: usize = FRAME_PREFIX + 2 + 11 + 1 + 3;

/// Bytes that [`Address::enclose`] may need behind a payload: service ID and connection ID.
pub const DATA_TAIL_MAX: usize = 1 + 2 + SERVICE_ID_MAX + 1 + 5;

/// Where a message belongs, as it is written into every answer: a V1 peer gets neither service ID nor
/// connection ID, a V2 peer no connection ID.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Address {
    /// The stream.
    pub stream: StreamId,
    /// The service; none for a V1 peer.
    pub service: Option<ServiceId>,
    /// The connection; none for a V1 or V2 peer, and for a whole stream.
    pub connection: Option<ConnectionId>,
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.service {
            Some(service) => write!(f, "service {service} stream {}", self.stream)?,
            None => write!(f, "service - stream {}", self.stream)?,
        }
        match self.connection {
            Some(connection) => write!(f, " connection {connection}"),
            None => write!(f, " connection -"),
        }
    }
}

impl Address {
    /// A STREAM_RESET for the whole stream, as a frame with its length prefix.
    pub fn stream_reset(&self) -> Bytes {
        self.frame(Kind::StreamReset, None)
    }

    /// A CONNECTION_RESET, as a frame with its length prefix.
    pub fn connection_reset(&self) -> Bytes {
        self.frame(Kind::ConnectionReset, self.connection)
    }

    fn frame(&self, kind: Kind, connection: Option<ConnectionId>) -> Bytes {
        let message = Message {
            kind: kind as i32,
            stream_id: self.stream.as_i32(),
            service_id: match &self.service {
                Some(service) => Bytes::copy_from_slice(service.as_str().as_bytes()),
                None => Bytes::new(),
            },
            connection_id: connection.map_or(0, ConnectionId::as_u32),
            ..Message::default()
        };
        let length = message.encoded_len();
        let mut frame = BytesMut::with_capacity(FRAME_PREFIX + length);
        // A reset is a few bytes and a service ID: it always fits the 16-bit prefix.
        frame.put_u16(u16::try_from(length).unwrap_or(u16::MAX));
        frame.put_slice(&message.encode_to_vec());
        frame.freeze()
    }

    /// Makes a DATA frame, with its length prefix, around the payload that stands in `buffer` from `payload` on,
    /// behind at least [`DATA_HEAD_MAX`] bytes of room. Nothing is moved or copied: the head is written right before
    /// the payload. Tells where the frame begins; it ends with the buffer.
    ///
    /// # Panics
    /// If there is less room: a bug of the caller.
    pub fn enclose(&self, buffer: &mut BytesMut, payload: usize) -> usize {
        let length = buffer.len() - payload;
        self.put_tail(buffer);
        let head = Head::of(self.stream, length, buffer.len() - payload);
        let start = payload - head.len;
        buffer[start..payload].copy_from_slice(&head.bytes[..head.len]);
        start
    }

    fn put_tail(&self, buffer: &mut BytesMut) {
        if let Some(service) = &self.service {
            encode_key(5, WireType::LengthDelimited, buffer);
            encode_varint(service.as_str().len() as u64, buffer);
            buffer.put_slice(service.as_str().as_bytes());
        }
        if let Some(connection) = self.connection {
            encode_key(7, WireType::Varint, buffer);
            encode_varint(u64::from(connection.as_u32()), buffer);
        }
    }
}

/// What stands before the payload of a DATA frame.
struct Head {
    bytes: [u8; DATA_HEAD_MAX],
    len: usize,
}

impl Head {
    /// `behind` is the number of bytes from the payload's start to the message's end.
    fn of(stream: StreamId, payload: usize, behind: usize) -> Head {
        let mut bytes = [0; DATA_HEAD_MAX];
        // Protobuf extends the sign of a negative int32 to 64 bits.
        let stream = i64::from(stream.as_i32()).cast_unsigned();
        let len = FRAME_PREFIX
            + 2
            + 1
            + encoded_len_varint(stream)
            + 1
            + encoded_len_varint(payload as u64);
        let mut rest = &mut bytes[..];
        // The payload is at most one upward read, so the message fits the 16-bit prefix.
        rest.put_u16(u16::try_from(len - FRAME_PREFIX + behind).unwrap_or(u16::MAX));
        encode_key(1, WireType::Varint, &mut rest);
        encode_varint(Kind::Data as u64, &mut rest);
        encode_key(2, WireType::Varint, &mut rest);
        encode_varint(stream, &mut rest);
        encode_key(4, WireType::LengthDelimited, &mut rest);
        encode_varint(payload as u64, &mut rest);
        Head { bytes, len }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(stream: i32, service: &str, connection: u32) -> Address {
        Address {
            stream: StreamId::new(stream).expect("not 0"),
            service: ServiceId::new(service),
            connection: ConnectionId::new(connection),
        }
    }

    fn decode(frame: &[u8]) -> Message {
        let length = usize::from(u16::from_be_bytes([frame[0], frame[1]]));
        assert_eq!(
            length,
            frame.len() - FRAME_PREFIX,
            "the prefix tells the length"
        );
        Message::decode(&frame[FRAME_PREFIX..]).expect("our own message parses")
    }

    #[test]
    fn data_is_enclosed_without_moving_the_payload() {
        for (stream, service, connection) in [
            (1, "", 0),
            (7, "ssh", 0),
            (i32::MAX, "robot1", 3),
            (-1, "x", u32::MAX),
        ] {
            for size in [1, 127, 128, 512, 16_384] {
                let address = address(stream, service, connection);
                let payload: Vec<u8> = (0..=u8::MAX).cycle().take(size).collect();
                let mut buffer = BytesMut::with_capacity(DATA_HEAD_MAX + size + DATA_TAIL_MAX);
                buffer.put_bytes(0, DATA_HEAD_MAX);
                buffer.put_slice(&payload);
                let before = buffer[DATA_HEAD_MAX..].as_ptr();
                let start = address.enclose(&mut buffer, DATA_HEAD_MAX);
                let frame = &buffer[start..];
                let at = frame.len() - size - tail_len(&address);
                assert_eq!(
                    frame[at..].as_ptr(),
                    before,
                    "the payload stayed where it was"
                );
                let message = decode(frame);
                assert_eq!(message.kind, Kind::Data as i32);
                assert_eq!(message.stream_id, stream);
                assert_eq!(message.payload, payload);
                assert_eq!(message.service_id, service.as_bytes());
                assert_eq!(message.connection_id, connection);
                // The same bytes as the library writes, field for field.
                assert_eq!(message.encode_to_vec(), frame[FRAME_PREFIX..]);
            }
        }
    }

    fn tail_len(address: &Address) -> usize {
        let mut tail = BytesMut::new();
        address.put_tail(&mut tail);
        assert!(tail.len() <= DATA_TAIL_MAX);
        tail.len()
    }

    #[test]
    fn resets_carry_what_the_peer_understands() {
        let v1 = decode(&address(5, "", 0).stream_reset());
        assert_eq!((v1.kind, v1.stream_id), (3, 5));
        assert!(v1.service_id.is_empty() && v1.connection_id == 0);

        let v2 = decode(&address(5, "ssh", 0).stream_reset());
        assert_eq!((v2.service_id.as_ref(), v2.connection_id), (&b"ssh"[..], 0));

        let v3 = decode(&address(5, "ssh", 9).connection_reset());
        assert_eq!((v3.kind, v3.connection_id), (7, 9));
        let whole = decode(&address(5, "ssh", 9).stream_reset());
        assert_eq!((whole.kind, whole.connection_id), (3, 0));
    }
}
