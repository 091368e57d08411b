//! A TCP connection until it is a WebSocket, or is not.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use super::Hub;
use super::event::{Event, TunnelId};
use super::request::{MAX_REQUEST, Refused, Request, head_end, judge};
use super::session::{Session, end_abruptly};
use super::switches::Refusal;
use super::tunnel::Verdict;
use crate::wire::Mode;

/// For TLS and for the request, each.
const HANDSHAKE_LIMIT: Duration = Duration::from_secs(10);

/// How long a refused client has to read its answer and go.
const LINGER: Duration = Duration::from_secs(1);

/// Serves one TCP connection to its end.
pub(super) async fn serve(hub: Arc<Hub>, tcp: TcpStream) {
    let Ok((tcp, second)) = two_handles(tcp) else {
        return;
    };
    let accept = TlsAcceptor::from(Arc::clone(&hub.tls)).accept(tcp);
    let stream = match timeout(HANDSHAKE_LIMIT, accept).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => {
            return hub.journal.record(Event::TlsFailed {
                why: error.to_string(),
            });
        }
        Err(_) => {
            let why = format!("no TLS within {HANDSHAKE_LIMIT:?}");
            return hub.journal.record(Event::TlsFailed { why });
        }
    };
    Handshake {
        hub,
        stream,
        tcp: second,
    }
    .run()
    .await;
}

fn two_handles(tcp: TcpStream) -> io::Result<(TcpStream, TcpStream)> {
    tcp.set_nodelay(true)?;
    let tcp = tcp.into_std()?;
    let second = tcp.try_clone()?;
    Ok((TcpStream::from_std(tcp)?, TcpStream::from_std(second)?))
}

struct Handshake {
    hub: Arc<Hub>,
    stream: TlsStream<TcpStream>,
    /// A second handle to the TCP connection under the TLS.
    tcp: TcpStream,
}

impl Handshake {
    async fn run(mut self) {
        let head = match timeout(HANDSHAKE_LIMIT, read_head(&mut self.stream)).await {
            Ok(Ok(head)) => head,
            Ok(Err(_)) => {
                return self.note_rejected(
                    None,
                    None,
                    0,
                    "the connection ended inside the request",
                );
            }
            Err(_) => {
                return self
                    .refuse(None, Refused::new(408, None, "no whole request in time"))
                    .await;
            }
        };
        let (head, early) = match head {
            Head::Whole(head, early) => (head, early),
            Head::TooLarge => {
                let refused = Refused::new(400, None, "request larger than 4096 bytes");
                return self.refuse(None, refused).await;
            }
        };
        let request = match judge(&head, &self.hub.options.protocols) {
            Ok(request) => request,
            Err(refused) => return self.refuse(None, refused).await,
        };
        let Some(tunnel) = self.hub.tunnel_of(&request.access_token) else {
            let refused = Refused::new(403, Some(request.mode), "Invalid access token");
            return self.refuse(None, refused).await;
        };
        match tunnel.judge(&request) {
            Verdict::Refuse(refused) => self.refuse(Some(tunnel.id), refused).await,
            Verdict::Misbehave(refusal) => self.misbehave(tunnel.id, &request, refusal).await,
            Verdict::Accept => {
                // There and back.
                let delay = tunnel.place(request.mode).switches.borrow().delay;
                self.hub.journal.record(Event::Admitted {
                    tunnel: tunnel.id,
                    mode: request.mode,
                });
                sleep(delay * 2).await;
                let channel_id = self.hub.channel_id();
                let reply = switching(
                    &derive_accept_key(request.key.as_bytes()),
                    Some(&request.protocol.name()),
                    &channel_id,
                );
                if self.answer(&reply).await.is_err() {
                    return self.note_rejected(
                        Some(tunnel.id),
                        Some(request.mode),
                        0,
                        "the connection ended before the reply",
                    );
                }
                let session = Session {
                    tunnel,
                    request,
                    channel_id,
                    tcp: self.tcp,
                    line_size: self.hub.options.line_size,
                };
                session.run(self.stream, early).await;
            }
        }
    }

    async fn refuse(&mut self, tunnel: Option<TunnelId>, refused: Refused) {
        let reply = refusal(
            refused.status,
            Some(&refused.reason),
            None,
            &self.hub.channel_id(),
        );
        self.note_rejected(tunnel, refused.mode, refused.status, &refused.reason);
        self.answer_and_end(&reply).await;
    }

