//! The WebSocket of a source, while it lasts.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::{Sink as _, Stream as _};
use prost::Message as _;
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite;

use super::connection::Shared;
use super::dial::WebSocket;
use super::listen::SourceEvent;
use super::streams::ToLocal;
use crate::journal::Journal;
use crate::wire::{Assembler, Kind, Message};

/// Messages handed to the WebSocket before it is flushed.
const BATCH: usize = 16;

/// Moves messages both ways until the WebSocket is over, and says why it is.
///
/// A local connection that takes nothing stops the reading of the WebSocket, as in the real source. The writing goes
/// on, or two full sides would wait for each other; a full WebSocket does not stop the reading either.
pub(super) async fn run(
    socket: WebSocket,
    outgoing: &mut mpsc::Receiver<Message>,
    shared: &Shared,
    journal: &Journal<SourceEvent>,
) -> String {
    let mut pump = Pump {
        socket,
        flushing: false,
        assembler: Assembler::default(),
        stuck: VecDeque::new(),
        shared,
        journal,
    };
    loop {
        let flushing = pump.flushing;
        // A handle of its own, so that the select below borrows the pump once.
        let next = pump.stuck.front().map(|(local, _)| local.clone());
        let ended = tokio::select! {
            moved = std::future::poll_fn(|context| pump.poll_socket(context)) => moved.and_then(|moved| pump.take(moved)),
            message = outgoing.recv(), if !flushing => match message {
                Some(message) => pump.send(message, outgoing),
                None => Err("the source was dropped".to_owned()),
            },
            room = reserve(next.clone()), if next.is_some() => {
                if let (Some((_, bytes)), Some(room)) = (pump.stuck.pop_front(), room) {
                    room.send(bytes);
                }
                Ok(())
            }
        };
        if let Err(why) = ended {
            return why;
        }
    }
}

/// Room at a local connection; `None` when it is gone.
async fn reserve(local: Option<ToLocal>) -> Option<mpsc::OwnedPermit<Bytes>> {
    local?.reserve_owned().await.ok()
}

/// What the WebSocket did.
enum Moved {
    Flushed,
    Incoming(tungstenite::Message),
}

struct Pump<'a> {
    socket: WebSocket,
    flushing: bool,
    assembler: Assembler,
    /// What waits for room at a local connection, in order.
    stuck: VecDeque<(ToLocal, Bytes)>,
    shared: &'a Shared,
    journal: &'a Journal<SourceEvent>,
}

impl Pump<'_> {
    fn poll_socket(&mut self, context: &mut Context<'_>) -> Poll<Result<Moved, String>> {
        if self.flushing
            && let Poll::Ready(flushed) = Pin::new(&mut self.socket).poll_flush(context)
        {
            return Poll::Ready(
                flushed
                    .map(|()| Moved::Flushed)
                    .map_err(|error| error.to_string()),
            );
        }
        if self.stuck.is_empty()
            && let Poll::Ready(incoming) = Pin::new(&mut self.socket).poll_next(context)
        {
            return Poll::Ready(match incoming {
                None => Err("end of stream".to_owned()),
                Some(incoming) => incoming
                    .map(Moved::Incoming)
                    .map_err(|error| error.to_string()),
            });
        }
        Poll::Pending
    }

    fn take(&mut self, moved: Moved) -> Result<(), String> {
        match moved {
            Moved::Flushed => {
                self.flushing = false;
                Ok(())
            }
            Moved::Incoming(tungstenite::Message::Binary(bytes)) => self.dispatch(&bytes),
            Moved::Incoming(tungstenite::Message::Close(frame)) => Err(match frame {
                Some(frame) => format!(
                    "closed with {}: {}",
                    u16::from(frame.code),
                    frame.reason.as_str()
                ),
                None => "closed without a code".to_owned(),
            }),
            Moved::Incoming(tungstenite::Message::Text(_)) => Err("a text message".to_owned()),
            Moved::Incoming(
                tungstenite::Message::Ping(_)
                | tungstenite::Message::Pong(_)
                | tungstenite::Message::Frame(_),
            ) => Ok(()),
        }
    }

    fn dispatch(&mut self, bytes: &[u8]) -> Result<(), String> {
        self.assembler.feed(bytes);
        while let Some(body) = self.assembler.next_frame() {
            let message = Message::decode(body)
                .map_err(|error| format!("a frame does not parse: {error}"))?;
            if message.kind() != Ok(Kind::Data) {
                self.journal.record(SourceEvent::Message(message.clone()));
            }
            if let Some(local) = self.shared.with(|streams| streams.receive(&message)) {
                self.stuck.push_back((local, message.payload));
            }
        }
        Ok(())
    }

    /// Hands over a message and those that wait behind it.
    fn send(
        &mut self,
        first: Message,
        outgoing: &mut mpsc::Receiver<Message>,
    ) -> Result<(), String> {
        self.flushing = true;
        let rest = std::iter::from_fn(|| outgoing.try_recv().ok()).take(BATCH - 1);
        for message in std::iter::once(first).chain(rest) {
            let message = tungstenite::Message::Binary(message.frame());
            // The socket was flushed, and takes any number of messages into its buffer.
            Pin::new(&mut self.socket)
                .start_send(message)
                .map_err(|error| error.to_string())?;
        }
        Ok(())
    }
}
