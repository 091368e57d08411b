//! Frames of the tunnelling service, as its WebSocket sends them. However they come in pieces, the same messages come out
//! as a naive reader finds; each ping is answered by a pong of ours; nothing takes more memory than a message may.

use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

use cellgate::limits::{LINK_READ_BUFFER, WEBSOCKET_MESSAGE_MAX};
use cellgate::link::websocket::{Link, Received};
use tokio::io::{AsyncBufRead, AsyncRead, AsyncWrite, ReadBuf};

use crate::heap::peak_of;

/// What reading messages may take: one that is whole, one in fragments that grows, and the read buffer.
const MESSAGES_MAX: usize = 3 * WEBSOCKET_MESSAGE_MAX + 4 * LINK_READ_BUFFER + 16 * 1024;

/// The first byte says in what pieces the others come.
pub fn run(input: &[u8]) {
    let Some((piece, frames)) = input.split_first() else {
        return;
    };
    let expected = Came::naively(frames);
    for piece in [usize::MAX, usize::from(*piece).max(1)] {
        let mut service = Service {
            frames,
            piece,
            written: Vec::new(),
        };
        let (came, peak) = peak_of(|| Came::by_link(&mut service));
        let beside: usize = came.messages.iter().map(Vec::len).sum();
        // The list of them is ours, and so are the answers.
        let ours = 2 * beside + 2 * service.written.capacity() + 64 * came.messages.capacity();
        assert!(
            peak <= MESSAGES_MAX + ours,
            "messages took {peak} bytes, {ours} of them the test"
        );
        assert_eq!(came.messages, expected.messages, "pieces of {piece}");
        assert_eq!(came.signs, expected.signs, "pieces of {piece}");
        assert_eq!(pongs(&service.written), expected.pings, "pieces of {piece}");
    }
}

/// What comes of a stream of frames.
#[derive(Default)]
struct Came {
    messages: Vec<Vec<u8>>,
    /// Pings and pongs.
    signs: usize,
    /// The payload of each ping.
    pings: Vec<Vec<u8>>,
}

impl Came {
    fn by_link(service: &mut Service<'_>) -> Came {
        let mut came = Came::default();
        let mut link = Link::new(service);
        let mut cx = Context::from_waker(Waker::noop());
        let all = async {
            while let Ok(received) = poll_fn(|cx| link.poll_receive(cx)).await {
                match received {
                    Received::Bytes(message) => came.messages.push(message.to_vec()),
                    Received::Alive => came.signs += 1,
                }
                let sent = poll_fn(|cx| link.poll_flush(cx)).await;
                sent.expect("the service takes everything");
            }
            let _ = poll_fn(|cx| link.poll_answer_close(cx)).await;
        };
        assert!(pin!(all).poll(&mut cx).is_ready(), "all of it is there");
        came
    }

    /// Reads frame by frame, until one is none, or a close, or not whole.
    fn naively(mut frames: &[u8]) -> Came {
        let mut came = Came::default();
        let mut fragments: Option<Vec<u8>> = None;
        while let Some((first, second, payload)) = next(&mut frames) {
            let last = first & 0x80 != 0;
            match (first & 0x0f, &mut fragments) {
                (0, Some(message)) => message.extend(payload),
                (2, none @ None) => *none = Some(payload.to_vec()),
                (9 | 10, _) if last && second < 126 => {
                    came.signs += 1;
                    if first & 0x0f == 9 {
                        came.pings.push(payload.to_vec());
                    }
                    continue;
                }
                _ => break,
            }
            if fragments
                .as_ref()
                .is_some_and(|message| message.len() > WEBSOCKET_MESSAGE_MAX)
            {
                break;
            }
            if last {
                came.messages.extend(fragments.take());
            }
        }
        came
    }
}

/// The next frame of a service: two bytes of its head, and its payload.
fn next<'f>(frames: &mut &'f [u8]) -> Option<(u8, u8, &'f [u8])> {
    let (&[first, second], behind) = frames.split_first_chunk()?;
    if first & 0x70 != 0 || second & 0x80 != 0 {
        return None;
    }
    let (length, behind) = match second {
        126 => {
            let (wide, behind) = behind.split_first_chunk()?;
            (u64::from(u16::from_be_bytes(*wide)), behind)
        }
        127 => {
            let (wide, behind) = behind.split_first_chunk()?;
            (u64::from_be_bytes(*wide), behind)
        }
        short => (u64::from(short), behind),
    };
    let length = usize::try_from(length).ok()?;
    let (payload, rest) = behind.split_at_checked(length)?;
    *frames = rest;
    Some((first, second, payload))
}

/// The payloads of the pongs that we sent. Nothing but pongs and one close, the last, may be there.
fn pongs(mut written: &[u8]) -> Vec<Vec<u8>> {
    let mut pongs = Vec::new();
    while let Some((&[first, second], behind)) = written.split_first_chunk() {
        assert!(second & 0x80 != 0, "a frame of ours is masked");
        let (mask, behind) = behind.split_first_chunk::<4>().expect("a mask");
        let (payload, rest) = behind.split_at(usize::from(second & 0x7f));
        written = rest;
        match first {
            0x8a => pongs.push(
                payload
                    .iter()
                    .zip(mask.iter().cycle())
                    .map(|(a, b)| a ^ b)
                    .collect(),
            ),
            0x88 => assert!(rest.is_empty(), "something behind a close"),
            other => panic!("a frame that begins with {other:#x}"),
        }
    }
    pongs
}

/// Gives an input in pieces, then the end; takes everything.
struct Service<'i> {
    frames: &'i [u8],
    piece: usize,
    written: Vec<u8>,
}

impl AsyncBufRead for Service<'_> {
    fn poll_fill_buf(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<&[u8]>> {
        let this = self.get_mut();
        Poll::Ready(Ok(&this.frames[..this.frames.len().min(this.piece)]))
    }

    fn consume(mut self: Pin<&mut Self>, count: usize) {
        self.frames = &self.frames[count..];
    }
}

impl AsyncRead for Service<'_> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if let Poll::Ready(Ok(bytes)) = self.as_mut().poll_fill_buf(cx) {
            let count = bytes.len().min(into.remaining());
            into.put_slice(&bytes[..count]);
            self.consume(count);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Service<'_> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.written.extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
