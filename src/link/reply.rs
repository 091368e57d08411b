//! The service's reply to the request of the WebSocket, and not one byte more.
//!
//! The library that makes the handshake reads in pieces, and would keep what stands behind the reply: the first frames.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncBufRead, AsyncRead, AsyncWrite, ReadBuf};

/// A stream that ends, for who reads it, behind the first head of HTTP.
pub(super) struct Reply<S> {
    stream: S,
    seen: Seen,
}

/// How much of the head went by.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Seen {
    /// Nothing but ends of lines.
    Nothing,
    /// A part of a line.
    Line,
    /// The end of a line, or a carriage return behind it.
    LineEnd,
    /// An empty line: the whole head.
    All,
}

impl Seen {
    fn after(self, byte: u8) -> Seen {
        match (self, byte) {
            (Seen::All, _) | (Seen::LineEnd, b'\n') => Seen::All,
            (Seen::LineEnd, b'\r') | (Seen::Line, b'\n') => Seen::LineEnd,
            (Seen::Nothing, b'\r' | b'\n') => Seen::Nothing,
            (Seen::Nothing | Seen::Line | Seen::LineEnd, _) => Seen::Line,
        }
    }
}

impl<S> Reply<S> {
    /// For a stream on which nothing came yet.
    pub(super) fn new(stream: S) -> Reply<S> {
        Reply {
            stream,
            seen: Seen::Nothing,
        }
    }

    /// The stream, with what came behind the reply.
    pub(super) fn into_inner(self) -> S {
        self.stream
    }
}

impl<S: AsyncBufRead + Unpin> AsyncRead for Reply<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.seen == Seen::All {
            return Poll::Ready(Ok(()));
        }
        let bytes = ready!(Pin::new(&mut this.stream).poll_fill_buf(cx))?;
        let mut count = 0;
        for byte in &bytes[..bytes.len().min(buffer.remaining())] {
            this.seen = this.seen.after(*byte);
            count += 1;
            if this.seen == Seen::All {
                break;
            }
        }
        buffer.put_slice(&bytes[..count]);
        Pin::new(&mut this.stream).consume(count);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Reply<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, BufReader};

    use super::*;

    #[tokio::test]
    async fn a_reply_ends_behind_its_first_empty_line() {
        for (head, behind) in [
            (&b"HTTP/1.1 101 Yes\r\na: b\r\n\r\n"[..], &b"\x82\x01x"[..]),
            (b"HTTP/1.1 101 Yes\na: b\n\n", b"\r\n\r\n"),
            (b"HTTP/1.1 101 Yes\r\na: b\n\r\n", b"\n"),
            (b"\r\n\r\nHTTP/1.1 101 Yes\r\n\r\n", b""),
        ] {
            for piece in [1, 2, 3, 100] {
                let all = [head, behind].concat();
                let mut reply = Reply::new(BufReader::with_capacity(piece, &all[..]));
                let mut read = Vec::new();
                reply.read_to_end(&mut read).await.expect("a slice");
                assert_eq!(read, head);
                let mut rest = Vec::new();
                let mut stream = reply.into_inner();
                stream.read_to_end(&mut rest).await.expect("a slice");
                assert_eq!(rest, behind);
            }
        }
    }
}
