//! Reaching the service: the way to it, TLS, WebSocket; and why it did not work.

use std::cell::Cell;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncBufRead, AsyncWrite};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_tungstenite::client_async;
use tokio_tungstenite::tungstenite;
use tokio_tungstenite::tungstenite::handshake::client::{Response, generate_key};
use tokio_tungstenite::tungstenite::http::{HeaderMap, Request};

use super::reply::Reply;
use super::room::Room;
use super::tls;
use super::way::{ReachError, Reached, Way};
use super::websocket::Link;
use crate::config::{ClientToken, Endpoint};
use crate::limits::DIAL_LIMIT;
use crate::protocol::handshake::{PATH, Refusal, headers};
use crate::protocol::ids::Version;
use crate::resolve;
use crate::secret::Secret;

/// Longest reason or channel ID of the service that is repeated in the log, in characters.
const HEADER_SHOWN: usize = 128;

/// A link that is up, and what the service told of it.
pub struct Dialled {
    /// The WebSocket.
    pub link: Link,
    /// The version the service chose.
    pub version: Version,
    /// `channel-id`, which AWS support asks for.
    pub channel_id: Option<String>,
    /// The other end of the TCP connection: the service, or the proxy.
    pub address: SocketAddr,
    /// Our end of it.
    pub local: SocketAddr,
    /// A proxy stands between.
    pub proxied: bool,
}

/// What a dialling waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Name, TCP, and the proxy.
    Way,
    /// The TLS handshake with the service.
    Tls,
    /// The service's answer to the WebSocket request.
    WebSocket,
}

/// Why the service could not be reached.
#[derive(Debug)]
pub enum DialError {
    /// There is no way to it.
    Reach(ReachError),
    /// TLS failed.
    Tls(io::Error),
    /// The service answered, but not with a WebSocket.
    Refused(Refusal),
    /// The answer was no handshake.
    Handshake(tungstenite::Error),
    /// The endpoint is no name that TLS can check.
    Name,
    /// All of it together took too long; what was waited for last.
    Timeout(Stage),
}

impl fmt::Display for DialError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DialError::Reach(error) => error.fmt(f),
            DialError::Tls(error) => write!(f, "TLS failed: {}", tls::Failed(error)),
            DialError::Refused(refusal) => write!(f, "refused the WebSocket: {refusal}"),
            DialError::Handshake(error) => write!(
                f,
                "its answer was no WebSocket handshake ({error}); check the endpoint, and what answers in its place"
            ),
            DialError::Name => write!(f, "its name is not one that a certificate can carry"),
            DialError::Timeout(stage) => {
                let waited_for = match stage {
                    Stage::Way => "a way to it was not found",
                    Stage::Tls => {
                        "TCP is up, but the TLS handshake does not go on: large packets may get lost (MTU), or a \
                         firewall holds it up"
                    }
                    Stage::WebSocket => "TLS is up, but nobody answers the WebSocket request",
                };
                let limit = DIAL_LIMIT.as_secs();
                write!(
                    f,
                    "no WebSocket within {limit} s: {waited_for}; check the uplink"
                )
            }
        }
    }
}

/// Opens a WebSocket to the service. Ends within [`DIAL_LIMIT`]; `stage` tells what it waits for.
///
/// # Errors
/// At which stage it failed, and how.
pub async fn dial(
    way: &Way,
    endpoint: &Endpoint,
    tls: Arc<ClientConfig>,
    access_token: &Secret,
    client_token: &ClientToken,
    room: &Room,
    stage: &Cell<Stage>,
) -> Result<Dialled, DialError> {
    let whole = async {
        let Reached {
            stream,
            peer,
            local,
            proxied,
        } = way
            .reach(&resolve::SERVICE, endpoint, room)
            .await
            .map_err(DialError::Reach)?;
        stage.set(Stage::Tls);
        let name = ServerName::try_from(endpoint.host.clone()).map_err(|_| DialError::Name)?;
        let stream = TlsConnector::from(tls)
            .connect(name, stream)
            .await
            .map_err(DialError::Tls)?;
        stage.set(Stage::WebSocket);
        let upgraded = upgrade(stream, endpoint, access_token, client_token).await?;
        Ok(Dialled {
            link: Link::new(upgraded.stream),
            version: upgraded.version,
            channel_id: upgraded.channel_id,
            address: peer,
            local,
            proxied,
        })
    };
    timeout(DIAL_LIMIT, whole)
        .await
        .unwrap_or_else(|_| Err(DialError::Timeout(stage.get())))
}

/// A stream on which the handshake of the WebSocket is done, and what the service told in it.
pub struct Upgraded<S> {
    /// The stream, with what came behind the reply.
    pub stream: S,
    /// The version the service chose.
    pub version: Version,
    /// `channel-id`, which AWS support asks for.
    pub channel_id: Option<String>,
}

/// The handshake of the WebSocket on a stream to the service. The caller bounds the time.
///
/// # Errors
/// The service refused it, or what came is no answer to it.
pub async fn upgrade<S: AsyncBufRead + AsyncWrite + Unpin>(
    stream: S,
    endpoint: &Endpoint,
    access_token: &Secret,
    client_token: &ClientToken,
) -> Result<Upgraded<S>, DialError> {
    let request = request(endpoint, access_token, client_token);
    let (socket, reply) = client_async(request, Reply::new(stream))
        .await
        .map_err(refused)?;
    Ok(Upgraded {
        stream: socket.into_inner().into_inner(),
        version: chosen(&reply)?,
        channel_id: shown(reply.headers(), "channel-id"),
    })
}

fn request(endpoint: &Endpoint, access_token: &Secret, client_token: &ClientToken) -> Request<()> {
    let mut host = endpoint.to_string();
    // As every client writes it: the default port is left out.
    if let Some(bare) = host.strip_suffix(":443") {
        host.truncate(bare.len());
    }
    let mut request = Request::builder()
        .uri(format!("wss://{host}{PATH}"))
        .header("Host", host)
        .header("Connection", "Upgrade")
        .header("Upgrade", "websocket")
        .header("Sec-WebSocket-Version", "13")
        .header("Sec-WebSocket-Key", generate_key());
    for (name, value) in headers(access_token.expose(), client_token.expose()) {
        request = request.header(name, &*value);
    }
    request
        .body(())
        .expect("the configuration lets only URI and header characters through")
}

fn chosen(reply: &Response) -> Result<Version, DialError> {
    let name = shown(reply.headers(), "Sec-WebSocket-Protocol").unwrap_or_default();
    // The library has checked that it is one of those offered.
    Version::from_subprotocol(&name).ok_or(DialError::Handshake(tungstenite::Error::Protocol(
        tungstenite::error::ProtocolError::SecWebSocketSubProtocolError(
            tungstenite::error::SubProtocolError::InvalidSubProtocol,
        ),
    )))
}

fn refused(error: tungstenite::Error) -> DialError {
    let tungstenite::Error::Http(reply) = error else {
        return DialError::Handshake(error);
    };
    let headers = reply.headers();
    DialError::Refused(Refusal {
        status: reply.status().as_u16(),
        reason: shown(headers, "X-Status-Reason"),
        channel_id: shown(headers, "channel-id"),
        retry_after: shown(headers, "Retry-After")
            .and_then(|seconds| seconds.trim().parse().ok())
            .map(Duration::from_secs),
    })
}

/// A header of the reply as text for the log, cut to [`HEADER_SHOWN`].
fn shown(headers: &HeaderMap, name: &str) -> Option<String> {
    let value = String::from_utf8_lossy(headers.get(name)?.as_bytes());
    Some(value.chars().take(HEADER_SHOWN).collect())
}
