//! The service and the source of a measurement in one: no more work than the protocol demands, so that it is not
//! what is measured.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::{Sink as _, Stream as _};
use prost::Message as _;
use rustls::ServerConfig;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};

use super::targets::Kind;
use crate::certs::{Authority, ServerCertificate};
use crate::wire::{self, Assembler, Message};

/// Bytes of the longest request.
const REQUEST: usize = 4096;

/// A service that lets everybody in.
pub struct Service {
    listener: TcpListener,
    tls: Arc<ServerConfig>,
    authority: Authority,
}

impl Service {
    /// Listens on a free port.
    ///
    /// # Errors
    /// There is no port or no certificate.
    pub async fn start() -> io::Result<Service> {
        let authority = Authority::new()?;
        Ok(Service {
            listener: TcpListener::bind(("127.0.0.1", 0)).await?,
            tls: authority.server_config(ServerCertificate::Good)?,
            authority,
        })
    }

    /// Whose certificate it shows.
    pub fn authority(&self) -> &Authority {
        &self.authority
    }

    /// Where it listens: `localhost:PORT`.
    ///
    /// # Errors
    /// What the system says.
    pub fn endpoint(&self) -> io::Result<String> {
        let port = self.listener.local_addr()?.port();
        Ok(format!("localhost:{port}"))
    }

    /// The next TLS connection.
    ///
    /// # Errors
    /// It is none.
    pub async fn accept_tls(&self) -> io::Result<TlsStream<TcpStream>> {
        let (tcp, _) = self.listener.accept().await?;
        tcp.set_nodelay(true)?;
        TlsAcceptor::from(Arc::clone(&self.tls)).accept(tcp).await
    }

    /// The next tunnel, with a service for each kind of target.
    pub(super) async fn accept(&self) -> io::Result<Tunnel> {
        let names: Vec<&str> = Kind::ALL.iter().map(|kind| kind.service()).collect();
        self.accept_with(&names).await
    }

    /// The next tunnel, with these services.
    ///
    /// # Errors
    /// What comes is none.
    pub async fn accept_with(&self, services: &[&str]) -> io::Result<Tunnel> {
        let mut stream = self.accept_tls().await?;
        let key = read_key(&mut stream).await?;
        let reply = format!(
            "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nupgrade: websocket\r\n\
             channel-id: bench\r\nsec-websocket-protocol: aws.iot.securetunneling-3.0\r\n\
             sec-websocket-accept: {}\r\n\r\n",
            derive_accept_key(key.as_bytes())
        );
        stream.write_all(reply.as_bytes()).await?;
        stream.flush().await?;
        let config = WebSocketConfig::default()
            .read_buffer_size(64 << 10)
            .write_buffer_size(64 << 10)
            .max_write_buffer_size(1 << 20);
        let socket = WebSocketStream::from_raw_socket(stream, Role::Server, Some(config)).await;
        let mut tunnel = Tunnel {
            socket,
            assembler: Assembler::default(),
            stream: 0,
        };
        tunnel.say(&Message::service_ids(services)).await?;
        Ok(tunnel)
    }
}

/// The value of `Sec-WebSocket-Key` in the request.
async fn read_key(stream: &mut TlsStream<TcpStream>) -> io::Result<String> {
    let mut head = Vec::with_capacity(REQUEST);
    while !head.ends_with(b"\r\n\r\n") {
        if head.len() > REQUEST || stream.read_buf(&mut head).await? == 0 {
            return Err(io::Error::other("no request of the agent"));
        }
    }
    let head = String::from_utf8_lossy(&head);
    let key = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("sec-websocket-key")
            .then(|| value.trim().to_owned())
    });
    key.ok_or_else(|| io::Error::other("the request has no Sec-WebSocket-Key"))
}

/// One tunnel, seen from the far end.
pub struct Tunnel {
    socket: WebSocketStream<TlsStream<TcpStream>>,
    assembler: Assembler,
    stream: i32,
}

/// The connections of one stream.
#[derive(Debug, Clone, Copy)]
pub struct Stream {
    id: i32,
    service: &'static str,
}

impl Stream {
    /// Its number.
    pub fn id(&self) -> i32 {
        self.id
    }

    /// A DATA frame for one of its connections, from 0.
    pub fn data(&self, connection: u32, payload: impl Into<Bytes>) -> Bytes {
        Message::data(self.id, self.service, connection + 1, payload).frame()
    }
}

