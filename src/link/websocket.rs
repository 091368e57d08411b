//! The WebSocket over TLS: messages both ways, with bounded buffers.
//!
//! The frames are our own (`head`, `inflow`, `outflow`); a library makes the handshake. It
//! would copy each message once more, mask it four bytes at a time and clear its buffer before each read: more than half
//! of the instructions that a byte up took outside of kernel and cipher (docs/benchmarks.md).
//!
//! Reading and writing are polled by the tunnel's one task. A message is only sent while the link
//! [`is ready`](Link::poll_ready); what it holds then is bounded by
//! [`LINK_WAITING_MAX`](crate::limits::LINK_WAITING_MAX).

use std::fmt;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use tokio::io::{AsyncBufRead, AsyncRead as _, AsyncWrite, ReadBuf};
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
pub use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

pub use super::head::Fault;
use super::head::Opcode;
use super::inflow::{Incoming, Inflow};
use super::outflow::Outflow;
use super::stream::Stream as Below;
use crate::limits::{LINK_FLOWS, LINK_GATHER, REST_READ};

/// What came from the service.
#[derive(Debug)]
pub enum Received {
    /// A binary message: bytes of the tunnel.
    Bytes(Bytes),
    /// A ping (answered by itself) or a pong: a sign of life.
    Alive,
}

/// Why a link is over.
#[derive(Debug)]
pub enum Lost {
    /// The service closed the WebSocket, with a code and a reason.
    Closed(Option<CloseFrame>),
    /// The service sent a text message, which the protocol forbids.
    Text,
    /// What the service sent is no WebSocket.
    Fault(Fault),
    /// TCP or TLS failed.
    Broken(io::Error),
}

impl Lost {
    /// The code of the close that we owe the service, if any. Source: RFC 6455, 7.1.7 and 7.4.1.
    pub fn close_code(&self) -> Option<CloseCode> {
        match self {
            Lost::Text => Some(CloseCode::Unsupported),
            Lost::Fault(Fault::TooLong(_)) => Some(CloseCode::Size),
            Lost::Fault(_) => Some(CloseCode::Protocol),
            Lost::Broken(_) | Lost::Closed(_) => None,
        }
    }
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Lost::Closed(Some(frame)) => write!(
                f,
                "the service closed the WebSocket (code {}, \"{}\")",
                u16::from(frame.code),
                frame.reason
            ),
            Lost::Closed(None) => write!(f, "the service closed the WebSocket without a code"),
            Lost::Text => write!(
                f,
                "the service sent a text message, which the protocol forbids"
            ),
            Lost::Fault(fault) => write!(f, "what the service sent is no WebSocket: {fault}"),
            Lost::Broken(error) => write!(f, "the connection to the service broke: {error}"),
        }
    }
}

/// A WebSocket to the service.
pub struct Link<S = TlsStream<Below>> {
    stream: S,
    inflow: Inflow,
    outflow: Outflow,
    /// TLS may hold bytes that the socket has not taken.
    unflushed: bool,
    /// Large messages that the socket took at once, in a row.
    flown: u32,
    /// A close was sent, by us or as an answer: nothing more may be.
    closed: bool,
    /// Nothing more can come, or may be looked at.
    ended: bool,
}

impl<S: AsyncBufRead + AsyncWrite + Unpin> Link<S> {
    /// For a stream on which the handshake is done.
    pub fn new(stream: S) -> Link<S> {
        Link {
            stream,
            inflow: Inflow::default(),
            outflow: Outflow::new(),
            unflushed: false,
            flown: 0,
            closed: false,
            ended: false,
        }
    }

