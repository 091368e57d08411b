//! One WebSocket of one side, from its handshake to its end.
//!
//! Three loops run beside each other in one task: `read` (socket to inbound line), `judge` (inbound line to the other
//! side, `judge.rs`) and `write` (outbound line to socket, both in `socket.rs`). The two lines are where the delay is.

use std::io;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};
use tokio::time::{sleep, timeout};
use tokio_rustls::server::TlsStream;

use super::event::{Ending, Event};
use super::judge::Judge;
use super::line::line;
use super::request::Request;
use super::socket::{Gate, Inbound, read, write};
use super::switches::Kill;
use super::tunnel::{Closing, Seat, TunnelState};

/// How long a close that the service began may take, until the TCP connection is dropped.
const CLOSE_LIMIT: Duration = Duration::from_secs(3);

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
            protocol: self.request.protocol,
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