impl Tunnel {
    /// Starts a stream of this service with so many connections. The one that it had is over.
    ///
    /// # Errors
    /// The tunnel is over.
    pub async fn open(&mut self, service: &'static str, connections: u32) -> io::Result<Stream> {
        self.stream += 1;
        let stream = self.stream;
        for number in 1..=connections {
            let start = match number {
                1 => Message::stream_start(stream, service, 1),
                _ => Message::connection_start(stream, service, number),
            };
            self.say(&start).await?;
        }
        Ok(Stream {
            id: stream,
            service,
        })
    }

    /// Ends a stream.
    ///
    /// # Errors
    /// The tunnel is over.
    pub async fn end(&mut self, stream: Stream) -> io::Result<()> {
        self.say(&Message::stream_reset(stream.id, stream.service))
            .await
    }

    async fn say(&mut self, message: &Message) -> io::Result<()> {
        self.send(message.frame()).await
    }

    /// Sends a frame, and waits until it is on its way.
    ///
    /// # Errors
    /// The tunnel is over.
    pub async fn send(&mut self, frame: Bytes) -> io::Result<()> {
        self.put(frame).await?;
        self.flush().await
    }

    /// Sends a frame with the next flush, or sooner.
    ///
    /// # Errors
    /// The tunnel is over.
    pub async fn put(&mut self, frame: Bytes) -> io::Result<()> {
        std::future::poll_fn(|cx| Pin::new(&mut self.socket).poll_ready(cx))
            .await
            .map_err(io::Error::other)?;
        Pin::new(&mut self.socket)
            .start_send(tungstenite::Message::Binary(frame))
            .map_err(io::Error::other)
    }

    /// Waits until everything is on its way.
    ///
    /// # Errors
    /// The tunnel is over.
    pub async fn flush(&mut self) -> io::Result<()> {
        std::future::poll_fn(|cx| Pin::new(&mut self.socket).poll_flush(cx))
            .await
            .map_err(io::Error::other)
    }

    /// Takes DATA of this stream until there are `length` bytes. What earlier streams still send is passed over.
    ///
    /// # Errors
    /// The tunnel is over, or a connection of the stream.
    pub async fn receive(&mut self, stream: Stream, length: u64) -> io::Result<()> {
        let mut left = length;
        while left > 0 {
            let Some(frame) = self.assembler.next_frame() else {
                let bytes = std::future::poll_fn(|cx| self.poll_bytes(cx)).await?;
                self.assembler.feed(&bytes);
                continue;
            };
            let message = Message::decode(frame).map_err(io::Error::other)?;
            if message.stream_id != stream.id {
                continue;
            }
            if message.kind() != Ok(wire::Kind::Data) {
                return Err(io::Error::other("a connection ended within a measurement"));
            }
            left = left.saturating_sub(message.payload.len() as u64);
        }
        Ok(())
    }

    /// The next message of the agent.
    ///
    /// # Errors
    /// The tunnel is over.
    pub async fn message(&mut self) -> io::Result<Message> {
        loop {
            if let Some(frame) = self.assembler.next_frame() {
                return Message::decode(frame).map_err(io::Error::other);
            }
            let bytes = std::future::poll_fn(|cx| self.poll_bytes(cx)).await?;
            self.assembler.feed(&bytes);
        }
    }

    /// Whether the agent answers a ping, and so has dealt with everything before it. What it sends meanwhile is dropped.
    pub async fn answers(&mut self) -> bool {
        let ping = tungstenite::Message::Ping(Bytes::new());
        if Pin::new(&mut self.socket).start_send(ping).is_err() || self.flush().await.is_err() {
            return false;
        }
        loop {
            match std::future::poll_fn(|cx| Pin::new(&mut self.socket).poll_next(cx)).await {
                Some(Ok(tungstenite::Message::Pong(_))) => return true,
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return false,
            }
        }
    }

    /// What is below the WebSocket, for bytes that no WebSocket library sends.
    pub fn below(&mut self) -> &mut TlsStream<TcpStream> {
        self.socket.get_mut()
    }

    /// Reads what comes and drops it, for as long as it is polled: answers pings. Ends with the tunnel.
    pub async fn ended(&mut self) {
        while std::future::poll_fn(|cx| self.poll_bytes(cx)).await.is_ok() {}
    }

    fn poll_bytes(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Bytes>> {
        loop {
            match Pin::new(&mut self.socket).poll_next(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Some(Ok(tungstenite::Message::Binary(bytes)))) => {
                    return Poll::Ready(Ok(bytes));
                }
                Poll::Ready(Some(Ok(_))) => {}
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Err(io::Error::other(error))),
                Poll::Ready(None) => {
                    return Poll::Ready(Err(io::Error::other("the tunnel is over")));
                }
            }
        }
    }
}
