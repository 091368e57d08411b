//! The C++ reference against the cell: what it may do, the service must not take for a violation.
//!
//! Needs the reference's binary and openssl's `rehash`:
//! `LOCALPROXY=/path/to/localproxy cargo test -p cell --test all reference -- --ignored`

use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::time::Duration;

use cell::agent::{Agent, AgentBuilder, reference};
use cell::pattern::pattern;
use cell::service::{Event, Protocol, Service, Tunnel};
use cell::source::{RawSource, RecvError, Source, SourceOptions};
use cell::target::{Behaviour, Target};
use cell::wire::{Kind, Mode};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use crate::{LIMIT, SERVICES, service};

fn builder(service: &Service, token: &str) -> AgentBuilder {
    let binary = std::env::var_os("LOCALPROXY").expect("LOCALPROXY names the reference's binary");
    let builder = reference(
        &PathBuf::from(binary),
        &service.endpoint(),
        service.ca_pem(),
    );
    builder
        .expect("a file, and openssl")
        .args(["-v", "6", "-b", "127.0.0.1"])
        .token(token)
}

async fn connected(tunnel: &Tunnel, side: Mode) {
    tunnel
        .wait_event(|event| event.is_connected(side), LIMIT)
        .await
        .expect("the reference connects");
}

async fn round_trip(mut stream: TcpStream, seed: u64) {
    let sent = pattern(seed, 300_000);
    let mut received = vec![0; sent.len()];
    let (mut reader, mut writer) = stream.split();
    let both = async { tokio::join!(writer.write_all(&sent), reader.read_exact(&mut received)) };
    let (wrote, read) = timeout(LIMIT, both).await.expect("in time");
    wrote.expect("it reads");
    read.expect("all comes back");
    assert!(received == sent, "the bytes differ");
}

#[tokio::test]
#[ignore = "needs the reference's binary"]
async fn as_the_destination_of_our_source() {
    let service = service().await;
    for version in [Protocol::V1, Protocol::V2, Protocol::V3] {
        let names = if version == Protocol::V1 {
            &SERVICES[..1]
        } else {
            &SERVICES[..]
        };
        let target = Target::start(Behaviour::Echo).expect("a free port");
        // The reference takes a nameless stream only of a tunnel without services.
        let declared = if version == Protocol::V1 { &[] } else { names };
        let tunnel = service.open_tunnel(declared);
        let routes: Vec<String> = names
            .iter()
            .map(|name| format!("{name}={}", target.address()))
            .collect();
        let routes = match version {
            Protocol::V1 => target.address().to_string(),
            Protocol::V2 | Protocol::V3 => routes.join(","),
        };
        let _agent: Agent = builder(&service, &tunnel.destination_token)
            .args(["-d", &routes])
            .start()
            .expect("the reference starts");
        connected(&tunnel, Mode::Destination).await;
        let options = SourceOptions {
            services: names.iter().map(|&name| name.to_owned()).collect(),
            ..SourceOptions::new(&service, &tunnel, version)
        };
        let source = Source::connect(options).await.expect("let in");
        for (seed, name) in names.iter().enumerate() {
            let stream = TcpStream::connect(source.address(name))
                .await
                .expect("it listens");
            round_trip(stream, seed as u64).await;
        }
        assert_eq!(tunnel.violations(), [], "{version:?}");
    }
}

#[tokio::test]
#[ignore = "needs the reference's binary"]
async fn as_the_source_of_a_scripted_destination() {
    let service = service().await;
    for version in [Protocol::V1, Protocol::V2, Protocol::V3] {
        let names = if version == Protocol::V1 {
            &SERVICES[..1]
        } else {
            &SERVICES[..]
        };
        let tunnel = service.open_tunnel(names);
        let options = SourceOptions {
            token: tunnel.destination_token.clone(),
            ..SourceOptions::new(&service, &tunnel, Protocol::V3)
        };
        let destination = RawSource::connect_as(Mode::Destination, options)
            .await
            .expect("let in");
        let echoing = tokio::spawn(echo(destination));
        // A port that was free a moment ago.
        let ports: Vec<u16> = names.iter().map(|_| free_port()).collect();
        let routes: Vec<String> = names
            .iter()
            .zip(&ports)
            .map(|(name, port)| format!("{name}={port}"))
            .collect();
        let routes = if version == Protocol::V1 {
            ports[0].to_string()
        } else {
            routes.join(",")
        };
        let builder = builder(&service, &tunnel.source_token).args(["-s", &routes]);
        let builder = match version {
            Protocol::V1 => builder.args(["-y", "V1"]),
            Protocol::V2 => builder.args(["-y", "V2"]),
            Protocol::V3 => builder,
        };
        let agent = builder.start().expect("the reference starts");
        connected(&tunnel, Mode::Source).await;
        let connections = if version == Protocol::V3 { 2 } else { 1 };
        for (seed, port) in ports
            .iter()
            .cycle()
            .take(ports.len() * connections)
            .enumerate()
        {
            let stream = dial(*port).await;
            round_trip(stream, seed as u64).await;
        }
        assert_eq!(tunnel.violations(), [], "{version:?}");
        let wanted = (version != Protocol::V1, version == Protocol::V3);
        let form = |event: &Event| {
            matches!(event, Event::Message { kind: Kind::StreamStart, service, connection, .. }
                if (!service.is_empty(), *connection != 0) == wanted)
        };
        tunnel
            .wait_event(form, LIMIT)
            .await
            .expect("a start in the form of the version");
        drop(agent);
        tunnel.close();
        echoing.await.expect("the destination ended");
    }
}

/// The reference says that it listens before it does.
async fn dial(port: u16) -> TcpStream {
    let tries = async {
        loop {
            if let Ok(stream) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await {
                return stream;
            }
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(LIMIT, tries).await.expect("it listens")
}

fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    listener.local_addr().expect("it is bound").port()
}

/// Sends back every payload until the WebSocket is over.
async fn echo(mut destination: RawSource) {
    loop {
        match destination.recv(LIMIT).await {
            Ok(message) if message.kind() == Ok(Kind::Data) => {
                destination.send(message).await.expect("connected");
            }
            Ok(_) => {}
            Err(RecvError::Closed(..) | RecvError::Lost(_)) => return,
            Err(error) => panic!("{error}"),
        }
    }
}
