//! The two loops at the socket of a client, and what can hold them.

use std::io;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use super::line::{LineReceiver, LineSender, Pacer, due};
use super::shaper::shape;
use super::switches::Switches;
use super::tunnel::Outgoing;
use crate::wire::MAX_WEBSOCKET_MESSAGE;

/// Bytes read from a socket at once.
const READ_SIZE: usize = 65_536;

/// What came from a socket.
pub(super) enum Inbound {
    Bytes(Bytes),
    End(io::Result<()>),
}

/// The switches, and the silence of this one connection.
#[derive(Clone)]
pub(super) struct Gate {
    pub(super) switches: watch::Receiver<Switches>,
    pub(super) hushed: watch::Receiver<bool>,
}

impl Gate {
    /// The switches as they stand, once there is no silence.
    pub(super) async fn pass(&mut self) -> Switches {
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
pub(super) async fn read(
    mut socket: impl AsyncRead + Unpin,
    inbound: LineSender<Inbound>,
    mut gate: Gate,
) {
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
pub(super) async fn write(
    mut socket: impl AsyncWrite + Unpin,
    mut outbound: LineReceiver<Outgoing>,
    mut gate: Gate,
) -> io::Result<()> {
    let mut pacer = Pacer::new();
    let mut closed = false;
    while let Some(next) = outbound.recv().await {
        let switches = gate.pass().await;
        due(next.at + switches.delay).await;
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
