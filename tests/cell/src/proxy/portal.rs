//! The login page of a guest network: it takes every connection that should have gone elsewhere.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// What people see in their browsers.
pub(super) const PAGE: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nConnection: close\r\n\r\n\
    <html><title>Guest network</title><p>Accept our terms to go on.</p></html>\r\n";

/// A server that answers plain HTML to the first bytes of every connection, whatever they are.
#[derive(Debug)]
pub struct Portal {
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl Portal {
    /// Listens on a free port of 127.0.0.1.
    ///
    /// # Errors
    /// When no port is free.
    pub async fn start() -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let task = tokio::spawn(async move {
            while let Ok((mut tcp, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let mut first = [0; 4096];
                    if tcp.read(&mut first).await.is_ok() {
                        // The client may hang up as soon as it sees what this is.
                        let _ = tcp.write_all(PAGE.as_bytes()).await;
                        let _ = tcp.shutdown().await;
                    }
                });
            }
        });
        Ok(Self { address, task })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Portal {
    fn drop(&mut self) {
        self.task.abort();
    }
}
