//! One connection to a proxy.

use std::io;
use std::sync::{Arc, PoisonError};

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

use super::portal::PAGE;
use super::request::{self, MAX_REQUEST, Request};
use super::{Answer, Event, Hub};

/// What a 407 of this proxy offers.
const BASIC: &str = "Proxy-Authenticate: Basic realm=\"the plant, all of it\"";

pub(super) async fn connection(hub: Arc<Hub>, tcp: TcpStream) {
    // What fails here is the client's hanging up.
    let _ = tcp.set_nodelay(true);
    let _ = match &hub.tls {
        None => serve(&hub, tcp).await,
        Some(tls) => match TlsAcceptor::from(Arc::clone(tls)).accept(tcp).await {
            Ok(stream) => serve(&hub, stream).await,
            Err(error) => {
                hub.journal.record(Event::TlsFailed(error.to_string()));
                Err(error)
            }
        },
    };
}

async fn serve(hub: &Hub, mut stream: impl AsyncRead + AsyncWrite + Unpin) -> io::Result<()> {
    let answer = hub
        .answer
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .clone();
    let head = head(&mut stream).await?;
    let request = match request::judge(&head) {
        Ok(request) => request,
        Err((status, what)) => {
            hub.journal.record(Event::Violation(what));
            return refuse(hub, &mut stream, status, "No", &[]).await;
        }
    };
    let authorized = hub.login.is_none() || hub.login == request.login;
    hub.journal.record(Event::Asked {
        target: request.target.clone(),
        authorized,
    });
    match answer {
        Answer::LetThrough if !authorized => {
            let headers = [BASIC.to_owned(), "Content-Length: 0".to_owned()];
            refuse(
                hub,
                &mut stream,
                407,
                "Proxy Authentication Required",
                &headers,
            )
            .await
        }
        Answer::LetThrough => let_through(hub, &mut stream, request).await,
        Answer::Head(status, headers) => {
            let (status, reason) = status.split_once(' ').unwrap_or((&status, ""));
            refuse(
                hub,
                &mut stream,
                status.parse().unwrap_or(0),
                reason,
                &headers,
            )
            .await
        }
        Answer::Bytes(bytes) => {
            hub.journal.record(Event::Answered(0));
            stream.write_all(&bytes).await?;
            stream.flush().await?;
            until_closed(&mut stream).await
        }
        Answer::Page => {
            hub.journal.record(Event::Answered(200));
            stream.write_all(PAGE.as_bytes()).await?;
            stream.flush().await?;
            until_closed(&mut stream).await
        }
        Answer::Silence => until_closed(&mut stream).await,
        Answer::Close => stream.shutdown().await,
    }
}

/// The head of the request. A client that sends more before it is answered breaks a rule; what is behind the head in
/// the same read shows it.
async fn head(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Vec<u8>> {
    let mut head = Vec::new();
    let ends = |head: &[u8]| head.windows(4).any(|four| four == b"\r\n\r\n");
    while !ends(&head) && head.len() < MAX_REQUEST {
        if stream.read_buf(&mut head).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        // A TLS handshake, most likely: its end would not be seen. What it is called is for the judge to say.
        if !head[0].is_ascii_uppercase() {
            break;
        }
    }
    Ok(head)
}

async fn let_through(
    hub: &Hub,
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    request: Request,
) -> io::Result<()> {
    let mut host = match TcpStream::connect(&request.target).await {
        Ok(host) => host,
        Err(_) => return refuse(hub, stream, 502, "Bad Gateway", &[]).await,
    };
    let _ = host.set_nodelay(true);
    // Recorded first: the client acts on the answer at once.
    hub.journal.record(Event::Opened(request.target));
    stream
        .write_all(b"HTTP/1.1 200 Connection established\r\nVia: 1.1 cell\r\n\r\n")
        .await?;
    stream.flush().await?;
    let (up, down) = copy_bidirectional(stream, &mut host).await?;
    hub.journal.record(Event::Closed { up, down });
    Ok(())
}

async fn refuse(
    hub: &Hub,
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    status: u16,
    reason: &str,
    headers: &[String],
) -> io::Result<()> {
    let mut answer = format!("HTTP/1.1 {status} {reason}\r\n");
    for header in headers {
        answer.push_str(header);
        answer.push_str("\r\n");
    }
    answer.push_str("\r\n");
    hub.journal.record(Event::Answered(status));
    stream.write_all(answer.as_bytes()).await?;
    stream.shutdown().await
}

async fn until_closed(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<()> {
    let mut rest = [0; 4096];
    while stream.read(&mut rest).await? > 0 {}
    Ok(())
}
