//! What comes from the service, cut into messages.
//!
//! Sans-io: decrypted bytes in, one event out. A payload is copied once, from where TLS has decrypted it into the
//! buffer of its message; that buffer is used again when the message before is done with.

use bytes::{Bytes, BytesMut};
use heapless::Vec;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::Utf8Bytes;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

use super::head::{CONTROL_MAX, Fault, Head, Opcode, SERVICE_HEAD_MAX};
use crate::limits::{LINK_READ_BUFFER, WEBSOCKET_MESSAGE_MAX};

/// The payload of a control frame.
pub(super) type Control = Vec<u8, CONTROL_MAX>;

/// What came.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Incoming {
    /// A whole binary message.
    Message(Bytes),
    /// A text message begins.
    Text,
    /// A ping, to be answered with its payload.
    Ping(Control),
    /// A pong.
    Pong,
    /// A close.
    Close(Option<CloseFrame>),
}

/// The frame of which bytes are still to come.
struct Frame {
    opcode: Opcode,
    last: bool,
    left: usize,
}

/// Holds one message at most, as far as it has come, and one control frame.
#[derive(Default)]
pub(super) struct Inflow {
    head: Vec<u8, SERVICE_HEAD_MAX>,
    frame: Option<Frame>,
    message: BytesMut,
    /// Whether fragments of a message came, and its last did not.
    fragments: bool,
    control: Control,
    /// Whether the buffer has grown beyond what small messages need.
    grown: bool,
}

impl Inflow {
    /// Takes bytes from the front of what came, until something is whole or there are no more.
    pub(super) fn take(&mut self, bytes: &mut &[u8]) -> Result<Option<Incoming>, Fault> {
        loop {
            let Some(frame) = &mut self.frame else {
                match self.begin(bytes)? {
                    Some(Opcode::Text) => return Ok(Some(Incoming::Text)),
                    Some(_) => continue,
                    None => return Ok(None),
                }
            };
            let count = frame.left.min(bytes.len());
            let (piece, rest) = bytes.split_at(count);
            *bytes = rest;
            frame.left -= count;
            let whole = frame.left == 0;
            let (opcode, last) = (frame.opcode, frame.last);
            if whole {
                self.frame = None;
            }
            if opcode.is_control() {
                // Its head was checked: it has room.
                let _ = self.control.extend_from_slice(piece);
                if whole {
                    return self.control(opcode).map(Some);
                }
            } else {
                self.message.extend_from_slice(piece);
                if whole && last {
                    self.fragments = false;
                    let message = self.message.split().freeze();
                    return Ok(Some(Incoming::Message(message)));
                }
            }
            if !whole {
                return Ok(None);
            }
        }
    }

    /// Nothing came for now: an idle link holds no large buffer.
    pub(super) fn rest(&mut self) {
        if self.grown && self.message.is_empty() {
            self.message = BytesMut::new();
            self.grown = false;
        }
    }

    /// Reads the head of the next frame; nothing if the rest of it has not come yet.
    fn begin(&mut self, bytes: &mut &[u8]) -> Result<Option<Opcode>, Fault> {
        let head = loop {
            if let Some(head) = Head::parse(&self.head)? {
                break head;
            }
            let Some((next, rest)) = bytes.split_first() else {
                return Ok(None);
            };
            // A head that has all its bytes is one, or a fault.
            let _ = self.head.push(*next);
            *bytes = rest;
        };
        self.head.clear();
        if head.opcode.is_control() {
            self.control.clear();
        } else {
            match (head.opcode, self.fragments) {
                (Opcode::Continuation, false) => return Err(Fault::NothingToContinue),
                (Opcode::Text | Opcode::Binary, true) => return Err(Fault::WithinAnother),
                (_, _) => {}
            }
            self.make_room(head.length)?;
            self.fragments = true;
        }
        self.frame = Some(Frame {
            opcode: head.opcode,
            last: head.last,
            left: head.length,
        });
        Ok(Some(head.opcode))
    }

    fn make_room(&mut self, length: usize) -> Result<(), Fault> {
        let whole = self.message.len() + length;
        if whole > WEBSOCKET_MESSAGE_MAX {
            return Err(Fault::TooLong(whole as u64));
        }
        if self.message.capacity() < whole {
            self.message.reserve(length.max(LINK_READ_BUFFER));
            self.grown |= whole > LINK_READ_BUFFER;
        }
        Ok(())
    }

