//! One local TCP connection of a source.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::streams::{ConnectionKey, Streams};
use crate::wire::{MAX_PAYLOAD, Message};

/// How long the local side may take to go after it was told that the connection is over.
const LINGER: Duration = Duration::from_secs(5);

/// What a connection needs of its source.
#[derive(Clone)]
pub(super) struct Shared {
    pub(super) streams: Arc<Mutex<Streams>>,
    /// To the WebSocket; bounded, so that a slow tunnel stops the reading of local sockets.
    pub(super) outgoing: mpsc::Sender<Message>,
}

impl Shared {
    pub(super) fn with<R>(&self, act: impl FnOnce(&mut Streams) -> R) -> R {
        act(&mut self.streams.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Moves bytes until both directions are over.
pub(super) async fn run(
    shared: Shared,
    key: ConnectionKey,
    socket: TcpStream,
    from_tunnel: mpsc::Receiver<Bytes>,
) {
    let (reader, writer) = socket.into_split();
    let down = async {
        write(writer, from_tunnel).await;
        // Told to end, or the local side takes nothing any more: either way it is over.
        if let Some(reset) = shared.with(|streams| streams.local_ended(key)) {
            let _ = shared.outgoing.send(reset).await;
        }
    };
    let up = read(&shared, key, reader);
    tokio::pin!(up, down);
    tokio::select! {
        () = &mut down => {
            // Bytes left unread would turn the FIN into a RST, and the local side might lose what was written.
            let _ = timeout(LINGER, up).await;
        }
        () = &mut up => {
            let _ = timeout(LINGER, down).await;
        }
    }
}

async fn write(mut socket: OwnedWriteHalf, mut from_tunnel: mpsc::Receiver<Bytes>) {
    while let Some(bytes) = from_tunnel.recv().await {
        if socket.write_all(&bytes).await.is_err() {
            return;
        }
    }
    let _ = socket.shutdown().await;
}

/// Each read is forwarded at once. Behind the end of the connection it only drains.
async fn read(shared: &Shared, key: ConnectionKey, mut socket: OwnedReadHalf) {
    let mut buffer = vec![0; MAX_PAYLOAD];
    loop {
        match socket.read(&mut buffer).await {
            Ok(length) if length > 0 => {
                let payload = Bytes::copy_from_slice(&buffer[..length]);
                if let Some(message) = shared.with(|streams| streams.data(key, payload)) {
                    let _ = shared.outgoing.send(message).await;
                }
            }
            // There is no half-close in the tunnel: the first end is the end.
            Ok(_) | Err(_) => {
                if let Some(reset) = shared.with(|streams| streams.local_ended(key)) {
                    let _ = shared.outgoing.send(reset).await;
                }
                return;
            }
        }
    }
}
