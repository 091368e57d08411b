//! The way out of the cell's network: straight, or through the owner's HTTP proxy.
//!
//! Is responsible for: bytes to and from a host of the internet, for the tunnels and for MQTT alike. What is said
//! over them, TLS to the host first of all, is the caller's.

use std::fmt;
use std::net::SocketAddr;
use std::rc::Rc;

use rustls::pki_types::{CertificateDer, ServerName};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::proxy::{self, ProxyError};
use super::reach::{Unreached, reach};
use super::room::Room;
use super::stream::Stream;
use super::tls;
use crate::config::{Endpoint, Proxy};
use crate::limits::PROXY_LIMIT;
use crate::resolve::{self, Lane, ResolveError};

/// The way out, made once and shared by all who need it.
pub struct Way {
    proxy: Option<Proxy>,
    /// For a proxy that is reached by TLS.
    tls: Option<TlsConnector>,
}

/// Bytes to and from a host.
pub struct Reached {
    /// The bytes.
    pub stream: Stream,
    /// The other end of the TCP connection: the host, or the proxy.
    pub peer: SocketAddr,
    /// Our end of it.
    pub local: SocketAddr,
    /// A proxy stands between.
    pub proxied: bool,
}

/// Why a host could not be reached.
#[derive(Debug)]
pub enum ReachError {
    /// Its name has no address.
    Resolve(ResolveError),
    /// No address of it takes a TCP connection.
    Tcp(Unreached),
    /// The proxy does not let us through.
    Proxy(Endpoint, ProxyError),
}

impl fmt::Display for ReachError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ReachError::Resolve(error) => write!(f, "its name {error}"),
            ReachError::Tcp(unreached) => unreached.fmt(f),
            ReachError::Proxy(proxy, error) => write!(f, "the proxy {proxy}: {error}"),
        }
    }
}

impl Way {
    /// The way through `proxy`, or straight. `roots` are trusted beside the built-in ones when the proxy itself
    /// is reached by TLS.
    ///
    /// # Errors
    /// A root that is no certificate; the configuration has checked that before.
    pub fn new(
        proxy: Option<Proxy>,
        roots: &[CertificateDer<'static>],
    ) -> Result<Rc<Way>, rustls::Error> {
        let tls = match &proxy {
            Some(proxy) if proxy.tls => Some(TlsConnector::from(tls::client(roots)?)),
            Some(_) | None => None,
        };
        Ok(Rc::new(Way { proxy, tls }))
    }

    /// The proxy on the way to a host, if there is one.
    pub fn proxy_for(&self, to: &Endpoint) -> Option<&Proxy> {
        self.proxy.as_ref().filter(|proxy| proxy.applies(&to.host))
    }

    /// Bytes to and from a host; its name, or the proxy's, is resolved in `lane`. Ends within the limits of a name,
    /// of TCP and of a proxy, `RESOLVE_LIMIT`, `DIAL_ATTEMPT` and [`PROXY_LIMIT`].
    ///
    /// # Errors
    /// Where it ended, and why.
    pub async fn reach(
        &self,
        lane: &'static Lane,
        to: &Endpoint,
        room: &Room,
    ) -> Result<Reached, ReachError> {
        let Some(proxy) = self.proxy_for(to) else {
            let addresses = resolve::addresses(lane, &to.host, to.port).await;
            let (tcp, peer) = reach(addresses.map_err(ReachError::Resolve)?, room)
                .await
                .map_err(ReachError::Tcp)?;
            return Ok(Reached::new(Stream::Tcp(tcp), peer, false));
        };
        self.through(proxy, lane, to, room)
            .await
            .map_err(|error| ReachError::Proxy(proxy.endpoint.clone(), error))
    }

    async fn through(
        &self,
        proxy: &Proxy,
        lane: &'static Lane,
        to: &Endpoint,
        room: &Room,
    ) -> Result<Reached, ProxyError> {
        let Endpoint { host, port } = &proxy.endpoint;
        let addresses = resolve::addresses(lane, host, *port).await;
        let (tcp, peer) = reach(addresses.map_err(ProxyError::Resolve)?, room)
            .await
            .map_err(ProxyError::Tcp)?;
        let let_through = async {
            let mut stream = self.to_proxy(proxy, tcp).await?;
            proxy::connect(&mut stream, proxy, to).await?;
            Ok(Reached::new(stream, peer, true))
        };
        timeout(PROXY_LIMIT, let_through)
            .await
            .unwrap_or(Err(ProxyError::Timeout))
    }

    async fn to_proxy(&self, proxy: &Proxy, tcp: TcpStream) -> Result<Stream, ProxyError> {
        let Some(tls) = &self.tls else {
            return Ok(Stream::Tcp(tcp));
        };
        let name = ServerName::try_from(proxy.endpoint.host.clone());
        let name = name.map_err(|_| ProxyError::Name)?;
        // Boxed: most ways have no TLS here, and its handshake is large.
        let stream = Box::pin(tls.connect(name, tcp)).await;
        Ok(Stream::Tls(Box::new(stream.map_err(ProxyError::Tls)?)))
    }
}

impl Reached {
    fn new(stream: Stream, peer: SocketAddr, proxied: bool) -> Reached {
        let tcp = match &stream {
            Stream::Tcp(tcp) => tcp,
            Stream::Tls(tls) => tls.get_ref().0,
        };
        // A socket that is connected has an address; it only serves the log.
        let local = tcp.local_addr().unwrap_or(match peer {
            SocketAddr::V4(_) => ([0; 4], 0).into(),
            SocketAddr::V6(_) => ([0; 16], 0).into(),
        });
        Reached {
            stream,
            peer,
            local,
            proxied,
        }
    }
}
