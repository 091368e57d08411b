//! One WebSocket of one side, from its handshake to its end.
//!
//! Three loops run beside each other in one task: `read` (socket to inbound line), `judge` (inbound line to the other
//! side) and `write` (outbound line to socket). The two lines are where the delay is.

use std::io;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_rustls::server::TlsStream;

use super::event::{Ending, Event};
use super::line::{LineReceiver, LineSender, Pacer, line};
use super::request::Request;
use super::shaper::shape;
use super::switches::{Kill, Switches};
use super::tunnel::{Closing, Outgoing, Seat, TunnelState};
use super::websocket::{Decoder, Incoming, Opcode, frame};
use crate::wire::{Assembler, MAX_WEBSOCKET_MESSAGE, Mode, Violation};

/// How long a close that the service began may take, until the TCP connection is dropped.
const CLOSE_LIMIT: Duration = Duration::from_secs(3);

/// Bytes read from a socket at once.
const READ_SIZE: usize = 65_536;

/// What came from a socket.
enum Inbound {
    Bytes(Bytes),
    End(io::Result<()>),
}

/// An accepted handshake, whose 101 is on its way.
pub(super) struct Session {
    pub(super) tunnel: Arc<TunnelState>,
    pub(super) request: Request,
    pub(super) channel_id: String,
    /// A second handle to the TCP connection under the TLS.
    pub(super) tcp: TcpStream,
    /// Bytes each line holds.
    pub(super) line_size: usize,
}

impl Session {
    /// Runs the WebSocket until it is over. `early` came behind the request.
    pub(super) async fn run(self, stream: TlsStream<TcpStream>, early: Bytes) {
        let mode = self.request.mode;
        let (outbound, outbound_receiver) = line(self.line_size);
        let (inbound, inbound_receiver) = line(self.line_size);
        let (kill, mut killed) = mpsc::unbounded_channel();
        let (hush, hushed) = watch::channel(false);
        let closing = Arc::new(Closing::default());
        let seat = Seat {
            channel_id: self.channel_id.clone(),
            line: outbound.clone(),
            kill,
            closing: Arc::clone(&closing),
            hush,
        };
        let gate = Gate {
            switches: self.tunnel.place(mode).switches.subscribe(),
            hushed,
        };
        if !early.is_empty() {
            let length = early.len();
            let _ = inbound.send(Inbound::Bytes(early), length).await;
        }
        self.tunnel.enter(
            mode,
            seat.clone(),
            self.request.protocol,
            self.request.client_token.clone(),
        );

        let ended = OnceLock::new();
        let (read_half, write_half) = tokio::io::split(stream);
        let judge = Judge {
            tunnel: &self.tunnel,
            mode,
            seat: &seat,
            ended: &ended,
        };
        let ending = tokio::select! {
            ending = judge.run(inbound_receiver, gate.clone()) => ending,
            written = write(write_half, outbound_receiver, gate.clone()) => match written {
                Ok(()) => ended.get().cloned().unwrap_or(Ending::AbruptEnd),
                Err(error) => Ending::AbruptError(error.to_string()),
            },
            Some(how) = killed.recv() => {
                self.end_abruptly(how).await;
                Ending::Killed
            }
            () = read(read_half, inbound, gate.clone()) => Ending::AbruptEnd,
            () = overdue(&closing) => Ending::Service {
                code: closing.code.get().copied().unwrap_or_default(),
                answered: false,
            },
        };
        self.tunnel.leave(mode, &self.channel_id);
        self.tunnel.journal.record(Event::Closed {
            tunnel: self.tunnel.id,
            mode,
            channel_id: self.channel_id,
            ending,
        });
    }

    async fn end_abruptly(&self, how: Kill) {
        end_abruptly(&self.tcp, how).await;
    }
}

/// Ends a TCP connection as told; for [`Kill::Reset`] the caller must drop all its handles afterwards.
pub(super) async fn end_abruptly(tcp: &TcpStream, how: Kill) {
    match how {
        Kill::Reset => {
            // Nothing to do about a connection that is gone already.
            let _ = tcp.set_zero_linger();
        }
        Kill::Fin => {
            let _ = nix::sys::socket::shutdown(
                std::os::fd::AsRawFd::as_raw_fd(tcp),
                nix::sys::socket::Shutdown::Write,
            );
            // Bytes left unread would turn the FIN into a RST.
            let mut rest = [0; 4_096];
            let drain = async {
                loop {
                    if tcp.readable().await.is_err() {
                        return;
                    }
                    match tcp.try_read(&mut rest) {
                        Ok(0) => return,
                        Ok(_) => {}
                        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                        Err(_) => return,
                    }
                }
            };
            let _ = timeout(CLOSE_LIMIT, drain).await;
        }
    }
}

