//! RFC 6455 as a strict server sees it, without IO.
//!
//! Responsible for: reading a client's frames and refusing what the RFC forbids, and writing frames of any shape.
//! The agent uses a library for this; the cell does not use the same one for its own side, because it must be able to
//! send what a library would not, and to find what a library forgives.

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};

use crate::wire::{MAX_WEBSOCKET_MESSAGE, Violation};

/// What a frame is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Opcode {
    /// The next fragment of a message.
    Continuation = 0,
    /// A text message, or its first fragment.
    Text = 1,
    /// A binary message, or its first fragment.
    Binary = 2,
    /// The last frame of a side.
    Close = 8,
    /// To be answered by a pong.
    Ping = 9,
    /// The answer to a ping.
    Pong = 10,
}

impl Opcode {
    fn from_bits(bits: u8) -> Option<Self> {
        [
            Self::Continuation,
            Self::Text,
            Self::Binary,
            Self::Close,
            Self::Ping,
            Self::Pong,
        ]
        .into_iter()
        .find(|&opcode| opcode as u8 == bits)
    }

    fn is_control(self) -> bool {
        self as u8 & 8 != 0
    }
}

/// A frame as a server sends it: not masked.
pub fn frame(opcode: Opcode, last: bool, payload: &[u8]) -> Bytes {
    let mut out = BytesMut::with_capacity(10 + payload.len());
    put_frame(&mut out, opcode, last, payload);
    out.freeze()
}

/// Appends a frame as a server sends it: not masked.
pub(super) fn put_frame(out: &mut BytesMut, opcode: Opcode, last: bool, payload: &[u8]) {
    out.put_u8(u8::from(last) << 7 | opcode as u8);
    match payload.len() {
        length @ 0..126 => out.put_u8(u8::try_from(length).unwrap_or(0)),
        length @ 126..65_536 => {
            out.put_u8(126);
            out.put_u16(u16::try_from(length).unwrap_or(0));
        }
        length => {
            out.put_u8(127);
            out.put_u64(length as u64);
        }
    }
    out.put_slice(payload);
}

/// A close frame.
pub(super) fn close_frame(code: u16, reason: &str) -> Bytes {
    let mut payload = code.to_be_bytes().to_vec();
    payload.extend_from_slice(reason.as_bytes());
    frame(Opcode::Close, true, &payload)
}

/// What came from the client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Incoming {
    /// A whole binary message.
    Binary(Bytes),
    /// A ping with its payload.
    Ping(Bytes),
    /// A pong with its payload.
    Pong(Bytes),
    /// A close with its code, if it has one, and reason.
    Close(Option<u16>, String),
}

/// Bytes of a client in, messages out.
#[derive(Debug, Default)]
pub(super) struct Decoder {
    buffer: BytesMut,
    /// The fragments so far of a message that is not whole.
    fragments: Option<BytesMut>,
}

impl Decoder {
    /// Adds bytes of the socket.
    pub(super) fn feed(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next message, if one is whole.
    ///
    /// # Errors
    /// What the client did against the RFC or the limits of the tunnel. The decoder is of no use afterwards.
    pub(super) fn next_message(&mut self) -> Result<Option<Incoming>, Violation> {
        while let Some((opcode, last, payload)) = self.next_frame()? {
            let whole = match opcode {
                Opcode::Ping => Some(Incoming::Ping(payload)),
                Opcode::Pong => Some(Incoming::Pong(payload)),
                Opcode::Close => Some(close(&payload)?),
                Opcode::Text => return Err(Violation::Text),
                Opcode::Binary | Opcode::Continuation => {
                    self.join(opcode, last, payload)?.map(Incoming::Binary)
                }
            };
            if whole.is_some() {
                return Ok(whole);
            }
        }
        Ok(None)
    }

    fn join(
        &mut self,
        opcode: Opcode,
        last: bool,
        payload: Bytes,
    ) -> Result<Option<Bytes>, Violation> {
        match (&mut self.fragments, opcode) {
            (None, Opcode::Continuation) => {
                return Err(against("a continuation without a first fragment"));
            }
            (None, _) if last => return Ok(Some(payload)),
            (None, _) => self.fragments = Some(BytesMut::from(payload.as_ref())),
            (Some(fragments), Opcode::Continuation) => fragments.put_slice(&payload),
            (Some(_), _) => return Err(against("a new message inside a fragmented one")),
        }
        if last {
            return Ok(self.fragments.take().map(BytesMut::freeze));
        }
        Ok(None)
    }

    fn next_frame(&mut self) -> Result<Option<(Opcode, bool, Bytes)>, Violation> {
        let Some((&[first, second], rest)) = self.buffer.split_first_chunk::<2>() else {
            return Ok(None);
        };
        let last = first & 0x80 != 0;
        if first & 0x70 != 0 {
            return Err(against("a reserved bit is set without an extension"));
        }
        let Some(opcode) = Opcode::from_bits(first & 0x0f) else {
            return Err(against("a reserved opcode"));
        };
        if second & 0x80 == 0 {
            return Err(against("a client's frame is not masked"));
        }
        let (extended, length): (usize, u64) = match second & 0x7f {
            126 => match rest.first_chunk::<2>() {
                Some(length) => (2, u64::from(u16::from_be_bytes(*length))),
                None => return Ok(None),
            },
            127 => match rest.first_chunk::<8>() {
                Some(length) => (8, u64::from_be_bytes(*length)),
                None => return Ok(None),
            },
            length => (0, u64::from(length)),
        };
        if (extended == 2 && length < 126) || (extended == 8 && length < 65_536) {
            return Err(against("a length that is not written as short as possible"));
        }
        if opcode.is_control() && (!last || length > 125) {
            return Err(against(
                "a control frame that is fragmented or above 125 bytes",
            ));
        }
        // Judged by its announced length: a strict service does not take in what it will not accept.
        let before = self.fragments.as_ref().map_or(0, BytesMut::len) as u64;
        if !opcode.is_control() && length.saturating_add(before) > MAX_WEBSOCKET_MESSAGE as u64 {
            return Err(Violation::WebSocketMessageTooLarge(
                length.saturating_add(before),
            ));
        }
        let header = 2 + extended + 4;
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        if self.buffer.len() < header.saturating_add(length) {
            return Ok(None);
        }
        self.buffer.advance(header - 4);
        let mask = self.buffer.split_to(4);
        let mut payload = self.buffer.split_to(length);
        for (byte, key) in payload.iter_mut().zip(mask.iter().cycle()) {
            *byte ^= key;
        }
        Ok(Some((opcode, last, payload.freeze())))
    }
}

fn close(payload: &[u8]) -> Result<Incoming, Violation> {
    let Some((code, reason)) = payload.split_first_chunk::<2>() else {
        return match payload.len() {
            0 => Ok(Incoming::Close(None, String::new())),
            _ => Err(against("a close frame of one byte")),
        };
    };
    let code = u16::from_be_bytes(*code);
    if !matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999) {
        return Err(against("a close code that may not be sent"));
    }
    let reason =
        std::str::from_utf8(reason).map_err(|_| against("a close reason that is not UTF-8"))?;
    Ok(Incoming::Close(Some(code), reason.to_owned()))
}

