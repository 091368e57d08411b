//! The byte stream, cut into frames.

use bytes::{Buf as _, Bytes, BytesMut};

/// Joins the payloads of WebSocket messages and gives back whole tunnel frames.
///
/// Neither end of a frame is aligned with a WebSocket message.
#[derive(Debug, Default)]
pub struct Assembler {
    buffer: BytesMut,
}

impl Assembler {
    /// Adds the payload of one WebSocket message.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole frame without its length, if there is one.
    pub fn next_frame(&mut self) -> Option<Bytes> {
        let (length, _) = self.buffer.split_first_chunk::<2>()?;
        let length = usize::from(u16::from_be_bytes(*length));
        if self.buffer.len() < 2 + length {
            return None;
        }
        self.buffer.advance(2);
        Some(self.buffer.split_to(length).freeze())
    }

    /// Bytes of a frame that is not whole yet.
    pub fn rest(&self) -> usize {
        self.buffer.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Message;

    #[test]
    fn frames_come_out_whole_however_they_are_cut() {
        let messages = [
            Message::stream_start(1, "robot1", 1),
            Message::data(1, "robot1", 1, vec![7; 64_512]),
            Message::connection_reset(1, "robot1", 1),
        ];
        let stream: Vec<u8> = messages
            .iter()
            .flat_map(|message| message.frame().to_vec())
            .collect();
        for step in [1, 2, 3, 1_000, stream.len()] {
            let mut assembler = Assembler::default();
            let mut frames = Vec::new();
            for piece in stream.chunks(step) {
                assembler.feed(piece);
                while let Some(frame) = assembler.next_frame() {
                    frames.push(frame);
                }
            }
            let expected: Vec<Bytes> = messages
                .iter()
                .map(|message| message.frame().slice(2..))
                .collect();
            assert_eq!(frames, expected, "cut to {step} bytes");
            assert_eq!(assembler.rest(), 0);
        }
    }
}
