//! What goes to the service: frames, each with its head and its mask, and those that TLS has not taken yet.
//!
//! Sans-io. A large message is made a frame in the buffer in which it stands, and goes to TLS from there; small ones
//! are gathered, so that one record and one system call carry all that is ready.

use std::io;

use super::head::Opcode;
use super::inflow::Control;
use super::mask::{KEY, Keys, lay};
use crate::limits::{LINK_GATHER, WEBSOCKET_HEAD_MAX};

/// Bits of the first two bytes of a head.
const LAST: u8 = 0x80;
const MASKED: u8 = 0x80;

/// The frames that wait, and what masks them.
pub(super) struct Outflow {
    /// Whole frames; the first may be gone in part.
    waiting: Vec<u8>,
    /// Bytes of it that TLS has taken.
    taken: usize,
    /// The newest ping's answer, if it found no room. Source: RFC 6455, 5.5.3, older ones need none.
    pong: Option<Control>,
    keys: Keys,
}

impl Outflow {
    /// Nothing waits.
    pub(super) fn new() -> Outflow {
        Outflow {
            waiting: Vec::new(),
            taken: 0,
            pong: None,
            keys: Keys::new(),
        }
    }

    /// Makes a frame of the message that stands in `buffer` from `start` on, behind at least
    /// [`WEBSOCKET_HEAD_MAX`] bytes of room. Tells where the frame begins.
    ///
    /// # Errors
    /// The kernel has no random numbers.
    ///
    /// # Panics
    /// If there is less room: a bug of the caller.
    pub(super) fn enclose(
        &mut self,
        opcode: Opcode,
        buffer: &mut [u8],
        start: usize,
    ) -> io::Result<usize> {
        let key = self.keys.next()?;
        let (room, payload) = buffer.split_at_mut(start);
        let (head, length) = head(opcode, payload.len(), key);
        let begin = start - length;
        room[begin..].copy_from_slice(&head[..length]);
        lay(key, payload);
        Ok(begin)
    }

    /// A frame that goes with the others.
    ///
    /// # Errors
    /// The kernel has no random numbers.
    pub(super) fn put(&mut self, opcode: Opcode, payload: &[u8]) -> io::Result<()> {
        let key = self.keys.next()?;
        let (head, length) = head(opcode, payload.len(), key);
        self.waiting.extend_from_slice(&head[..length]);
        let start = self.waiting.len();
        self.waiting.extend_from_slice(payload);
        lay(key, &mut self.waiting[start..]);
        Ok(())
    }

    /// What TLS has not taken of a frame that was made in another buffer.
    pub(super) fn keep(&mut self, rest: &[u8]) {
        self.waiting.extend_from_slice(rest);
    }

    /// Answers a ping, at once or when there is room.
    ///
    /// # Errors
    /// The kernel has no random numbers.
    pub(super) fn put_pong(&mut self, payload: Control) -> io::Result<()> {
        if self.is_roomy() {
            self.put(Opcode::Pong, &payload)
        } else {
            self.pong = Some(payload);
            Ok(())
        }
    }

    /// Whether little waits.
    pub(super) fn is_roomy(&self) -> bool {
        self.waiting.len() - self.taken < LINK_GATHER
    }

    /// What TLS is to take next.
    pub(super) fn next(&self) -> &[u8] {
        &self.waiting[self.taken..]
    }

    /// TLS has taken so many bytes of it.
    ///
    /// # Errors
    /// As of [`put_pong`](Self::put_pong).
    pub(super) fn handle_taken(&mut self, count: usize) -> io::Result<()> {
        self.taken += count;
        if self.taken < self.waiting.len() {
            return Ok(());
        }
        self.taken = 0;
        if self.waiting.capacity() > 2 * LINK_GATHER {
            // What small messages need is kept, so that none of them costs an allocation.
            self.waiting = Vec::new();
        }
        self.waiting.clear();
        match self.pong.take() {
            Some(pong) => self.put(Opcode::Pong, &pong),
            None => Ok(()),
        }
    }
}