fn against(what: &str) -> Violation {
    Violation::WebSocket(what.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A client's frame: masked.
    fn masked(first: u8, length: &[u8], payload: &[u8]) -> Vec<u8> {
        let mask = [1, 2, 3, 4];
        let mut frame = vec![first];
        frame.extend_from_slice(length);
        frame[1] |= 0x80;
        frame.extend_from_slice(&mask);
        frame.extend(
            payload
                .iter()
                .zip(mask.iter().cycle())
                .map(|(byte, key)| byte ^ key),
        );
        frame
    }

    fn decode(bytes: &[u8]) -> Result<Vec<Incoming>, Violation> {
        let mut decoder = Decoder::default();
        let mut messages = Vec::new();
        for byte in bytes {
            decoder.feed(&[*byte]);
            while let Some(message) = decoder.next_message()? {
                messages.push(message);
            }
        }
        Ok(messages)
    }

    #[test]
    fn fragments_join_around_a_ping() {
        let bytes = [
            masked(0x02, &[2], b"ab"),
            masked(0x89, &[1], b"p"),
            masked(0x80, &[1], b"c"),
            masked(0x88, &[3], b"\x03\xe8x"),
        ]
        .concat();
        assert_eq!(
            decode(&bytes),
            Ok(vec![
                Incoming::Ping(Bytes::from_static(b"p")),
                Incoming::Binary(Bytes::from_static(b"abc")),
                Incoming::Close(Some(1000), "x".to_owned()),
            ])
        );
    }

    #[test]
    fn the_largest_message_passes_and_one_byte_more_does_not() {
        let length = |bytes: u64| [&[127][..], &bytes.to_be_bytes()].concat();
        let largest = vec![9; MAX_WEBSOCKET_MESSAGE];
        let frame = masked(0x82, &length(largest.len() as u64), &largest);
        let mut decoder = Decoder::default();
        decoder.feed(&frame);
        assert_eq!(
            decoder.next_message(),
            Ok(Some(Incoming::Binary(largest.into())))
        );
        // The header alone is enough.
        decoder.feed(&masked(
            0x82,
            &length(MAX_WEBSOCKET_MESSAGE as u64 + 1),
            b"",
        ));
        assert_eq!(
            decoder.next_message(),
            Err(Violation::WebSocketMessageTooLarge(131_077))
        );
    }

    #[test]
    fn what_the_rfc_forbids_is_refused() {
        let forbidden = [
            vec![0x82, 0x01, b'x'],                                        // not masked
            masked(0xc2, &[1], b"x"),                                      // reserved bit
            masked(0x83, &[1], b"x"),                                      // reserved opcode
            masked(0x80, &[1], b"x"), // continuation of nothing
            [masked(0x02, &[1], b"x"), masked(0x82, &[1], b"x")].concat(), // message in a message
            masked(0x09, &[1], b"x"), // fragmented ping
            masked(0x89, &[126, 0, 126], &[0; 126]), // long ping
            masked(0x82, &[126, 0, 1], b"x"), // length too long
            masked(0x88, &[1], b"x"), // close of one byte
            masked(0x88, &[2], &1005u16.to_be_bytes()), // reserved close code
        ];
        for bytes in forbidden {
            assert!(
                matches!(decode(&bytes), Err(Violation::WebSocket(_))),
                "{bytes:x?}"
            );
        }
        assert_eq!(decode(&masked(0x81, &[1], b"x")), Err(Violation::Text));
    }

    #[test]
    fn a_servers_frames_have_the_shortest_length() {
        for (length, header) in [(0, 2), (125, 2), (126, 4), (65_535, 4), (65_536, 10)] {
            assert_eq!(
                frame(Opcode::Binary, true, &vec![0; length]).len(),
                header + length
            );
        }
    }
}