    fn control(&mut self, opcode: Opcode) -> Result<Incoming, Fault> {
        if opcode == Opcode::Ping {
            return Ok(Incoming::Ping(self.control.clone()));
        }
        if opcode == Opcode::Pong {
            return Ok(Incoming::Pong);
        }
        let reason = match &self.control[..] {
            [] => return Ok(Incoming::Close(None)),
            [_] => return Err(Fault::HalfCode),
            [_, _, reason @ ..] => std::str::from_utf8(reason).map_err(|_| Fault::Reason)?,
        };
        let code = CloseCode::from(u16::from_be_bytes([self.control[0], self.control[1]]));
        Ok(Incoming::Close(Some(CloseFrame {
            code,
            reason: Utf8Bytes::from(reason),
        })))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A frame of a service.
    fn frame(first: u8, payload: &[u8]) -> std::vec::Vec<u8> {
        let mut frame = vec![first];
        match payload.len() {
            length @ 0..=125 => frame.push(u8::try_from(length).expect("small")),
            length @ 126..=65_535 => {
                frame.push(126);
                frame.extend(u16::try_from(length).expect("checked").to_be_bytes());
            }
            length => {
                frame.push(127);
                frame.extend((length as u64).to_be_bytes());
            }
        }
        frame.extend(payload);
        frame
    }

    /// What comes of a stream that is handed over in pieces.
    fn comes(stream: &[u8], piece: usize) -> Result<std::vec::Vec<Incoming>, Fault> {
        let mut inflow = Inflow::default();
        let mut all = vec![];
        for mut bytes in stream.chunks(piece) {
            while let Some(incoming) = inflow.take(&mut bytes)? {
                all.push(incoming);
            }
            assert!(bytes.is_empty());
            inflow.rest();
        }
        Ok(all)
    }

    fn control(bytes: &[u8]) -> Control {
        Control::from_slice(bytes).expect("it fits")
    }

    fn message(bytes: &[u8]) -> Incoming {
        Incoming::Message(Bytes::copy_from_slice(bytes))
    }

    #[test]
    fn fragments_with_control_frames_between_are_one_message() {
        let stream = [
            frame(0x02, b"one "),
            frame(0x89, b"are you there?"),
            frame(0x00, b""),
            frame(0x00, b"message"),
            frame(0x8a, b""),
            frame(0x80, b"!"),
            frame(0x82, b""),
            frame(0x82, b"another"),
        ]
        .concat();
        for piece in [1, 2, 3, 7, stream.len()] {
            assert_eq!(
                comes(&stream, piece).expect("all of it is allowed"),
                [
                    Incoming::Ping(control(b"are you there?")),
                    Incoming::Pong,
                    message(b"one message!"),
                    message(b""),
                    message(b"another"),
                ]
            );
        }
    }

    #[test]
    fn the_largest_message_passes_whole_and_in_fragments_and_no_larger_one() {
        let largest = vec![7; WEBSOCKET_MESSAGE_MAX];
        let (one, two) = largest.split_at(100_000);
        for stream in [
            frame(0x82, &largest),
            [frame(0x02, one), frame(0x80, two)].concat(),
        ] {
            assert_eq!(comes(&stream, 16_384), Ok(vec![message(&largest)]));
        }
        let larger = [frame(0x02, one), frame(0x00, two), frame(0x80, b"x")].concat();
        let length = WEBSOCKET_MESSAGE_MAX as u64 + 1;
        assert_eq!(comes(&larger, 16_384), Err(Fault::TooLong(length)));
    }

    #[test]
    fn fragments_out_of_order_are_faults() {
        let nothing = frame(0x80, b"more");
        assert_eq!(comes(&nothing, 1), Err(Fault::NothingToContinue));
        let ended = [frame(0x82, b"whole"), frame(0x80, b"more")].concat();
        assert_eq!(comes(&ended, 1), Err(Fault::NothingToContinue));
        for second in [0x82, 0x02, 0x81] {
            let within = [frame(0x02, b"begun"), frame(second, b"another")].concat();
            assert_eq!(comes(&within, 1), Err(Fault::WithinAnother));
        }
    }

    #[test]
    fn a_text_message_is_told_before_it_is_there() {
        let mut inflow = Inflow::default();
        assert_eq!(
            inflow.take(&mut &[0x01, 0x05][..]),
            Ok(Some(Incoming::Text))
        );
    }

    #[test]
    fn a_close_has_a_code_and_a_reason_or_nothing() {
        assert_eq!(comes(&frame(0x88, b""), 1), Ok(vec![Incoming::Close(None)]));
        let close = CloseFrame {
            code: CloseCode::Away,
            reason: "later".into(),
        };
        assert_eq!(
            comes(&frame(0x88, b"\x03\xe9later"), 3),
            Ok(vec![Incoming::Close(Some(close))])
        );
        assert_eq!(comes(&frame(0x88, b"\x03"), 1), Err(Fault::HalfCode));
        let reason = frame(0x88, b"\x03\xe9\xff");
        assert_eq!(comes(&reason, 1), Err(Fault::Reason));
    }

    #[test]
    fn an_idle_link_holds_no_large_buffer() {
        let mut inflow = Inflow::default();
        let large = frame(0x82, &[1; 100_000]);
        let Ok(Some(Incoming::Message(first))) = inflow.take(&mut &large[..]) else {
            panic!("it is whole");
        };
        let at = first.as_ptr();
        drop(first);
        let Ok(Some(Incoming::Message(second))) = inflow.take(&mut &large[..]) else {
            panic!("it is whole");
        };
        assert_eq!(at, second.as_ptr(), "the buffer is used again");
        drop(second);
        inflow.rest();
        assert_eq!(inflow.message.capacity(), 0);
    }

    proptest! {
        /// Whatever comes, no more is held than one message.
        #[test]
        fn no_stream_makes_it_grow(
            stream in prop::collection::vec(prop_oneof![3 => 0u8..3, 1 => any::<u8>(), 1 => 0x7eu8..0x83], 0..400),
            piece in 1usize..20,
        ) {
            let mut inflow = Inflow::default();
            'stream: for mut bytes in stream.chunks(piece) {
                loop {
                    match inflow.take(&mut bytes) {
                        Ok(Some(Incoming::Text)) | Err(_) => break 'stream,
                        Ok(Some(_)) => {}
                        Ok(None) => break,
                    }
                }
                prop_assert!(bytes.is_empty());
                prop_assert!(inflow.message.capacity() <= WEBSOCKET_MESSAGE_MAX + 2 * LINK_READ_BUFFER);
            }
        }
    }
}
