//! The head of a WebSocket frame, and what is no frame of a service. Source: RFC 6455, 5.2 to 5.5.

use std::fmt;

use crate::limits::WEBSOCKET_MESSAGE_MAX;

/// Bytes of the longest head of a frame of the service: no mask.
pub(super) const SERVICE_HEAD_MAX: usize = 10;

/// Bytes of the payload of a control frame.
pub(super) const CONTROL_MAX: usize = 125;

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Opcode {
    /// More of the message before.
    Continuation = 0,
    /// A text message begins.
    Text = 1,
    /// A binary message begins.
    Binary = 2,
    /// The other end closes.
    Close = 8,
    /// To be answered by a pong with the same payload.
    Ping = 9,
    /// The answer to a ping.
    Pong = 10,
}

impl Opcode {
    fn from_wire(number: u8) -> Option<Opcode> {
        [
            Opcode::Continuation,
            Opcode::Text,
            Opcode::Binary,
            Opcode::Close,
            Opcode::Ping,
            Opcode::Pong,
        ]
        .into_iter()
        .find(|opcode| *opcode as u8 == number)
    }

    /// Whether it may stand between the fragments of a message.
    pub(super) fn is_control(self) -> bool {
        matches!(self, Opcode::Close | Opcode::Ping | Opcode::Pong)
    }
}

/// The head of a frame of the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    /// What the frame is.
    pub(super) opcode: Opcode,
    /// Whether the message ends with it.
    pub(super) last: bool,
    /// Bytes of its payload, at most [`WEBSOCKET_MESSAGE_MAX`].
    pub(super) length: usize,
}

impl Head {
    /// The head that begins with these bytes; nothing if its rest has not come yet.
    pub(super) fn parse(bytes: &[u8]) -> Result<Option<Head>, Fault> {
        let [first, second, behind @ ..] = bytes else {
            return Ok(None);
        };
        if first & 0x70 != 0 {
            return Err(Fault::ReservedBits);
        }
        let number = first & 0x0f;
        let opcode = Opcode::from_wire(number).ok_or(Fault::Opcode(number))?;
        if second & 0x80 != 0 {
            return Err(Fault::Masked);
        }
        let last = first & 0x80 != 0;
        if opcode.is_control() && !last {
            return Err(Fault::CutControl);
        }
        let short = second & 0x7f;
        if opcode.is_control() && usize::from(short) > CONTROL_MAX {
            return Err(Fault::LongControl);
        }
        // A length that could have been written shorter is taken as it is.
        let length = match short {
            126 => behind
                .first_chunk()
                .map(|wide| u64::from(u16::from_be_bytes(*wide))),
            127 => behind.first_chunk().map(|wide| u64::from_be_bytes(*wide)),
            short => Some(u64::from(short)),
        };
        let Some(length) = length else {
            return Ok(None);
        };
        match usize::try_from(length) {
            Ok(length) if length <= WEBSOCKET_MESSAGE_MAX => Ok(Some(Head {
                opcode,
                last,
                length,
            })),
            Ok(_) | Err(_) => Err(Fault::TooLong(length)),
        }
    }
}

/// What the service sent and RFC 6455 forbids.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Bits of an extension that nobody has agreed upon.
    ReservedBits,
    /// A kind of frame that is not defined.
    Opcode(u8),
    /// A service must not mask.
    Masked,
    /// A control frame in fragments.
    CutControl,
    /// A control frame of more than 125 bytes.
    LongControl,
    /// A continuation of nothing.
    NothingToContinue,
    /// A message within the fragments of another.
    WithinAnother,
    /// A message of this many bytes.
    TooLong(u64),
    /// A close with a single byte.
    HalfCode,
    /// A close whose reason is no UTF-8.
    Reason,
    /// The connection ended without a close.
    NoClose,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::ReservedBits => f.write_str("a frame with reserved bits"),
            Fault::Opcode(number) => write!(f, "a frame of the unknown kind {number}"),
            Fault::Masked => f.write_str("a masked frame"),
            Fault::CutControl => f.write_str("a control frame in fragments"),
            Fault::LongControl => write!(f, "a control frame of more than {CONTROL_MAX} bytes"),
            Fault::NothingToContinue => f.write_str("a continuation of no message"),
            Fault::WithinAnother => f.write_str("a message within the fragments of another"),
            Fault::TooLong(length) => write!(
                f,
                "a message of {length} bytes, at most {WEBSOCKET_MESSAGE_MAX} were expected"
            ),
            Fault::HalfCode => f.write_str("a close with half a code"),
            Fault::Reason => f.write_str("a close whose reason is no text"),
            Fault::NoClose => f.write_str("an end without a close"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_whole_or_not_there_yet() {
        for (wire, opcode, last, length) in [
            (&[0x82, 0x00][..], Opcode::Binary, true, 0),
            (&[0x02, 0x7d], Opcode::Binary, false, 125),
            (&[0x80, 0x7e, 0x01, 0x00], Opcode::Continuation, true, 256),
            (
                &[0x82, 0x7f, 0, 0, 0, 0, 0, 2, 0, 4],
                Opcode::Binary,
                true,
                131_076,
            ),
            // Longer than it need be.
            (&[0x82, 0x7e, 0x00, 0x05], Opcode::Binary, true, 5),
            (&[0x8a, 0x7d], Opcode::Pong, true, 125),
        ] {
            for cut in 0..wire.len() {
                assert_eq!(Head::parse(&wire[..cut]), Ok(None), "{wire:?} to {cut}");
            }
            let head = Head {
                opcode,
                last,
                length,
            };
            assert_eq!(Head::parse(wire), Ok(Some(head)));
            let longer = [wire, b"payload"].concat();
            assert_eq!(Head::parse(&longer), Ok(Some(head)));
        }
    }

    #[test]
    fn what_no_service_may_send_is_named() {
        for (wire, fault) in [
            (&[0xc2, 0x00][..], Fault::ReservedBits),
            (&[0x92, 0x00], Fault::ReservedBits),
            (&[0x83, 0x00], Fault::Opcode(3)),
            (&[0x8f, 0x00], Fault::Opcode(15)),
            (&[0x82, 0x81], Fault::Masked),
            (&[0x09, 0x00], Fault::CutControl),
            (&[0x88, 0x7e], Fault::LongControl),
            (&[0x89, 0x7f], Fault::LongControl),
            (
                &[0x82, 0x7f, 0, 0, 0, 0, 0, 2, 0, 5],
                Fault::TooLong(131_077),
            ),
            (
                &[0x82, 0x7f, 255, 255, 255, 255, 255, 255, 255, 255],
                Fault::TooLong(u64::MAX),
            ),
        ] {
            assert_eq!(Head::parse(wire), Err(fault), "{wire:?}");
        }
    }
}
