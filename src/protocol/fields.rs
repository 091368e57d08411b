//! The fields of a tunnel message on the wire.
//!
//! Written by hand for one reason: a list that is made for each name of a SERVICE_IDS would let a single frame of
//! 64 KiB take 1.5 MiB of memory. Found by fuzzing (`tests/fuzz`).

use bytes::{Buf, BufMut, Bytes};
use prost::DecodeError;
use prost::encoding::{self, DecodeContext, WireType, skip_field};

use super::message::Message;
use crate::limits::SERVICE_IDS_READ;

impl prost::Message for Message {
    fn encode_raw(&self, buf: &mut impl BufMut) {
        if self.kind != 0 {
            encoding::int32::encode(1, &self.kind, buf);
        }
        if self.stream_id != 0 {
            encoding::int32::encode(2, &self.stream_id, buf);
        }
        if self.ignorable {
            encoding::bool::encode(3, &self.ignorable, buf);
        }
        if !self.payload.is_empty() {
            encoding::bytes::encode(4, &self.payload, buf);
        }
        if !self.service_id.is_empty() {
            encoding::bytes::encode(5, &self.service_id, buf);
        }
        encoding::bytes::encode_repeated(6, &self.available_service_ids, buf);
        if self.connection_id != 0 {
            encoding::uint32::encode(7, &self.connection_id, buf);
        }
    }

    fn encoded_len(&self) -> usize {
        let when = |there: bool, length: usize| if there { length } else { 0 };
        when(self.kind != 0, encoding::int32::encoded_len(1, &self.kind))
            + when(
                self.stream_id != 0,
                encoding::int32::encoded_len(2, &self.stream_id),
            )
            + when(
                self.ignorable,
                encoding::bool::encoded_len(3, &self.ignorable),
            )
            + when(
                !self.payload.is_empty(),
                encoding::bytes::encoded_len(4, &self.payload),
            )
            + when(
                !self.service_id.is_empty(),
                encoding::bytes::encoded_len(5, &self.service_id),
            )
            + encoding::bytes::encoded_len_repeated(6, &self.available_service_ids)
            + when(
                self.connection_id != 0,
                encoding::uint32::encoded_len(7, &self.connection_id),
            )
    }

    fn merge_field(
        &mut self,
        tag: u32,
        wire_type: WireType,
        buf: &mut impl Buf,
        ctx: DecodeContext,
    ) -> Result<(), DecodeError> {
        match tag {
            1 => encoding::int32::merge(wire_type, &mut self.kind, buf, ctx),
            2 => encoding::int32::merge(wire_type, &mut self.stream_id, buf, ctx),
            3 => encoding::bool::merge(wire_type, &mut self.ignorable, buf, ctx),
            4 => encoding::bytes::merge(wire_type, &mut self.payload, buf, ctx),
            5 => encoding::bytes::merge(wire_type, &mut self.service_id, buf, ctx),
            6 => {
                let mut id = Bytes::new();
                encoding::bytes::merge(wire_type, &mut id, buf, ctx)?;
                if self.available_service_ids.len() < SERVICE_IDS_READ {
                    self.available_service_ids.push(id);
                } else {
                    self.more_service_ids += 1;
                }
                Ok(())
            }
            7 => encoding::uint32::merge(wire_type, &mut self.connection_id, buf, ctx),
            _ => skip_field(wire_type, tag, buf, ctx),
        }
    }

    fn clear(&mut self) {
        *self = Message::default();
    }
}

#[cfg(test)]
mod tests {
    use prost::Message as _;

    use super::*;
    use crate::limits::FRAME_MAX;

    #[test]
    fn a_frame_full_of_names_is_no_long_list() {
        let mut frame = vec![8, 5];
        while frame.len() + 2 < FRAME_MAX {
            frame.extend([6 << 3 | 2, 0]);
        }
        let names = frame.len() / 2 - 1;
        let message = Message::decode(Bytes::from(frame)).expect("it parses");
        assert_eq!(message.available_service_ids.len(), SERVICE_IDS_READ);
        assert_eq!(message.available_service_ids.capacity(), SERVICE_IDS_READ);
        assert_eq!(message.more_service_ids, names - SERVICE_IDS_READ);
    }

    #[test]
    fn every_field_is_what_the_guide_says() {
        let message = Message {
            kind: 1,
            stream_id: -2,
            ignorable: true,
            payload: Bytes::from_static(b"pay"),
            service_id: Bytes::from_static(b"ssh"),
            available_service_ids: vec![Bytes::from_static(b"a"), Bytes::new()],
            more_service_ids: 0,
            connection_id: 300,
        };
        // Message.proto: int32 1, int32 2, bool 3, bytes 4, string 5, repeated string 6, uint32 7.
        let wire = b"\x08\x01\x10\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01\x18\x01\x22\x03pay\x2a\x03ssh\x32\x01a\x32\x00\x38\xac\x02";
        assert_eq!(message.encode_to_vec(), wire);
        assert_eq!(message.encoded_len(), wire.len());
        assert_eq!(Message::decode(&wire[..]), Ok(message));
        // A field that a newer service adds is passed over; one of another type is no message.
        assert_eq!(
            Message::decode(&b"\x78\x01\x72\x01x"[..]),
            Ok(Message::default())
        );
        assert!(Message::decode(&b"\x0a\x01x"[..]).is_err());
    }
}
