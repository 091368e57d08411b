//! Port 443 of AWS IoT before a mosquitto: TLS with a client certificate and the ALPN name, both demanded.
//!
//! mosquitto knows no ALPN on a listener. This terminates the TLS and dials mosquitto's own port with the certificate of
//! the device that came, so that the broker's rules stay the broker's.

use std::collections::HashMap;
use std::io;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, PoisonError};

use rustls::pki_types::{CertificateDer, ServerName, pem::PemObject as _};
use rustls::{ClientConfig, ServerConfig};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::certs::{Authority, Identity};
use crate::journal::Journal;

/// The name that AWS IoT demands for MQTT with client certificates on port 443.
pub const ALPN: &str = "x-amzn-mqtt-ca";

/// What all connections share.
pub(super) struct Front {
    tls: Arc<ServerConfig>,
    ca_pem: String,
    /// The broker's side of each device, by the device's certificate.
    devices: Mutex<HashMap<Vec<u8>, Arc<ClientConfig>>>,
    log: Journal<String>,
}

impl Front {
    pub(super) fn new(authority: &Authority, log: Journal<String>) -> io::Result<Self> {
        Ok(Self {
            tls: authority.mutual_server_config(Some(ALPN))?,
            ca_pem: authority.ca_pem(),
            devices: Mutex::default(),
            log,
        })
    }

    /// Lets a device through.
    pub(super) fn know(&self, identity: &Identity) -> io::Result<()> {
        let certificate = CertificateDer::from_pem_slice(identity.certificate.as_bytes())
            .map_err(io::Error::other)?;
        let config = Arc::new(identity.client_config(&self.ca_pem)?);
        let mut devices = self.devices.lock().unwrap_or_else(PoisonError::into_inner);
        devices.insert(certificate.to_vec(), config);
        Ok(())
    }

    /// Serves until it is dropped, and with it every connection.
    pub(super) async fn run(self: Arc<Self>, listener: TcpListener, broker: u16) {
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                accepted = listener.accept() => if let Ok((tcp, _)) = accepted {
                    let front = Arc::clone(&self);
                    connections.spawn(async move {
                        let how = front.serve(tcp, broker).await;
                        front.log.record(match how {
                            Ok(()) => "front: a connection is over".to_owned(),
                            Err(error) => format!("front: {error}"),
                        });
                    });
                },
                Some(_) = connections.join_next() => {}
            }
        }
    }

    async fn serve(&self, tcp: TcpStream, broker: u16) -> io::Result<()> {
        tcp.set_nodelay(true)?;
        let mut device = TlsAcceptor::from(Arc::clone(&self.tls)).accept(tcp).await?;
        let session = device.get_ref().1;
        if session.alpn_protocol() != Some(ALPN.as_bytes()) {
            return Err(io::Error::other("a client without the ALPN name"));
        }
        if session.server_name().is_none() {
            return Err(io::Error::other("a client without SNI"));
        }
        let shown = session.peer_certificates().and_then(<[_]>::first);
        let shown = shown
            .map(|certificate| certificate.to_vec())
            .unwrap_or_default();
        let config = {
            let devices = self.devices.lock().unwrap_or_else(PoisonError::into_inner);
            devices.get(&shown).cloned()
        };
        let config = config.ok_or_else(|| io::Error::other("a certificate of no device"))?;
        self.log.record("front: a device came by ALPN".to_owned());
        let tcp = TcpStream::connect((Ipv4Addr::LOCALHOST, broker)).await?;
        tcp.set_nodelay(true)?;
        let name = ServerName::try_from("localhost").map_err(io::Error::other)?;
        let mut broker = TlsConnector::from(config).connect(name, tcp).await?;
        copy_bidirectional(&mut device, &mut broker).await?;
        Ok(())
    }
}
