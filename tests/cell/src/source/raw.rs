//! A WebSocket of the tunnel without anything behind it.

use std::collections::VecDeque;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Sink as _, Stream as _};
use prost::Message as _;
use tokio::time::{Instant, timeout_at};
use tokio_tungstenite::tungstenite;

use super::dial::{ConnectError, SourceOptions, WebSocket, connect};
use crate::wire::{Assembler, Message, Mode};

/// A client that sends what a test tells it to, and reads only when the test asks.
///
/// It holds no rule of the protocol, so it can play a broken client; pings are answered while it reads.
pub struct RawSource {
    socket: WebSocket,
    assembler: Assembler,
    ready: VecDeque<Message>,
    sizes: Vec<usize>,
}

/// Why no message came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RecvError {
    /// None within the time.
    Timeout {
        /// What came instead of what was expected.
        instead: Vec<String>,
    },
    /// The WebSocket was closed, with this code and reason.
    Closed(Option<u16>, String),
    /// The WebSocket was lost.
    Lost(String),
    /// A frame does not parse.
    Unparsable(String),
}

impl fmt::Display for RecvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Timeout { instead } if instead.is_empty() => f.write_str("no message in time"),
            Self::Timeout { instead } => {
                write!(f, "no such message in time, but {}", instead.join(", "))
            }
            Self::Closed(code, reason) => write!(f, "the WebSocket was closed: {code:?} {reason}"),
            Self::Lost(error) => write!(f, "the WebSocket was lost: {error}"),
            Self::Unparsable(error) => write!(f, "a frame does not parse: {error}"),
        }
    }
}

impl std::error::Error for RecvError {}

impl RawSource {
    /// Connects as the source.
    ///
    /// # Errors
    /// Why there is no WebSocket.
    pub async fn connect(options: SourceOptions) -> Result<Self, ConnectError> {
        Self::connect_as(Mode::Source, options).await
    }

    /// Connects as either side, for tests of the service itself.
    ///
    /// # Errors
    /// Why there is no WebSocket.
    pub async fn connect_as(mode: Mode, options: SourceOptions) -> Result<Self, ConnectError> {
        Ok(Self {
            socket: connect(mode, &options).await?,
            assembler: Assembler::default(),
            ready: VecDeque::new(),
            sizes: Vec::new(),
        })
    }

    /// Sends one message in a WebSocket message of its own.
    ///
    /// # Errors
    /// When the WebSocket is lost.
    pub async fn send(&mut self, message: Message) -> Result<(), RecvError> {
        self.send_raw(message.frame()).await
    }

    /// Sends messages glued together in one WebSocket message.
    ///
    /// # Errors
    /// When the WebSocket is lost.
    pub async fn send_many(&mut self, messages: &[Message]) -> Result<(), RecvError> {
        let glued: Vec<u8> = messages.iter().flat_map(Message::frame).collect();
        self.send_raw(glued).await
    }

    /// Sends any bytes in one binary WebSocket message.
    ///
    /// # Errors
    /// When the WebSocket is lost.
    pub async fn send_raw(&mut self, bytes: impl Into<Bytes>) -> Result<(), RecvError> {
        self.send_websocket(tungstenite::Message::Binary(bytes.into()))
            .await
    }

    /// Sends any WebSocket message: text, ping, close.
    ///
    /// # Errors
    /// When the WebSocket is lost.
    pub async fn send_websocket(&mut self, message: tungstenite::Message) -> Result<(), RecvError> {
        let sent = async {
            std::future::poll_fn(|context| Pin::new(&mut self.socket).poll_ready(context)).await?;
            Pin::new(&mut self.socket).start_send(message)?;
            std::future::poll_fn(|context| Pin::new(&mut self.socket).poll_flush(context)).await
        };
        sent.await
            .map_err(|error: tungstenite::Error| RecvError::Lost(error.to_string()))
    }

    /// The next message, whatever it is.
    ///
    /// # Errors
    /// When none came within `limit`, or the WebSocket is over.
    pub async fn recv(&mut self, limit: Duration) -> Result<Message, RecvError> {
        self.recv_until(Instant::now() + limit).await
    }

