//! What a client sends, held against the rules, and on to the other side.

use std::io;
use std::sync::OnceLock;

use bytes::BytesMut;

use super::event::{Ending, Event};
use super::line::{LineReceiver, LineSender, due};
use super::request::Protocol;
use super::socket::{Gate, Inbound};
use super::switches::Switches;
use super::tunnel::{Outgoing, Seat, TunnelState};
use super::websocket::{Decoder, Incoming, Opcode, frame};
use crate::wire::{Assembler, MAX_WEBSOCKET_MESSAGE, Mode, Violation};

/// Judges what a client sends and passes it on.
pub(super) struct Judge<'a> {
    pub(super) tunnel: &'a TunnelState,
    pub(super) mode: Mode,
    /// What the client negotiated.
    pub(super) protocol: Protocol,
    pub(super) seat: &'a Seat,
    /// Set before the socket is told to shut down.
    pub(super) ended: &'a OnceLock<Ending>,
}

impl Judge<'_> {
    pub(super) async fn run(&self, mut inbound: LineReceiver<Inbound>, mut gate: Gate) -> Ending {
        let mut decoder = Decoder::default();
        let mut assembler = Assembler::default();
        let mut broken = false;
        while let Some(next) = inbound.recv().await {
            let switches = gate.pass().await;
            due(next.at + switches.delay).await;
            gate.pass().await;
            let bytes = match next.item {
                Inbound::Bytes(bytes) => bytes,
                Inbound::End(how) => return self.abrupt(how),
            };
            // Behind a violation only the end of the connection is of interest.
            if broken {
                continue;
            }
            decoder.feed(&bytes);
            loop {
                match decoder.next_message() {
                    Ok(None) => break,
                    Ok(Some(incoming)) => {
                        if let Err(violation) = self.take(incoming, &mut assembler, &switches).await
                        {
                            self.convict(violation);
                        }
                    }
                    Err(violation) => {
                        self.convict(violation);
                        broken = true;
                        break;
                    }
                }
            }
        }
        self.abrupt(Ok(()))
    }

    fn abrupt(&self, how: io::Result<()>) -> Ending {
        match (self.ended.get(), self.seat.closing.code.get(), how) {
            // Its close came, but what we still had to say got lost on the way.
            (Some(Ending::Client { .. }), _, Err(error)) => {
                Ending::AbruptError(format!("{error}, behind its close"))
            }
            (Some(ending), _, _) => ending.clone(),
            (None, Some(&code), _) => Ending::Service {
                code,
                answered: false,
            },
            (None, None, Ok(())) => Ending::AbruptEnd,
            (None, None, Err(error)) => Ending::AbruptError(error.to_string()),
        }
    }

    /// One message of the WebSocket. A client that is being closed may still be sending; that is of no interest.
    async fn take(
        &self,
        incoming: Incoming,
        assembler: &mut Assembler,
        switches: &Switches,
    ) -> Result<(), Violation> {
        match incoming {
            Incoming::Close(code, reason) => self.closed(code, reason),
            _ if self.seat.closing.code.get().is_some() => {}
            Incoming::Ping(payload) => {
                self.tunnel.journal.record(Event::Ping {
                    tunnel: self.tunnel.id,
                    from: self.mode,
                    payload: payload.to_vec(),
                });
                if !switches.no_pong {
                    let _ =
                        self.seat
                            .line
                            .send_now(Outgoing::Raw(frame(Opcode::Pong, true, &payload)));
                }
            }
            Incoming::Pong(payload) => self.tunnel.journal.record(Event::Pong {
                tunnel: self.tunnel.id,
                from: self.mode,
                payload: payload.to_vec(),
            }),
            Incoming::Binary(bytes) => {
                self.tunnel.place(self.mode).counters.note(bytes.len());
                assembler.feed(&bytes);
                self.pass_on(assembler).await?;
            }
        }
        Ok(())
    }

    /// Passes whole frames on; those that came together go on together.
    async fn pass_on(&self, assembler: &mut Assembler) -> Result<(), Violation> {
        let mut together = BytesMut::new();
        let mut way = None;
        while let Some(body) = assembler.next_frame() {
            let judged = self.tunnel.receive(self.mode, self.protocol, &body);
            if judged.is_err() || together.len() + 2 + body.len() > MAX_WEBSOCKET_MESSAGE {
                self.forward(&mut together, way.as_ref()).await;
            }
            way = judged?;
            let length = u16::try_from(body.len()).unwrap_or(u16::MAX);
            together.extend_from_slice(&length.to_be_bytes());
            together.extend_from_slice(&body);
        }
        self.forward(&mut together, way.as_ref()).await;
        Ok(())
    }

    async fn forward(&self, together: &mut BytesMut, way: Option<&LineSender<Outgoing>>) {
        let bytes = together.split().freeze();
        if let (Some(way), false) = (way, bytes.is_empty()) {
            let length = bytes.len();
            // A side that has left meanwhile gets a reset instead.
            let _ = way.send(Outgoing::Data(bytes), length).await;
        }
    }

    fn convict(&self, what: Violation) {
        let code = match &what {
            Violation::Text => 1003,
            Violation::WebSocket(_) => 1002,
            Violation::WebSocketMessageTooLarge(_) => 1009,
            Violation::Unparsable(_)
            | Violation::UnknownField(_)
            | Violation::WrongWireType { .. }
            | Violation::UnknownType(_)
            | Violation::OnlyFromService(_)
            | Violation::OnlyFromSource(_)
            | Violation::ZeroStream(_)
            | Violation::PayloadTooLarge(_)
            | Violation::UndeclaredService(_)
            | Violation::ServiceNotStarted(_) => 1008,
        };
        let mut reason = what.to_string();
        // A control frame holds 125 bytes, two of them for the code.
        reason.truncate(reason.floor_char_boundary(123));
        self.tunnel.journal.record(Event::Violation {
            tunnel: self.tunnel.id,
            mode: self.mode,
            what,
        });
        self.seat.close(code, &reason);
        // The other side is told now, however long this one takes to go.
        self.tunnel.leave(self.mode, &self.seat.channel_id);
    }

    fn closed(&self, code: Option<u16>, reason: String) {
        let ending = match self.seat.closing.code.get() {
            Some(&code) => Ending::Service {
                code,
                answered: true,
            },
            None => Ending::Client { code, reason },
        };
        if self.ended.set(ending).is_ok() {
            self.seat.close(code.unwrap_or(1000), "");
            let _ = self.seat.line.send_now(Outgoing::Shutdown);
        }
    }
}
