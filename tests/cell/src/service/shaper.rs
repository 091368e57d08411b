//! How tunnel bytes become WebSocket frames.

use bytes::BytesMut;

use super::switches::Switches;
use super::websocket::{Opcode, put_frame};
use crate::wire::MAX_WEBSOCKET_MESSAGE;

/// Writes tunnel bytes as WebSocket frames, cut and fragmented as the switches say.
pub(super) fn shape(data: &[u8], switches: &Switches) -> BytesMut {
    let mut out = BytesMut::with_capacity(data.len() + 16);
    let cut = switches
        .cut
        .unwrap_or(MAX_WEBSOCKET_MESSAGE)
        .clamp(1, MAX_WEBSOCKET_MESSAGE);
    for message in data.chunks(cut) {
        let Some(fragments) = switches.fragments else {
            put_frame(&mut out, Opcode::Binary, true, message);
            continue;
        };
        let size = fragments.size.max(1);
        let count = message.len().div_ceil(size);
        for (index, piece) in message.chunks(size).enumerate() {
            let opcode = if index == 0 {
                Opcode::Binary
            } else {
                Opcode::Continuation
            };
            put_frame(&mut out, opcode, index + 1 == count, piece);
            if index == 0 && count > 1 && fragments.ping_between {
                put_frame(&mut out, Opcode::Ping, true, b"between fragments");
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::switches::Fragments;

    /// The payloads, by opcode and last-fragment bit, of frames shorter than 126 bytes.
    fn frames(mut bytes: &[u8]) -> Vec<(u8, &[u8])> {
        let mut frames = Vec::new();
        while let [first, length, rest @ ..] = bytes {
            let (payload, after) = rest.split_at(usize::from(*length));
            frames.push((*first, payload));
            bytes = after;
        }
        frames
    }

    #[test]
    fn a_cut_makes_many_messages() {
        let switches = Switches {
            cut: Some(1),
            ..Switches::default()
        };
        let shaped = shape(b"abc", &switches);
        assert_eq!(
            frames(&shaped),
            [(0x82, &b"a"[..]), (0x82, b"b"), (0x82, b"c")]
        );
    }

    #[test]
    fn fragments_make_one_message() {
        let fragments = Some(Fragments {
            size: 2,
            ping_between: true,
        });
        let switches = Switches {
            fragments,
            ..Switches::default()
        };
        let shaped = shape(b"abcde", &switches);
        let expected = [
            (0x02, &b"ab"[..]),
            (0x89, b"between fragments"),
            (0x00, b"cd"),
            (0x80, b"e"),
        ];
        assert_eq!(frames(&shaped), expected);
        // What fits one frame is not fragmented.
        assert_eq!(frames(&shape(b"ab", &switches)), [(0x82, &b"ab"[..])]);
    }
}
