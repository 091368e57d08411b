//! The byte stream of all WebSocket messages, cut into tunnel frames.
//!
//! Neither end of a frame is aligned with a WebSocket message: one message may hold many frames, and a
//! frame may be spread over many messages. A frame that lies whole in a message is handed out as a slice
//! of it; only one that is cut is gathered by copying.

use bytes::{Buf, Bytes, BytesMut};

use crate::limits::{FRAME_MAX, FRAME_PREFIX};

/// Cuts the byte stream of a WebSocket into frames.
///
/// Holds at most one WebSocket message, as handed in, and one frame that began in an earlier one.
#[derive(Default)]
pub struct Assembler {
    /// What is not looked at yet of the newest WebSocket message.
    rest: Bytes,
    /// A frame whose end has not come yet, with its prefix; at most [`FRAME_MAX`] bytes.
    begun: BytesMut,
}

impl Assembler {
    /// Takes the bytes of one WebSocket message.
    ///
    /// # Panics
    /// If the frames of the message before were not all taken: a bug of the caller, who must ask
    /// [`next_frame`](Self::next_frame) until there is none.
    pub fn push(&mut self, message: Bytes) {
        assert!(
            self.rest.is_empty(),
            "frames of the last message were not all taken"
        );
        self.rest = message;
    }

    /// The next whole frame, without its prefix; nothing if the rest of it has not come yet.
    pub fn next_frame(&mut self) -> Option<Bytes> {
        if self.begun.is_empty() {
            if let Some(frame) = self.whole_in_rest() {
                return Some(frame);
            }
            if self.rest.is_empty() {
                return None;
            }
            self.begun.reserve(FRAME_MAX);
        }
        self.gather(FRAME_PREFIX)?;
        let length = prefix(&self.begun);
        self.gather(FRAME_PREFIX + length)?;
        // The buffer goes with the frame: a cut frame is rare, and an idle tunnel holds none.
        let mut frame = std::mem::take(&mut self.begun).freeze();
        frame.advance(FRAME_PREFIX);
        Some(frame)
    }

    fn whole_in_rest(&mut self) -> Option<Bytes> {
        if self.rest.len() < FRAME_PREFIX {
            return None;
        }
        let end = FRAME_PREFIX + prefix(&self.rest);
        if self.rest.len() < end {
            return None;
        }
        let mut frame = self.rest.split_to(end);
        frame.advance(FRAME_PREFIX);
        if self.rest.is_empty() {
            // Not to keep the WebSocket's read buffer alive.
            self.rest = Bytes::new();
        }
        Some(frame)
    }

    /// Moves bytes from `rest` to `begun` until it has `wanted` of them; nothing if they ran out.
    fn gather(&mut self, wanted: usize) -> Option<()> {
        let missing = wanted.saturating_sub(self.begun.len());
        let take = missing.min(self.rest.len());
        self.begun.extend_from_slice(&self.rest.split_to(take));
        if self.rest.is_empty() {
            self.rest = Bytes::new();
        }
        (self.begun.len() >= wanted).then_some(())
    }
}

fn prefix(bytes: &[u8]) -> usize {
    usize::from(u16::from_be_bytes([bytes[0], bytes[1]]))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn frames_of(messages: &[Vec<u8>]) -> Vec<Vec<u8>> {
        let mut assembler = Assembler::default();
        let mut frames = Vec::new();
        for message in messages {
            assembler.push(Bytes::copy_from_slice(message));
            while let Some(frame) = assembler.next_frame() {
                frames.push(frame.to_vec());
            }
        }
        frames
    }

    fn stream_of(frames: &[Vec<u8>]) -> Vec<u8> {
        let mut stream = Vec::new();
        for frame in frames {
            let length = u16::try_from(frame.len()).expect("a frame fits 16 bits");
            stream.extend_from_slice(&length.to_be_bytes());
            stream.extend_from_slice(frame);
        }
        stream
    }

    #[test]
    fn the_largest_frame_passes_byte_by_byte() {
        let frames = vec![vec![7; usize::from(u16::MAX)], vec![], vec![1]];
        let messages: Vec<Vec<u8>> = stream_of(&frames).into_iter().map(|b| vec![b]).collect();
        assert_eq!(frames_of(&messages), frames);
    }

    #[test]
    fn a_whole_frame_is_a_slice_of_the_message() {
        let message = Bytes::from(stream_of(&[vec![1, 2, 3], vec![4]]));
        let at = message[2..].as_ptr();
        let mut assembler = Assembler::default();
        assembler.push(message);
        assert_eq!(assembler.next_frame().expect("whole").as_ptr(), at);
    }

    proptest! {
        #[test]
        fn any_cutting_and_gluing_gives_the_same_frames(
            frames in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 0..20),
            cuts in prop::collection::vec(1usize..700, 1..40),
        ) {
            let stream = stream_of(&frames);
            let mut messages = Vec::new();
            let mut rest = &stream[..];
            for cut in cuts.iter().cycle() {
                if rest.is_empty() {
                    break;
                }
                let (message, behind) = rest.split_at((*cut).min(rest.len()));
                messages.push(message.to_vec());
                rest = behind;
            }
            prop_assert_eq!(frames_of(&messages), frames);
        }
    }
}