    /// The next message.
    pub fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<Result<Received, Lost>> {
        if self.ended {
            return Poll::Ready(Err(Lost::Closed(None)));
        }
        loop {
            let came = match Pin::new(&mut self.stream).poll_fill_buf(cx) {
                Poll::Pending => {
                    self.inflow.rest();
                    return Poll::Pending;
                }
                Poll::Ready(Ok([])) => return Poll::Ready(Err(self.over(Fault::NoClose))),
                Poll::Ready(Ok(bytes)) => bytes,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(self.broken(error))),
            };
            let mut rest = came;
            let taken = self.inflow.take(&mut rest);
            let count = came.len() - rest.len();
            Pin::new(&mut self.stream).consume(count);
            match taken {
                Ok(None) => {}
                Ok(Some(incoming)) => return Poll::Ready(self.handle(incoming)),
                Err(fault) => return Poll::Ready(Err(self.over(fault))),
            }
        }
    }

    fn handle(&mut self, incoming: Incoming) -> Result<Received, Lost> {
        match incoming {
            Incoming::Message(bytes) => Ok(Received::Bytes(bytes)),
            Incoming::Text => Err(Lost::Text),
            Incoming::Pong => Ok(Received::Alive),
            Incoming::Ping(payload) => {
                if !self.closed {
                    self.outflow.put_pong(payload).map_err(Lost::Broken)?;
                    self.unflushed = true;
                }
                Ok(Received::Alive)
            }
            Incoming::Close(frame) => Err(self.closed(frame)),
        }
    }

    /// The service closes: it gets its own code back, if it is one.
    fn closed(&mut self, frame: Option<CloseFrame>) -> Lost {
        let frame = frame.map(|frame| {
            if frame.code.is_allowed() {
                frame
            } else {
                CloseFrame {
                    code: CloseCode::Protocol,
                    reason: "no code of a close".into(),
                }
            }
        });
        self.ended = true;
        if !self.closed {
            let put = match &frame {
                Some(frame) => self.put_close(frame),
                None => self.put(Opcode::Close, b""),
            };
            if let Err(lost) = put {
                return lost;
            }
        }
        Lost::Closed(frame)
    }

    fn over(&mut self, fault: Fault) -> Lost {
        self.ended = true;
        // An answer to our close need not come.
        if self.closed && fault == Fault::NoClose {
            return Lost::Closed(None);
        }
        Lost::Fault(fault)
    }

    fn broken(&mut self, error: io::Error) -> Lost {
        self.ended = true;
        if self.closed && error.kind() == io::ErrorKind::ConnectionReset {
            return Lost::Closed(None);
        }
        Lost::Broken(error)
    }

    /// Ready when one message more can be sent.
    pub fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Lost>> {
        if self.outflow.is_roomy() && self.flown > 0 {
            return Poll::Ready(Ok(()));
        }
        self.poll_flush(cx)
    }

    /// Whether the socket takes at once what it is given, and has done so for a while: then a larger read of a
    /// controller keeps nobody waiting.
    pub fn flows(&self) -> bool {
        self.flown > LINK_FLOWS
    }

    /// Sends a short message, with the next flush. Only after [`poll_ready`](Self::poll_ready).
    ///
    /// # Errors
    /// The link is over.
    pub fn send(&mut self, message: &[u8]) -> Result<(), Lost> {
        self.put(Opcode::Binary, message)
    }

    /// Sends the message that stands in `buffer` from `start` on, behind at least
    /// [`WEBSOCKET_HEAD_MAX`](crate::limits::WEBSOCKET_HEAD_MAX) bytes of room; it stands there no more afterwards. A
    /// long one goes to the socket at once. Only after [`poll_ready`](Self::poll_ready).
    ///
    /// # Errors
    /// The link is over.
    ///
    /// # Panics
    /// If there is less room: a bug of the caller.
    pub fn send_from(
        &mut self,
        buffer: &mut [u8],
        start: usize,
        cx: &mut Context<'_>,
    ) -> Result<(), Lost> {
        if buffer.len() - start < LINK_GATHER {
            return self.put(Opcode::Binary, &buffer[start..]);
        }
        self.check_open()?;
        let enclosed = self.outflow.enclose(Opcode::Binary, buffer, start);
        let mut frame = &buffer[enclosed.map_err(Lost::Broken)?..];
        self.unflushed = true;
        // In their order: what was gathered before goes first.
        if self.poll_push(cx)?.is_ready() {
            while !frame.is_empty() {
                match Pin::new(&mut self.stream).poll_write(cx, frame) {
                    Poll::Ready(Ok(0)) => {
                        return Err(Lost::Broken(io::ErrorKind::WriteZero.into()));
                    }
                    Poll::Ready(Ok(count)) => frame = &frame[count..],
                    Poll::Ready(Err(error)) => return Err(Lost::Broken(error)),
                    Poll::Pending => break,
                }
            }
        }
        self.outflow.keep(frame);
        if self.poll_flush(cx)?.is_ready() {
            self.flown = self.flown.saturating_add(1);
        }
        Ok(())
    }

    /// Sends a ping. Only after [`poll_ready`](Self::poll_ready).
    ///
    /// # Errors
    /// The link is over.
    pub fn ping(&mut self) -> Result<(), Lost> {
        self.put(Opcode::Ping, b"")
    }

    /// Sends our close.
    ///
    /// # Errors
    /// The link is over.
    pub fn close(&mut self, code: CloseCode) -> Result<(), Lost> {
        let reason = "".into();
        self.put_close(&CloseFrame { code, reason })
    }

    /// Writes out the answer to the service's close.
    pub fn poll_answer_close(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Lost>> {
        self.poll_flush(cx)
    }

    /// Writes out what was sent. Pending does not hold anything else up.
    pub fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Lost>> {
        if !self.unflushed {
            return Poll::Ready(Ok(()));
        }
        ready!(self.poll_push(cx)?);
        if Pin::new(&mut self.stream)
            .poll_flush(cx)
            .map_err(Lost::Broken)?
            .is_pending()
        {
            self.flown = 0;
            return Poll::Pending;
        }
        self.unflushed = false;
        self.flown = self.flown.max(1);
        Poll::Ready(Ok(()))
    }

    /// Gives TLS what waits.
    fn poll_push(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Lost>> {
        while !self.outflow.next().is_empty() {
            let pushed = Pin::new(&mut self.stream).poll_write(cx, self.outflow.next());
            match pushed.map_err(Lost::Broken)? {
                Poll::Ready(0) => {
                    let zero = io::ErrorKind::WriteZero.into();
                    return Poll::Ready(Err(Lost::Broken(zero)));
                }
                Poll::Ready(count) => self.outflow.handle_taken(count).map_err(Lost::Broken)?,
                Poll::Pending => {
                    self.flown = 0;
                    return Poll::Pending;
                }
            }
        }
        Poll::Ready(Ok(()))
    }

    fn put_close(&mut self, frame: &CloseFrame) -> Result<(), Lost> {
        let mut payload = u16::from(frame.code).to_be_bytes().to_vec();
        payload.extend_from_slice(frame.reason.as_bytes());
        self.put(Opcode::Close, &payload)
    }

    fn put(&mut self, opcode: Opcode, payload: &[u8]) -> Result<(), Lost> {
        self.check_open()?;
        self.closed = opcode == Opcode::Close;
        self.unflushed = true;
        self.outflow.put(opcode, payload).map_err(Lost::Broken)
    }

    fn check_open(&self) -> Result<(), Lost> {
        if self.closed {
            return Err(Lost::Closed(None));
        }
        Ok(())
    }
}

impl Link {
    /// Says that nothing more comes from us: the last word of TLS, and FIN.
    pub fn poll_finish(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    /// Takes what the service still sends, to its end, and looks at none of it. A socket that is closed with unread
    /// bytes sends RST, and what we said last may then never be read.
    pub fn poll_rest(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let tcp = self.stream.get_mut().0.tcp();
        let mut bytes = [0; REST_READ];
        loop {
            let mut buffer = ReadBuf::new(&mut bytes);
            ready!(Pin::new(&mut *tcp).poll_read(cx, &mut buffer))?;
            if buffer.filled().is_empty() {
                return Poll::Ready(Ok(()));
            }
        }
    }
}
