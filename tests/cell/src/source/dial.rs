//! The handshake of a client.

use std::fmt;
use std::io;

use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::tungstenite::handshake::client::generate_key;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{self, http};
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

use crate::certs;
use crate::service::{Protocol, Service, Tunnel, client_token};
use crate::wire::{MAX_WEBSOCKET_MESSAGE, Mode};

/// The WebSocket of a client.
pub(super) type WebSocket = WebSocketStream<TlsStream<TcpStream>>;

/// How a source connects and speaks.
#[derive(Clone)]
pub struct SourceOptions {
    /// `localhost:PORT`.
    pub endpoint: String,
    /// The authority of the service.
    pub ca_pem: String,
    /// The access token.
    pub token: String,
    /// The client token, if one is sent.
    pub client_token: Option<String>,
    /// The form of its messages: V1 has no service id and no connection id, V2 no connection id.
    pub version: Protocol,
    /// The subprotocol it offers; a V1 source may offer 3.0 too.
    pub subprotocol: Protocol,
    /// The services it listens for. V1 takes one.
    pub services: Vec<String>,
    /// Whether it connects again when the WebSocket is lost. Needs a client token.
    pub reconnect: bool,
}

impl SourceOptions {
    /// For all services of a tunnel, with a client token of its own, offering the subprotocol of its version.
    pub fn new(service: &Service, tunnel: &Tunnel, version: Protocol) -> Self {
        Self {
            endpoint: service.endpoint(),
            ca_pem: service.ca_pem().to_owned(),
            token: tunnel.source_token.clone(),
            client_token: Some(client_token()),
            version,
            subprotocol: version,
            services: tunnel.services().to_vec(),
            reconnect: false,
        }
    }
}

impl fmt::Debug for SourceOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Without the tokens: test output is a log too.
        f.debug_struct("SourceOptions")
            .field("endpoint", &self.endpoint)
            .field("version", &self.version)
            .field("subprotocol", &self.subprotocol)
            .field("services", &self.services)
            .finish_non_exhaustive()
    }
}

/// Why there is no WebSocket.
#[derive(Debug)]
pub enum ConnectError {
    /// TCP or TLS failed.
    Io(io::Error),
    /// The service refused.
    Refused {
        /// The HTTP status.
        status: u16,
        /// `X-Status-Reason`, if there was one.
        reason: Option<String>,
        /// `channel-id`, if there was one.
        channel_id: Option<String>,
    },
    /// The answer was no WebSocket handshake.
    WebSocket(String),
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => write!(f, "no connection to the service: {error}"),
            Self::Refused { status, reason, .. } => write!(
                f,
                "the service refused with {status}: {}",
                reason.as_deref().unwrap_or("no reason given")
            ),
            Self::WebSocket(error) => write!(f, "no WebSocket: {error}"),
        }
    }
}

impl std::error::Error for ConnectError {}

impl From<io::Error> for ConnectError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// TCP and TLS to `host:port`, without Nagle's delay.
///
/// # Errors
/// What TCP or TLS says.
pub async fn connect_tls(endpoint: &str, ca_pem: &str) -> io::Result<TlsStream<TcpStream>> {
    let host = endpoint.rsplit_once(':').map_or(endpoint, |(host, _)| host);
    let name =
        ServerName::try_from(host.trim_matches(['[', ']']).to_owned()).map_err(io::Error::other)?;
    let tcp = TcpStream::connect(endpoint).await?;
    tcp.set_nodelay(true)?;
    let connector = TlsConnector::from(certs::client_config(ca_pem)?);
    connector.connect(name, tcp).await
}

/// The whole handshake, for either side of a tunnel.
pub(super) async fn connect(
    mode: Mode,
    options: &SourceOptions,
) -> Result<WebSocket, ConnectError> {
    let stream = connect_tls(&options.endpoint, &options.ca_pem).await?;
    let mut request = http::Request::get(format!(
        "wss://{}/tunnel?local-proxy-mode={mode}",
        options.endpoint
    ))
    .header("Host", &options.endpoint)
    .header("Upgrade", "websocket")
    .header("Connection", "upgrade")
    .header("Sec-WebSocket-Key", generate_key())
    .header("Sec-WebSocket-Version", "13")
    .header("Sec-WebSocket-Protocol", options.subprotocol.name())
    .header("access-token", &options.token);
    if let Some(token) = &options.client_token {
        request = request.header("client-token", token);
    }
    let request = request
        .body(())
        .map_err(|error| ConnectError::WebSocket(error.to_string()))?;
    let config = WebSocketConfig::default()
        .max_message_size(Some(MAX_WEBSOCKET_MESSAGE))
        .max_frame_size(Some(MAX_WEBSOCKET_MESSAGE));
    match client_async_with_config(request, stream, Some(config)).await {
        Ok((socket, _)) => Ok(socket),
        Err(tungstenite::Error::Http(response)) => {
            let header = |name| Some(response.headers().get(name)?.to_str().ok()?.to_owned());
            Err(ConnectError::Refused {
                status: response.status().as_u16(),
                reason: header("x-status-reason"),
                channel_id: header("channel-id"),
            })
        }
        Err(tungstenite::Error::Io(error)) => Err(ConnectError::Io(error)),
        Err(error) => Err(ConnectError::WebSocket(error.to_string())),
    }
}