    async fn misbehave(&mut self, tunnel: TunnelId, request: &Request, how: Refusal) {
        let channel_id = self.hub.channel_id();
        let accept = derive_accept_key(request.key.as_bytes());
        let (status, reply) = match &how {
            Refusal::Status {
                status,
                retry_after,
                reason,
            } => (
                *status,
                refusal(
                    *status,
                    reason.as_deref(),
                    retry_after.as_deref(),
                    &channel_id,
                ),
            ),
            Refusal::CaptivePortal => (200, captive_portal()),
            Refusal::WrongAccept => {
                let other = derive_accept_key(b"the key of somebody else");
                (
                    101,
                    switching(&other, Some(&request.protocol.name()), &channel_id),
                )
            }
            Refusal::NoSubprotocol => (101, switching(&accept, None, &channel_id)),
            Refusal::OtherSubprotocol => (
                101,
                switching(&accept, Some("aws.iot.securetunneling-9.0"), &channel_id),
            ),
            Refusal::Cut(_) | Refusal::Hang => (0, String::new()),
        };
        self.note_rejected(
            Some(tunnel),
            Some(request.mode),
            status,
            &format!("told to: {how:?}"),
        );
        match how {
            Refusal::Cut(kill) => end_abruptly(&self.tcp, kill).await,
            Refusal::Hang => {
                let mut rest = [0; 1_024];
                // Until the client has enough of it.
                while matches!(self.stream.read(&mut rest).await, Ok(length) if length > 0) {}
            }
            Refusal::Status { .. }
            | Refusal::CaptivePortal
            | Refusal::WrongAccept
            | Refusal::NoSubprotocol
            | Refusal::OtherSubprotocol => self.answer_and_end(&reply).await,
        }
    }

    fn note_rejected(
        &self,
        tunnel: Option<TunnelId>,
        mode: Option<Mode>,
        status: u16,
        reason: &str,
    ) {
        self.hub.journal.record(Event::Rejected {
            tunnel,
            mode,
            status,
            reason: reason.to_owned(),
        });
    }

    async fn answer(&mut self, reply: &str) -> io::Result<()> {
        self.stream.write_all(reply.as_bytes()).await?;
        self.stream.flush().await
    }

    async fn answer_and_end(&mut self, reply: &str) {
        let stream = &mut self.stream;
        let end = async {
            stream.write_all(reply.as_bytes()).await?;
            stream.shutdown().await?;
            // Bytes left unread would turn the end into a RST, and the client might lose the answer.
            let mut rest = [0; 1_024];
            while stream.read(&mut rest).await? > 0 {}
            io::Result::Ok(())
        };
        // The client may be gone already.
        let _ = timeout(LINGER, end).await;
    }
}

enum Head {
    /// The request, and what came behind it.
    Whole(Bytes, Bytes),
    TooLarge,
}

async fn read_head(stream: &mut TlsStream<TcpStream>) -> io::Result<Head> {
    let mut bytes = BytesMut::with_capacity(MAX_REQUEST + 1);
    loop {
        if let Some(end) = head_end(&bytes) {
            if end > MAX_REQUEST {
                return Ok(Head::TooLarge);
            }
            let head = bytes.split_to(end).freeze();
            return Ok(Head::Whole(head, bytes.freeze()));
        }
        if bytes.len() > MAX_REQUEST {
            return Ok(Head::TooLarge);
        }
        if stream.read_buf(&mut bytes).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
}

fn switching(accept: &str, protocol: Option<&str>, channel_id: &str) -> String {
    let protocol = protocol.map_or_else(String::new, |name| {
        format!("sec-websocket-protocol: {name}\r\n")
    });
    format!(
        "HTTP/1.1 101 Switching Protocols\r\n\
         Content-Length: 0\r\n\
         Connection: upgrade\r\n\
         channel-id: {channel_id}\r\n\
         upgrade: websocket\r\n\
         sec-websocket-accept: {accept}\r\n\
         {protocol}\r\n"
    )
}

fn refusal(
    status: u16,
    reason: Option<&str>,
    retry_after: Option<&str>,
    channel_id: &str,
) -> String {
    let phrase = http::StatusCode::from_u16(status)
        .ok()
        .and_then(|status| status.canonical_reason())
        .unwrap_or("Refused");
    let line = |name: &str, value: Option<&str>| {
        value.map_or_else(String::new, |value| format!("{name}: {value}\r\n"))
    };
    format!(
        "HTTP/1.1 {status} {phrase}\r\n\
         Content-Length: 0\r\n\
         Connection: close\r\n\
         channel-id: {channel_id}\r\n\
         {}{}\r\n",
        line("X-Status-Reason", reason),
        line("Retry-After", retry_after),
    )
}

fn captive_portal() -> String {
    let page = "<!DOCTYPE html><html><head><title>Guest network</title></head><body>Please accept our terms.</body></html>";
    format!(
        "HTTP/1.1 200 OK\r\n\
         Content-Type: text/html\r\n\
         Content-Length: {}\r\n\
         Connection: close\r\n\r\n{page}",
        page.len()
    )
}