    /// The next message that fits. Those before it are dropped, and named if none fits in time.
    ///
    /// # Errors
    /// When none that fits came within `limit`, or the WebSocket is over.
    pub async fn expect(
        &mut self,
        fits: impl Fn(&Message) -> bool,
        limit: Duration,
    ) -> Result<Message, RecvError> {
        let deadline = Instant::now() + limit;
        let mut instead = Vec::new();
        loop {
            match self.recv_until(deadline).await {
                Ok(message) if fits(&message) => return Ok(message),
                Ok(other) => instead.push(describe(&other)),
                Err(RecvError::Timeout { .. }) => return Err(RecvError::Timeout { instead }),
                Err(error) => return Err(error),
            }
        }
    }

    /// Reads until the WebSocket is over, and says how.
    ///
    /// # Errors
    /// When it is not over within `limit`; `instead` names the messages that came.
    pub async fn recv_end(&mut self, limit: Duration) -> Result<RecvError, RecvError> {
        match self.expect(|_| false, limit).await {
            Err(over @ (RecvError::Closed(..) | RecvError::Lost(_))) => Ok(over),
            Err(error) => Err(error),
            Ok(message) => Err(RecvError::Timeout {
                instead: vec![describe(&message)],
            }),
        }
    }

    /// The sizes of the binary WebSocket messages read so far, bytes.
    pub fn sizes(&self) -> &[usize] {
        &self.sizes
    }

    /// Closes the WebSocket with 1000 and waits for the answer.
    ///
    /// # Errors
    /// When the WebSocket is lost or nothing is answered within `limit`.
    pub async fn close(mut self, limit: Duration) -> Result<(), RecvError> {
        let frame = tungstenite::protocol::CloseFrame {
            code: tungstenite::protocol::frame::coding::CloseCode::Normal,
            reason: "".into(),
        };
        self.send_websocket(tungstenite::Message::Close(Some(frame)))
            .await?;
        self.recv_end(limit).await.map(|_| ())
    }

    async fn recv_until(&mut self, deadline: Instant) -> Result<Message, RecvError> {
        loop {
            if let Some(message) = self.ready.pop_front() {
                return Ok(message);
            }
            let next = std::future::poll_fn(|context| self.poll_next(context));
            let incoming = timeout_at(deadline, next)
                .await
                .map_err(|_| RecvError::Timeout {
                    instead: Vec::new(),
                })?;
            match incoming {
                None => return Err(RecvError::Lost("end of stream".to_owned())),
                Some(Err(error)) => return Err(RecvError::Lost(error.to_string())),
                Some(Ok(tungstenite::Message::Binary(bytes))) => self.assemble(&bytes)?,
                Some(Ok(tungstenite::Message::Close(frame))) => {
                    // The library has made an answer, which is still to be sent.
                    let flush = std::future::poll_fn(|context| {
                        Pin::new(&mut self.socket).poll_flush(context)
                    });
                    let _ = timeout_at(deadline, flush).await;
                    let (code, reason) = frame.map_or((None, String::new()), |frame| {
                        (Some(frame.code.into()), frame.reason.as_str().to_owned())
                    });
                    return Err(RecvError::Closed(code, reason));
                }
                Some(Ok(
                    tungstenite::Message::Text(_)
                    | tungstenite::Message::Ping(_)
                    | tungstenite::Message::Pong(_)
                    | tungstenite::Message::Frame(_),
                )) => {}
            }
        }
    }

    fn poll_next(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<tungstenite::Message, tungstenite::Error>>> {
        Pin::new(&mut self.socket).poll_next(context)
    }

    fn assemble(&mut self, bytes: &[u8]) -> Result<(), RecvError> {
        self.sizes.push(bytes.len());
        self.assembler.feed(bytes);
        while let Some(body) = self.assembler.next_frame() {
            let message =
                Message::decode(body).map_err(|error| RecvError::Unparsable(error.to_string()))?;
            self.ready.push_back(message);
        }
        Ok(())
    }
}

impl fmt::Debug for RawSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RawSource").finish_non_exhaustive()
    }
}

/// A message without its payload.
pub(super) fn describe(message: &Message) -> String {
    let kind = message.kind().map_or_else(
        |number| format!("type {number}"),
        |kind| format!("{kind:?}"),
    );
    format!(
        "{kind}(stream {}, connection {}, service {:?}, {} bytes)",
        message.stream_id,
        message.connection_id,
        message.service_id,
        message.payload.len()
    )
}