async fn overdue(closing: &Closing) {
    closing.begun.notified().await;
    sleep(CLOSE_LIMIT).await;
}

/// The switches, and the silence of this one connection.
#[derive(Clone)]
struct Gate {
    switches: watch::Receiver<Switches>,
    hushed: watch::Receiver<bool>,
}

impl Gate {
    /// The switches as they stand, once there is no silence.
    async fn pass(&mut self) -> Switches {
        // A sender that is gone cannot end a silence; then the connection is about to end.
        if self.hushed.wait_for(|&hushed| !hushed).await.is_err() {
            std::future::pending::<()>().await;
        }
        let switches = self.switches.wait_for(|switches| !switches.silence).await;
        if let Ok(switches) = switches.map(|switches| switches.clone()) {
            return switches;
        }
        std::future::pending().await
    }
}

/// Never returns before the session is over.
async fn read(mut socket: impl AsyncRead + Unpin, inbound: LineSender<Inbound>, mut gate: Gate) {
    let mut pacer = Pacer::new();
    let mut buffer = vec![0; READ_SIZE];
    loop {
        let bandwidth = gate.pass().await.bandwidth;
        let piece = Pacer::piece(bandwidth).min(READ_SIZE);
        let item = match socket.read(&mut buffer[..piece]).await {
            Ok(0) => Inbound::End(Ok(())),
            Ok(length) => {
                // The switch may have been turned while nothing came.
                pacer.pass(length, gate.pass().await.bandwidth).await;
                Inbound::Bytes(Bytes::copy_from_slice(&buffer[..length]))
            }
            // The end of TCP without the end of TLS.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Inbound::End(Ok(())),
            Err(error) => Inbound::End(Err(error)),
        };
        let (length, over) = match &item {
            Inbound::Bytes(bytes) => (bytes.len(), false),
            Inbound::End(_) => (0, true),
        };
        if inbound.send(item, length).await.is_err() || over {
            std::future::pending::<()>().await;
        }
    }
}

/// Returns without error when it was told to shut down.
async fn write(
    mut socket: impl AsyncWrite + Unpin,
    mut outbound: LineReceiver<Outgoing>,
    mut gate: Gate,
) -> io::Result<()> {
    let mut pacer = Pacer::new();
    let mut closed = false;
    while let Some(next) = outbound.recv().await {
        let switches = gate.pass().await;
        sleep_until(next.at + switches.delay).await;
        let bytes = match next.item {
            Outgoing::Data(_) | Outgoing::Raw(_) if closed => continue,
            Outgoing::Data(data) => {
                shape(&glue(data, &mut outbound, &switches).await, &switches).freeze()
            }
            Outgoing::Raw(bytes) => bytes,
            Outgoing::Close(bytes) => {
                closed = true;
                bytes
            }
            Outgoing::Shutdown => return socket.shutdown().await,
        };
        for piece in bytes.chunks(Pacer::piece(switches.bandwidth)) {
            pacer.pass(piece.len(), switches.bandwidth).await;
            gate.pass().await;
            socket.write_all(piece).await?;
            socket.flush().await?;
        }
    }
    Ok(())
}

/// Adds what is due behind `first`, as far as one WebSocket message holds it.
async fn glue(first: Bytes, outbound: &mut LineReceiver<Outgoing>, switches: &Switches) -> Bytes {
    let Some(glue) = switches.glue else {
        return first;
    };
    sleep(glue.hold).await;
    let mut glued = BytesMut::from(first.as_ref());
    while let Some(next) = outbound.peek() {
        let due = next.at + switches.delay <= Instant::now();
        let fits = matches!(&next.item, Outgoing::Data(data) if glued.len() + data.len() <= MAX_WEBSOCKET_MESSAGE);
        if !due || !fits {
            break;
        }
        if let Some(taken) = outbound.take_peeked()
            && let Outgoing::Data(data) = taken.item
        {
            glued.extend_from_slice(&data);
        }
    }
    glued.freeze()
}

/// Judges what a client sends and passes it on.
struct Judge<'a> {
    tunnel: &'a TunnelState,
    mode: Mode,
    seat: &'a Seat,
    /// Set before the socket is told to shut down.
    ended: &'a OnceLock<Ending>,
}

impl Judge<'_> {
    async fn run(&self, mut inbound: LineReceiver<Inbound>, mut gate: Gate) -> Ending {
        let mut decoder = Decoder::default();
        let mut assembler = Assembler::default();
        let mut broken = false;
        while let Some(next) = inbound.recv().await {
            let switches = gate.pass().await;
            sleep_until(next.at + switches.delay).await;
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
            let judged = self.tunnel.receive(self.mode, &body);
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
