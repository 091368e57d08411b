//! An agent with a configuration file, and the person at the other end of a tunnel with nothing but a TCP connection.

// Each test binary uses its own part.
#![allow(dead_code)]

use std::net::SocketAddr;
use std::path::Path;

use cell::agent::AgentBuilder;
use cell::service::{Service, ServiceOptions, Tunnel};
use cell::source::Source;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::stage::{AGENT, LIMIT, Stage};

/// A route as it stands in the file: name, target, and further lines of its table.
pub(crate) type Route<'a> = (&'a str, SocketAddr, &'a str);

impl Stage {
    /// A tunnel whose services are the names of these routes, and an agent with a configuration file, connected.
    pub(crate) async fn configured(routes: &[Route<'_>]) -> Stage {
        Stage::configured_with(ServiceOptions::default(), routes).await
    }

    /// As [`configured`](Self::configured), on a service of the test's own.
    pub(crate) async fn configured_with(options: ServiceOptions, routes: &[Route<'_>]) -> Stage {
        let services: Vec<&str> = routes.iter().map(|(name, ..)| *name).collect();
        Stage::with(options, &services, |service, tunnel| {
            from_file(service, tunnel, routes)
        })
        .await
    }
}

/// An agent by a configuration file with these routes.
pub(crate) fn from_file(service: &Service, tunnel: &Tunnel, routes: &[Route<'_>]) -> AgentBuilder {
    AgentBuilder::configured(AGENT, service, tunnel, routes).expect("a folder")
}

/// The text of a configuration file for an agent in this folder, with these lines for the routes.
pub(crate) fn file(service: &Service, folder: &Path, routes: &str) -> String {
    format!(
        "[tunnel]\nendpoint = \"{}\"\nca = \"{}\"\n{routes}",
        service.endpoint(),
        folder.join("ca.pem").display()
    )
}

/// An agent by a configuration file with these lines for the routes.
pub(crate) fn from_text(service: &Service, tunnel: &Tunnel, routes: &str) -> AgentBuilder {
    let builder = AgentBuilder::new(AGENT).expect("a folder");
    let text = file(service, builder.folder(), routes);
    let builder = builder.file("ca.pem", service.ca_pem()).expect("a file");
    let builder = builder.config(&text).expect("a file");
    builder.token(&tunnel.destination_token)
}

/// A connection to a service's port at the source.
pub(crate) async fn connect(source: &Source, service: &str) -> TcpStream {
    let socket = TcpStream::connect(source.address(service)).await;
    let socket = socket.expect("the source listens");
    socket.set_nodelay(true).expect("a socket");
    socket
}

/// Sends bytes to a target that echoes, and takes the same bytes back.
pub(crate) async fn echo(socket: &mut TcpStream, bytes: &[u8]) {
    let (mut reader, mut writer) = socket.split();
    let mut back = vec![0; bytes.len()];
    let send = writer.write_all(bytes);
    let receive = timeout(LIMIT, reader.read_exact(&mut back));
    let (sent, received) = tokio::join!(send, receive);
    sent.expect("connected");
    received
        .expect("the echo comes in time")
        .expect("connected");
    assert!(back == bytes, "the echo differs");
}

/// Waits until the connection is over, and takes what comes before. True for FIN, false for RST.
pub(crate) async fn ended(socket: &mut TcpStream) -> bool {
    let mut rest = Vec::new();
    let end = timeout(LIMIT, socket.read_to_end(&mut rest)).await;
    end.expect("the connection ends in time").is_ok()
}
