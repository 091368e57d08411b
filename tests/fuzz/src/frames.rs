//! Frames: however the bytes are cut into WebSocket messages, the frames are those of the whole; what is decoded
//! and written again is the same message; and no frame takes more memory than the limits allow.

use bytes::{BufMut, Bytes, BytesMut};
use cellgate::limits::{FRAME_MAX, FRAME_PREFIX, WEBSOCKET_MESSAGE_MAX};
use cellgate::protocol::frame::Assembler;
use cellgate::protocol::ids::{ConnectionId, ServiceId, StreamId};
use cellgate::protocol::message::{Address, DATA_HEAD_MAX, DATA_TAIL_MAX, Kind, Message};
use prost::Message as _;

use crate::heap::peak_of;

/// What a decoded message may take beside the frame it shares: names in lists, with room to grow.
const DECODED_MAX: usize = 4 * 1024;

/// The first byte says how many cuts there are; each of them is two bytes; the rest is the stream.
pub fn run(input: &[u8]) {
    let Some((count, rest)) = input.split_first() else {
        return;
    };
    let (cuts, stream) = rest.split_at(rest.len().min(2 * usize::from(count % 16)));
    let cuts: Vec<usize> = cuts
        .chunks_exact(2)
        .map(|cut| 1 + usize::from(u16::from_le_bytes([cut[0], cut[1]])))
        .collect();
    assert_eq!(assembled(stream, &cuts), naive(stream));
    for frame in naive(stream) {
        decoded(&frame);
    }
}

fn naive(mut stream: &[u8]) -> Vec<Vec<u8>> {
    let mut frames = Vec::new();
    while let [high, low, rest @ ..] = stream {
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        if rest.len() < length {
            break;
        }
        frames.push(rest[..length].to_vec());
        stream = &rest[length..];
    }
    frames
}

fn assembled(mut stream: &[u8], cuts: &[usize]) -> Vec<Vec<u8>> {
    let mut assembler = Assembler::default();
    let mut frames = Vec::new();
    let mut cuts = cuts.iter().cycle();
    while !stream.is_empty() {
        let cut = cuts.next().map_or(WEBSOCKET_MESSAGE_MAX, |cut| *cut);
        let (message, behind) = stream.split_at(cut.min(stream.len()));
        stream = behind;
        assembler.push(Bytes::copy_from_slice(message));
        loop {
            let (frame, peak) = peak_of(|| assembler.next_frame());
            assert!(peak <= FRAME_MAX + 256, "a frame took {peak} bytes");
            match frame {
                Some(frame) => frames.push(frame.to_vec()),
                None => break,
            }
        }
    }
    frames
}

fn decoded(frame: &[u8]) {
    let shared = Bytes::copy_from_slice(frame);
    let (message, peak) = peak_of(|| Message::decode(shared));
    assert!(
        peak <= DECODED_MAX,
        "a frame of {} bytes took {peak} more",
        frame.len()
    );
    let Ok(message) = message else {
        return;
    };
    let again = Message::decode(Bytes::from(message.encode_to_vec()));
    // Of the names that are not read, only the number is known.
    let read = Message {
        more_service_ids: 0,
        ..message.clone()
    };
    assert_eq!(again, Ok(read));
    assert_eq!(message.encoded_len(), message.encode_to_vec().len());
    let service = std::str::from_utf8(&message.service_id);
    if let (Some(stream), Ok(service)) = (StreamId::new(message.stream_id), service) {
        let address = Address {
            stream,
            service: ServiceId::new(service),
            connection: ConnectionId::new(message.connection_id),
        };
        enclosed(&address, &message.payload);
    }
}

/// A DATA frame that is written around a payload says what the payload and its address are.
fn enclosed(address: &Address, payload: &[u8]) {
    let room = DATA_HEAD_MAX + payload.len() + DATA_TAIL_MAX;
    if room > usize::from(u16::MAX) {
        return;
    }
    let mut buffer = BytesMut::with_capacity(room);
    buffer.put_bytes(0, DATA_HEAD_MAX);
    buffer.put_slice(payload);
    let start = address.enclose(&mut buffer, DATA_HEAD_MAX);
    let frame = buffer.split_off(start).freeze();
    assert_eq!(naive(&frame).len(), 1);
    let message = Message::decode(frame.slice(FRAME_PREFIX..)).expect("our own message parses");
    assert_eq!(message.kind, Kind::Data as i32);
    assert_eq!(message.stream_id, address.stream.as_i32());
    assert_eq!(message.payload, payload);
    let service = address.service.as_ref().map_or("", ServiceId::as_str);
    assert_eq!(message.service_id, service.as_bytes());
    assert_eq!(
        message.connection_id,
        address.connection.map_or(0, ConnectionId::as_u32)
    );
    assert!(!message.ignorable && message.available_service_ids.is_empty());
}
