//! The limit: a process that takes bytes off TLS and puts them into TCP, and back, and does nothing else.
//!
//! It is what a relay would cost without WebSocket, frames, streams, bounds, clocks and a log: tokio on one thread as
//! in the agent, the same TLS library, a buffer of 64 KiB each way. Only measured beside it in the same run is a figure
//! of the agent worth anything.

use std::io::{self, BufRead as _, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ServerConfig};
use tokio::io::copy_bidirectional_with_sizes;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::client::TlsStream;
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::process::Process;
use super::targets::{Kind, Targets};
use crate::agent::Folder;
use crate::certs::{Authority, client_config};

/// Bytes of the loop's buffer, each way.
const BUFFER: usize = 64 * 1024;

/// A running loop. Dropping it ends it.
pub(super) struct Bare {
    child: Child,
    ports: Vec<u16>,
    config: Arc<ClientConfig>,
    _folder: Folder,
}

impl Bare {
    /// Starts this program again, as a loop before these targets.
    pub(super) fn start(authority: &Authority, targets: &Targets) -> io::Result<Bare> {
        let folder = Folder::new("cell-bench")?;
        let identity = authority.server_identity()?;
        let certificate = folder.write("certificate.pem", &identity.certificate)?;
        let key = folder.write("key.pem", &identity.key)?;
        let addresses = Kind::ALL.map(|kind| targets.address(kind).to_string());
        let mut child = Command::new(std::env::current_exe()?)
            .arg("loop")
            .args([certificate, key])
            .args(addresses)
            .stdout(Stdio::piped())
            .spawn()?;
        let stdout = child.stdout.take();
        let mut line = String::new();
        io::BufReader::new(stdout.ok_or_else(|| io::Error::other("no output of the loop"))?)
            .read_line(&mut line)?;
        let ports = line.split_whitespace().map(str::parse).collect();
        let ports: Vec<u16> = Result::map_err(ports, io::Error::other)?;
        if ports.len() != Kind::ALL.len() {
            return Err(io::Error::other("the loop does not listen"));
        }
        Ok(Bare {
            child,
            ports,
            config: client_config(&authority.ca_pem())?,
            _folder: folder,
        })
    }

    /// A connection to the target of this kind.
    pub(super) async fn connect(&self, kind: Kind) -> io::Result<TlsStream<TcpStream>> {
        let place = Kind::ALL.iter().position(|other| *other == kind);
        let port = self.ports[place.unwrap_or(0)];
        dial(Arc::clone(&self.config), port).await
    }

    pub(super) fn process(&self) -> Process {
        Process::new(self.child.id())
    }
}

impl Drop for Bare {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

async fn dial(config: Arc<ClientConfig>, port: u16) -> io::Result<TlsStream<TcpStream>> {
    let tcp = TcpStream::connect(("127.0.0.1", port)).await?;
    tcp.set_nodelay(true)?;
    let name = ServerName::try_from("localhost").map_err(io::Error::other)?;
    TlsConnector::from(config).connect(name, tcp).await
}

/// `bench loop CERTIFICATE KEY TARGET…`: prints its ports in the order of the targets, and relays until it is killed.
pub(super) async fn run(arguments: &[String]) -> io::Result<()> {
    let [certificate, key, targets @ ..] = arguments else {
        return Err(io::Error::other("loop CERTIFICATE KEY TARGET…"));
    };
    let tls = server_config(Path::new(certificate), Path::new(key))?;
    let mut listeners = Vec::new();
    for target in targets {
        let target: SocketAddr = target.parse().map_err(io::Error::other)?;
        listeners.push((TcpListener::bind(("127.0.0.1", 0)).await?, target));
    }
    let mut ports = String::new();
    for (listener, _) in &listeners {
        ports += &format!("{} ", listener.local_addr()?.port());
    }
    println!("{ports}");
    io::stdout().flush()?;
    for (listener, target) in listeners {
        let tls = TlsAcceptor::from(Arc::clone(&tls));
        tokio::spawn(async move {
            while let Ok((tcp, _)) = listener.accept().await {
                // A connection that ends in an error is over like any other.
                tokio::spawn(relay(tls.clone(), tcp, target));
            }
        });
    }
    std::future::pending().await
}

async fn relay(tls: TlsAcceptor, tcp: TcpStream, target: SocketAddr) -> io::Result<()> {
    tcp.set_nodelay(true)?;
    let mut near = tls.accept(tcp).await?;
    let mut far = TcpStream::connect(target).await?;
    far.set_nodelay(true)?;
    copy_bidirectional_with_sizes(&mut near, &mut far, BUFFER, BUFFER).await?;
    Ok(())
}

fn server_config(certificate: &Path, key: &Path) -> io::Result<Arc<ServerConfig>> {
    let certificates = CertificateDer::pem_file_iter(certificate)
        .and_then(Iterator::collect)
        .map_err(io::Error::other)?;
    let key = PrivateKeyDer::from_pem_file(key).map_err(io::Error::other)?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_no_client_auth()
        .with_single_cert(certificates, key)
        .map_err(io::Error::other)?;
    Ok(Arc::new(config))
}

/// `bench dial CA PORT`: what a start must cost at the least. A process begins, trusts an authority, connects by TLS.
pub(super) async fn dial_once(arguments: &[String]) -> io::Result<()> {
    let [ca, port] = arguments else {
        return Err(io::Error::other("dial CA PORT"));
    };
    let config = client_config(&std::fs::read_to_string(PathBuf::from(ca))?)?;
    let port = port.parse().map_err(io::Error::other)?;
    // Held until the other end has seen it.
    let mut stream = dial(config, port).await?;
    tokio::io::AsyncReadExt::read_u8(&mut stream)
        .await
        .map(|_| ())
}