/// The head of a whole message, with its length.
fn head(opcode: Opcode, payload: usize, key: [u8; KEY]) -> ([u8; WEBSOCKET_HEAD_MAX], usize) {
    let mut head = [0; WEBSOCKET_HEAD_MAX];
    head[0] = LAST | opcode as u8;
    let wide = (payload as u64).to_be_bytes();
    let behind = match payload {
        0..=125 => {
            head[1] = MASKED | wide[7];
            2
        }
        126..=0xffff => {
            head[1] = MASKED | 126;
            head[2..4].copy_from_slice(&wide[6..]);
            4
        }
        _ => {
            head[1] = MASKED | 127;
            head[2..10].copy_from_slice(&wide);
            10
        }
    };
    head[behind..behind + KEY].copy_from_slice(&key);
    (head, behind + KEY)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a service reads of the first of these frames, with the bytes behind it.
    fn read(frame: &[u8]) -> (u8, Vec<u8>, &[u8]) {
        assert_eq!(frame[1] & MASKED, MASKED, "a client masks");
        let (length, at) = match frame[1] & 0x7f {
            126 => (usize::from(u16::from_be_bytes([frame[2], frame[3]])), 4),
            127 => {
                let wide = frame[2..10].try_into().expect("eight bytes");
                (
                    usize::try_from(u64::from_be_bytes(wide)).expect("small"),
                    10,
                )
            }
            short => (usize::from(short), 2),
        };
        assert!(
            at == 2 || length > 125 && at == 4 || length > 0xffff,
            "no longer than it must be"
        );
        let (key, payload) = frame[at..].split_at(KEY);
        let payload = payload[..length].iter().enumerate();
        let plain = payload.map(|(at, byte)| byte ^ key[at % KEY]).collect();
        (frame[0], plain, &frame[at + KEY + length..])
    }

    #[test]
    fn a_message_becomes_a_frame_where_it_stands() {
        let mut outflow = Outflow::new();
        for length in [0, 1, 125, 126, 4_096, 65_535, 65_536, 100_000] {
            let payload: Vec<u8> = (0..=u8::MAX).cycle().take(length).collect();
            let mut buffer = vec![0xee; WEBSOCKET_HEAD_MAX + 3];
            buffer.extend_from_slice(&payload);
            let start = WEBSOCKET_HEAD_MAX + 3;
            let begin = outflow
                .enclose(Opcode::Binary, &mut buffer, start)
                .expect("random numbers");
            assert_eq!(read(&buffer[begin..]), (0x82, payload, &[][..]));
            assert!(buffer[..begin].iter().all(|byte| *byte == 0xee));
        }
        assert!(outflow.next().is_empty());
    }

    #[test]
    fn small_frames_are_gathered_in_their_order() {
        let mut outflow = Outflow::new();
        outflow.put(Opcode::Binary, b"one").expect("random numbers");
        outflow.put(Opcode::Ping, b"").expect("random numbers");
        outflow
            .put(Opcode::Binary, &[9; 300])
            .expect("random numbers");
        let all = outflow.next().to_vec();
        let (first, payload, rest) = read(&all);
        assert_eq!((first, &payload[..]), (0x82, &b"one"[..]));
        let (first, payload, rest) = read(rest);
        assert_eq!((first, &payload[..]), (0x89, &b""[..]));
        assert_eq!(read(rest), (0x82, vec![9; 300], &[][..]));
        outflow.handle_taken(5).expect("random numbers");
        assert_eq!(outflow.next(), &all[5..]);
        outflow.handle_taken(all.len() - 5).expect("no pong");
        assert!(outflow.next().is_empty());
    }

    #[test]
    fn of_pings_that_find_no_room_the_newest_is_answered() {
        let mut outflow = Outflow::new();
        outflow.keep(&[0; LINK_GATHER]);
        for payload in [b"old", b"new"] {
            let payload = Control::from_slice(payload).expect("it fits");
            outflow.put_pong(payload).expect("random numbers");
        }
        assert_eq!(outflow.next().len(), LINK_GATHER);
        outflow.handle_taken(LINK_GATHER).expect("random numbers");
        assert_eq!(read(outflow.next()), (0x8a, b"new".to_vec(), &[][..]));
    }

    #[test]
    fn a_large_rest_leaves_no_large_buffer() {
        let mut outflow = Outflow::new();
        outflow.keep(&[0; 60_000]);
        outflow.handle_taken(60_000).expect("no pong");
        assert_eq!(outflow.waiting.capacity(), 0);
    }
}
