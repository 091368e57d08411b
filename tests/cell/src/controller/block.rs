//! The bytes of the block framing of LOAD and SAVE. There is no checksum and no escape.

/// Begins a request of the controller.
pub(crate) const ENQ: u8 = 0x05;
/// Begins a block, after the ENQ of the controller and at once at the PC.
pub(crate) const STX: u8 = 0x02;
/// Ends a block.
pub(crate) const ETB: u8 = 0x17;
/// The only byte of the last block of a LOAD: end of file.
pub(crate) const SUB: u8 = 0x1A;
/// What stands between the kind and the data in a block of the PC: four spaces and the status `0`, "well".
pub(crate) const WELL: [u8; 5] = *b"    0";

/// What a block is about; both sides use the same letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// `A`: LOAD opens the PC's file.
    OpenToRead,
    /// `B`: SAVE opens the PC's file.
    OpenToWrite,
    /// `C`: LOAD asks for the next chunk.
    Read,
    /// `D`: SAVE hands a chunk over; never answered.
    Write,
    /// `E`: the file is closed.
    Close,
}

impl Kind {
    /// The letter on the wire.
    pub(crate) fn letter(self) -> u8 {
        match self {
            Self::OpenToRead => b'A',
            Self::OpenToWrite => b'B',
            Self::Read => b'C',
            Self::Write => b'D',
            Self::Close => b'E',
        }
    }

    /// The kind of a letter, if it is one.
    pub(crate) fn of(letter: u8) -> Option<Self> {
        [
            Self::OpenToRead,
            Self::OpenToWrite,
            Self::Read,
            Self::Write,
            Self::Close,
        ]
        .into_iter()
        .find(|kind| kind.letter() == letter)
    }
}

/// A request of the controller: `05 02 kind … 17`.
pub(crate) fn request(kind: Kind, content: &[u8]) -> Vec<u8> {
    let mut block = vec![ENQ, STX, kind.letter()];
    block.extend_from_slice(content);
    block.push(ETB);
    block
}

/// A block of the PC: `02 kind 20 20 20 20 30 … 17`.
pub(crate) fn reply(kind: Kind, data: &[u8]) -> Vec<u8> {
    let mut block = vec![STX, kind.letter()];
    block.extend_from_slice(&WELL);
    block.extend_from_slice(data);
    block.push(ETB);
    block
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The bytes are those of the recordings, written out here once more, so that both sides cannot be wrong alike.
    #[test]
    fn blocks_are_those_of_the_recordings() {
        assert_eq!(
            request(Kind::OpenToRead, b"g"),
            [0x05, 0x02, 0x41, 0x67, 0x17]
        );
        assert_eq!(request(Kind::Read, b""), [0x05, 0x02, 0x43, 0x17]);
        assert_eq!(
            reply(Kind::OpenToWrite, b""),
            [0x02, 0x42, 0x20, 0x20, 0x20, 0x20, 0x30, 0x17]
        );
        assert_eq!(
            reply(Kind::Read, &[SUB]),
            [0x02, 0x43, 0x20, 0x20, 0x20, 0x20, 0x30, 0x1A, 0x17]
        );
        assert_eq!(request(Kind::Close, b""), [0x05, 0x02, 0x45, 0x17]);
        assert_eq!(Kind::of(0x44), Some(Kind::Write));
        assert_eq!(Kind::of(0x46), None);
    }
}
