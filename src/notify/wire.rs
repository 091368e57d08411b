//! The bytes to and from the broker, as the MQTT library wants them.
//!
//! Is responsible for: writes in one piece each packet (the library writes field by field, and each would be a
//! TLS record of its own), for the reason when the connection broke (the library keeps only a kind), and for
//! passing over a message that is too long to be taken in.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use embedded_io_async::{ErrorKind, ErrorType, Read, Write};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::limits::{MQTT_SKIP_READ, MQTT_WRITE_BUFFER};

/// One connection; clones are the same one. The library holds one of them, the session another.
pub(super) struct Wire<S>(Rc<RefCell<Inner<S>>>);

struct Inner<S> {
    stream: S,
    out: Vec<u8>,
    written: usize,
    head: Head,
    /// Bytes of the packet that are still to come, while its body is read.
    left: Option<usize>,
    failure: Option<io::Error>,
}

/// The fixed header of a packet as it comes in. The library reads it byte by byte and shows its length to nobody.
#[derive(Default)]
struct Head {
    bytes: heapless::Vec<u8, 5>,
    reads: bool,
}

impl<S> Clone for Wire<S> {
    fn clone(&self) -> Self {
        Wire(Rc::clone(&self.0))
    }
}

impl<S> Wire<S> {
    pub(super) fn new(stream: S) -> Wire<S> {
        Wire(Rc::new(RefCell::new(Inner {
            stream,
            out: Vec::with_capacity(MQTT_WRITE_BUFFER),
            written: 0,
            head: Head::default(),
            left: None,
            failure: None,
        })))
    }

    /// The next bytes are a fixed header, until [`body_len`](Self::body_len) is asked for.
    pub(super) fn expect_header(&self) {
        let mut inner = self.0.borrow_mut();
        inner.left = None;
        inner.head.bytes.clear();
        inner.head.reads = true;
    }

    /// The bytes that follow the fixed header that has just been read. More are not given out before the next
    /// [`expect_header`](Self::expect_header): where a length within a packet goes beyond its end, the library's own
    /// count wraps (rust-mqtt 0.6, `BodyReader::skip`), and it would read on through the packets behind.
    pub(super) fn body_len(&self) -> usize {
        let mut inner = self.0.borrow_mut();
        inner.head.reads = false;
        let lengths = inner.head.bytes.iter().skip(1).enumerate();
        let length = lengths.fold(0, |sum, (index, byte)| {
            sum | usize::from(byte & 0x7f) << (7 * index)
        });
        inner.left = Some(length);
        length
    }

    /// Why it broke; nothing if the broker closed it.
    pub(super) fn take_failure(&self) -> Option<io::Error> {
        self.0.borrow_mut().failure.take()
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Wire<S> {
    fn poll_read(&self, cx: &mut Context<'_>, bytes: &mut [u8]) -> Poll<Result<usize, ErrorKind>> {
        let mut inner = self.0.borrow_mut();
        if inner.left == Some(0) && !bytes.is_empty() {
            let beyond = "a packet of the broker is longer inside than it says";
            inner.failure = Some(io::Error::other(beyond));
            return Poll::Ready(Err(ErrorKind::InvalidData));
        }
        let room = inner.left.unwrap_or(usize::MAX).min(bytes.len());
        let mut buffer = ReadBuf::new(&mut bytes[..room]);
        let read = ready!(Pin::new(&mut inner.stream).poll_read(cx, &mut buffer));
        if let Err(error) = read {
            inner.failure = Some(error);
            return Poll::Ready(Err(ErrorKind::Other));
        }
        if inner.head.reads {
            // No header has more than 5 bytes; the library ends the connection over one.
            let _ = inner.head.bytes.extend_from_slice(buffer.filled());
        }
        let count = buffer.filled().len();
        if let Some(left) = &mut inner.left {
            *left -= count;
        }
        Poll::Ready(Ok(count))
    }

    fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<Result<(), ErrorKind>> {
        let mut inner = self.0.borrow_mut();
        let flushed = ready!(inner.poll_flush(cx));
        Poll::Ready(flushed.map_err(|error| {
            inner.failure = Some(error);
            ErrorKind::Other
        }))
    }

    /// Reads exactly so much; nothing if it broke or ended before.
    pub(super) async fn read_all(&self, bytes: &mut [u8]) -> Option<()> {
        let mut at = 0;
        while at < bytes.len() {
            match poll_fn(|cx| self.poll_read(cx, &mut bytes[at..])).await {
                Ok(0) | Err(_) => return None,
                Ok(read) => at += read,
            }
        }
        Some(())
    }

    /// Reads so much and forgets it.
    pub(super) async fn skip(&self, mut count: usize) -> Option<()> {
        let mut bytes = zeroize::Zeroizing::new([0; MQTT_SKIP_READ]);
        while count > 0 {
            let piece = count.min(bytes.len());
            self.read_all(&mut bytes[..piece]).await?;
            count -= piece;
        }
        Some(())
    }

    /// Writes all of it, and what waits before it.
    pub(super) async fn send(&self, bytes: &[u8]) -> Option<()> {
        let mut wire = self.clone();
        wire.write_all(bytes).await.ok()?;
        wire.flush().await.ok()
    }
}

impl<S: AsyncWrite + Unpin> Inner<S> {
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.written < self.out.len() {
            let rest = &self.out[self.written..];
            let count = ready!(Pin::new(&mut self.stream).poll_write(cx, rest))?;
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.written += count;
        }
        self.out.clear();
        self.written = 0;
        Pin::new(&mut self.stream).poll_flush(cx)
    }
}

impl<S> ErrorType for Wire<S> {
    type Error = ErrorKind;
}

impl<S: AsyncRead + AsyncWrite + Unpin> Read for Wire<S> {
    async fn read(&mut self, bytes: &mut [u8]) -> Result<usize, ErrorKind> {
        poll_fn(|cx| Wire::poll_read(self, cx, bytes)).await
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Write for Wire<S> {
    async fn write(&mut self, bytes: &[u8]) -> Result<usize, ErrorKind> {
        if self.0.borrow().out.len() == MQTT_WRITE_BUFFER {
            self.flush().await?;
        }
        let mut inner = self.0.borrow_mut();
        let count = bytes.len().min(MQTT_WRITE_BUFFER - inner.out.len());
        inner.out.extend_from_slice(&bytes[..count]);
        Ok(count)
    }

    async fn flush(&mut self) -> Result<(), ErrorKind> {
        poll_fn(|cx| self.poll_flush(cx)).await
    }
}
