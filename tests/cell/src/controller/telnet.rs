//! What little telnet (RFC 854) a controller and its clients speak before the login.

use super::switches::Negotiation;

const IAC: u8 = 0xFF;
const DONT: u8 = 0xFE;
const DO: u8 = 0xFD;
const WONT: u8 = 0xFC;
const WILL: u8 = 0xFB;
const SB: u8 = 0xFA;
const GO_AHEAD: u8 = 0xF9;
const SE: u8 = 0xF0;
const ECHO: u8 = 1;
const SUPPRESS_GO_AHEAD: u8 = 3;
const TERMINAL_TYPE: u8 = 0x18;
const WINDOW_SIZE: u8 = 0x1F;

/// The banner, up to the question for the name.
const BANNER: &[u8] = b"Connecting to Kawasaki E Controller\r\n\r\nlogin: ";

/// What a client answers that has a terminal to offer.
pub(crate) const VT100: &[u8] = b"\xFF\xFD\x01\xFF\xFB\x18\xFF\xFA\x18\x00VT100\x00\xFF\xF0";

/// The bytes of a controller up to `login: `.
pub(super) fn opening(negotiation: Negotiation) -> Vec<u8> {
    let mut opening: Vec<u8> = match negotiation {
        Negotiation::Normal => {
            let mut bytes = vec![IAC, DO, TERMINAL_TYPE, IAC, WILL, ECHO];
            bytes.extend([IAC, SB, TERMINAL_TYPE, 1, 1, IAC, SE]);
            bytes.extend([IAC, WILL, SUPPRESS_GO_AHEAD, b'\r']);
            bytes
        }
        Negotiation::None => Vec::new(),
        Negotiation::Odd => {
            let mut bytes = vec![IAC, DO, WINDOW_SIZE, IAC, DONT, ECHO, IAC, WONT, 0x63];
            bytes.extend([IAC, SB, 0x63, IAC, SE, IAC, SB, 0x27]);
            bytes.extend([0x41; 300]);
            // A doubled IAC is one byte of content, and the SE behind it is content too.
            bytes.extend([IAC, IAC, SE, IAC, SE, IAC, GO_AHEAD]);
            bytes
        }
    };
    opening.extend_from_slice(BANNER);
    if negotiation == Negotiation::Odd {
        let middle = opening.len() - 10;
        opening.splice(middle..middle, [IAC, GO_AHEAD, IAC, WILL, 0x2A]);
    }
    opening
}

/// Takes telnet commands out of a stream of bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Filter {
    /// Text.
    #[default]
    Text,
    /// Behind an IAC.
    Command,
    /// Behind IAC and WILL, WONT, DO or DONT: the option follows.
    Choice,
    /// In a subnegotiation.
    Sub,
    /// Behind an IAC in a subnegotiation.
    SubCommand,
}

/// Who reads, for they differ in one thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reader {
    /// Knows no command but options, and takes the letter of any other as text: a telnet NOP is "ñ" in its command
    /// line, as seen in the field.
    Controller,
    /// Ignores the commands it does not know, as RFC 854 asks.
    Client,
}

impl Filter {
    /// The text byte that `byte` is, if it is one.
    pub(crate) fn take(&mut self, byte: u8, reader: Reader) -> Option<u8> {
        let (next, text) = match (*self, byte) {
            (Self::Text, IAC) => (Self::Command, None),
            (Self::Text, _) => (Self::Text, Some(byte)),
            (Self::Command, IAC) => (Self::Text, Some(IAC)),
            (Self::Command, DO | DONT | WILL | WONT) => (Self::Choice, None),
            (Self::Command, SB) => (Self::Sub, None),
            (Self::Command, _) => (Self::Text, (reader == Reader::Controller).then_some(byte)),
            (Self::Choice, _) => (Self::Text, None),
            (Self::Sub, IAC) => (Self::SubCommand, None),
            (Self::Sub, _) => (Self::Sub, None),
            (Self::SubCommand, SE) => (Self::Text, None),
            (Self::SubCommand, _) => (Self::Sub, None),
        };
        *self = next;
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(bytes: &[u8], reader: Reader) -> Vec<u8> {
        let mut filter = Filter::default();
        bytes
            .iter()
            .filter_map(|byte| filter.take(*byte, reader))
            .collect()
    }

    #[test]
    fn the_normal_opening_is_the_recorded_one() {
        let recorded = b"\xFF\xFD\x18\xFF\xFB\x01\xFF\xFA\x18\x01\x01\xFF\xF0\xFF\xFB\x03\x0D\
            Connecting to Kawasaki E Controller\r\n\r\nlogin: ";
        assert_eq!(opening(Negotiation::Normal), recorded);
    }

    #[test]
    fn only_the_text_of_an_opening_is_left() {
        for negotiation in [Negotiation::None, Negotiation::Odd] {
            assert_eq!(text(&opening(negotiation), Reader::Client), BANNER);
        }
        let normal = text(&opening(Negotiation::Normal), Reader::Client);
        assert_eq!(normal, [b"\r", BANNER].concat());
        assert_eq!(text(VT100, Reader::Controller), b"");
    }

    #[test]
    fn a_nop_is_a_letter_to_the_controller_alone() {
        let nop = b"a\xFF\xF1s";
        assert_eq!(text(nop, Reader::Controller), b"a\xF1s");
        assert_eq!(text(nop, Reader::Client), b"as");
        assert_eq!(text(b"\xFF\xFF", Reader::Controller), b"\xFF");
    }
}
