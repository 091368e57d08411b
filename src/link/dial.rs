//! Reaching the service: name, TCP, TLS, WebSocket; and why it did not work.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_tungstenite::client_async_with_config;
use tokio_tungstenite::tungstenite;
use tokio_tungstenite::tungstenite::handshake::client::{Response, generate_key};
use tokio_tungstenite::tungstenite::http::{HeaderMap, Request};

use super::tls;
use super::websocket::{Link, config};
use crate::config::{ClientToken, Endpoint};
use crate::limits::{DIAL_ATTEMPT, DIAL_LIMIT, LINK_UNSENT, PONG_LIMIT};
use crate::protocol::handshake::{PATH, Refusal, headers};
use crate::protocol::ids::Version;
use crate::resolve::{self, ResolveError};
use crate::secret::Secret;
use crate::socket;

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
    /// The service's address.
    pub address: SocketAddr,
}

/// Why the service could not be reached.
#[derive(Debug)]
pub enum DialError {
    /// The name has no address.
    Resolve(ResolveError),
    /// TCP failed, on the last address tried.
    Tcp(SocketAddr, io::Error),
    /// TLS failed.
    Tls(io::Error),
    /// The service answered, but not with a WebSocket.
    Refused(Refusal),
    /// The answer was no handshake.
    Handshake(tungstenite::Error),
    /// The endpoint is no name that TLS can check.
    Name,
    /// All of it together took too long.
    Timeout,
}

impl fmt::Display for DialError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DialError::Resolve(error) => {
                write!(f, "its name {error}; check the DNS server and the uplink")
            }
            DialError::Tcp(address, error) => write!(
                f,
                "no TCP connection to {address} ({error}); check the uplink and the firewall"
            ),
            DialError::Tls(error) => match error.get_ref().and_then(|e| e.downcast_ref()) {
                Some(error) => write!(f, "TLS failed ({error}): {}", tls::advice(error)),
                None => write!(
                    f,
                    "TLS failed ({error}); check what stands between us and it"
                ),
            },
            DialError::Refused(refusal) => write!(f, "refused the WebSocket: {refusal}"),
            DialError::Handshake(error) => write!(
                f,
                "its answer was no WebSocket handshake ({error}); check the endpoint, and what answers in its place"
            ),
            DialError::Name => write!(f, "its name is not one that a certificate can carry"),
            DialError::Timeout => write!(
                f,
                "no WebSocket within {} s; check the uplink",
                DIAL_LIMIT.as_secs()
            ),
        }
    }
}

/// Opens a WebSocket to the service. Ends within [`DIAL_LIMIT`].
///
/// # Errors
/// At which stage it failed, and how.
pub async fn dial(
    endpoint: &Endpoint,
    tls: Arc<ClientConfig>,
    access_token: &Secret,
    client_token: &ClientToken,
) -> Result<Dialled, DialError> {
    let whole = async {
        let (stream, address) = reach(endpoint).await?;
        let name = ServerName::try_from(endpoint.host.clone()).map_err(|_| DialError::Name)?;
        let stream = TlsConnector::from(tls)
            .connect(name, stream)
            .await
            .map_err(DialError::Tls)?;
        let request = request(endpoint, access_token, client_token);
        let (socket, reply) = client_async_with_config(request, stream, Some(config()))
            .await
            .map_err(refused)?;
        let version = chosen(&reply)?;
        Ok(Dialled {
            link: Link::new(socket),
            version,
            channel_id: shown(reply.headers(), "channel-id"),
            address,
        })
    };
    timeout(DIAL_LIMIT, whole)
        .await
        .unwrap_or(Err(DialError::Timeout))
}

async fn reach(endpoint: &Endpoint) -> Result<(TcpStream, SocketAddr), DialError> {
    let mut last = DialError::Timeout;
    for address in addresses(endpoint).await? {
        let failed = match timeout(DIAL_ATTEMPT, connect(address)).await {
            Ok(Ok(stream)) => return Ok((stream, address)),
            Ok(Err(error)) => error,
            Err(_) => io::ErrorKind::TimedOut.into(),
        };
        last = DialError::Tcp(address, failed);
    }
    Err(last)
}

async fn addresses(endpoint: &Endpoint) -> Result<Vec<SocketAddr>, DialError> {
    if let Ok(ip) = endpoint.host.parse::<IpAddr>() {
        return Ok(vec![(ip, endpoint.port).into()]);
    }
    resolve::addresses(&resolve::SERVICE, &endpoint.host, endpoint.port)
        .await
        .map_err(DialError::Resolve)
}

async fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    socket::tune(&socket, Some(PONG_LIMIT))?;
    socket::bound_unsent(&socket, LINK_UNSENT)?;
    socket.connect(address).await
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
