//! The WebSocket over TLS: messages both ways, with bounded buffers.
//!
//! Reading and writing are polled by the tunnel's one task. A message is only sent while the link
//! [`is ready`](Link::poll_ready); what it holds then is bounded by [`LINK_WRITE_BUFFER_MAX`].

use std::fmt;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_util::{Sink, Stream};
use tokio::io::{AsyncRead as _, AsyncWrite as _, ReadBuf};
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::WebSocketStream;
pub use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message};

use super::stream::Stream as Below;
use crate::limits::{
    LINK_READ_BUFFER, LINK_WRITE_BUFFER, LINK_WRITE_BUFFER_MAX, REST_READ, WEBSOCKET_MESSAGE_MAX,
};

/// The limits of the protocol and of our memory, for the WebSocket library.
pub fn config() -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(LINK_READ_BUFFER)
        .write_buffer_size(LINK_WRITE_BUFFER)
        .max_write_buffer_size(LINK_WRITE_BUFFER_MAX)
        .max_message_size(Some(WEBSOCKET_MESSAGE_MAX))
        .max_frame_size(Some(WEBSOCKET_MESSAGE_MAX))
}

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
    /// TCP, TLS or WebSocket failed.
    Broken(Error),
}

impl Lost {
    /// The code of the close that we owe the service, if any. Source: RFC 6455, 7.1.7 and 7.4.1.
    pub fn close_code(&self) -> Option<CloseCode> {
        match self {
            Lost::Text => Some(CloseCode::Unsupported),
            Lost::Broken(Error::Capacity(_)) => Some(CloseCode::Size),
            Lost::Broken(Error::Protocol(_) | Error::Utf8(_)) => Some(CloseCode::Protocol),
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
            Lost::Broken(error) => write!(f, "the connection to the service broke: {error}"),
        }
    }
}

/// A WebSocket to the service.
pub struct Link {
    socket: WebSocketStream<TlsStream<Below>>,
    unflushed: bool,
}

impl Link {
    /// For a WebSocket whose handshake is done.
    pub fn new(socket: WebSocketStream<TlsStream<Below>>) -> Link {
        Link {
            socket,
            unflushed: false,
        }
    }

    /// The next message.
    pub fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<Result<Received, Lost>> {
        let message = match Pin::new(&mut self.socket).poll_next(cx) {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(None) => return Poll::Ready(Err(Lost::Closed(None))),
            Poll::Ready(Some(Err(error))) => return Poll::Ready(Err(Lost::Broken(error))),
            Poll::Ready(Some(Ok(message))) => message,
        };
        Poll::Ready(match message {
            Message::Binary(bytes) => Ok(Received::Bytes(bytes)),
            Message::Ping(_) | Message::Pong(_) => Ok(Received::Alive),
            Message::Text(_) => Err(Lost::Text),
            Message::Close(frame) => Err(Lost::Closed(frame)),
            // Never given out by the reading side.
            Message::Frame(_) => Ok(Received::Alive),
        })
    }

    /// Ready when one message more can be sent.
    pub fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Lost>> {
        Pin::new(&mut self.socket)
            .poll_ready(cx)
            .map_err(Lost::Broken)
    }

    /// Sends bytes of the tunnel as one binary message. Only after [`poll_ready`](Self::poll_ready).
    ///
    /// # Errors
    /// The link is over.
    pub fn send(&mut self, bytes: Bytes) -> Result<(), Lost> {
        self.start_send(Message::Binary(bytes))
    }

    /// Sends a ping. Only after [`poll_ready`](Self::poll_ready).
    ///
    /// # Errors
    /// The link is over.
    pub fn ping(&mut self) -> Result<(), Lost> {
        self.start_send(Message::Ping(Bytes::new()))
    }

    /// Sends our close.
    ///
    /// # Errors
    /// The link is over.
    pub fn close(&mut self, code: CloseCode) -> Result<(), Lost> {
        let reason = "".into();
        self.start_send(Message::Close(Some(CloseFrame { code, reason })))
    }

    /// Writes out the answer to the service's close, which the library has made.
    pub fn poll_answer_close(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Lost>> {
        self.unflushed = true;
        self.poll_flush(cx)
    }

    /// Writes out what was sent. Pending does not hold anything else up.
    pub fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Lost>> {
        if !self.unflushed {
            return Poll::Ready(Ok(()));
        }
        let flushed = Pin::new(&mut self.socket).poll_flush(cx);
        if flushed.is_ready() {
            self.unflushed = false;
        }
        flushed.map_err(Lost::Broken)
    }

    /// Says that nothing more comes from us: the last word of TLS, and FIN.
    pub fn poll_finish(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(self.socket.get_mut()).poll_shutdown(cx)
    }

    /// Takes what the service still sends, to its end, and looks at none of it. A socket that is closed with unread
    /// bytes sends RST, and what we said last may then never be read.
    pub fn poll_rest(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let tcp = self.socket.get_mut().get_mut().0.tcp();
        let mut bytes = [0; REST_READ];
        loop {
            let mut buffer = ReadBuf::new(&mut bytes);
            ready!(Pin::new(&mut *tcp).poll_read(cx, &mut buffer))?;
            if buffer.filled().is_empty() {
                return Poll::Ready(Ok(()));
            }
        }
    }

    fn start_send(&mut self, message: Message) -> Result<(), Lost> {
        self.unflushed = true;
        Pin::new(&mut self.socket)
            .start_send(message)
            .map_err(Lost::Broken)
    }
}
