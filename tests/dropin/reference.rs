//! The C++ localproxy as the source, as engineers have it at their PC.
//!
//! `LOCALPROXY=/path/to/localproxy cargo test --test dropin reference -- --ignored`

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use cell::agent::{Agent, reference};
use cell::pattern::pattern;
use cell::service::{Kill, Protocol, ServiceOptions};
use cell::target::{Behaviour, RefusingPort, Target};
use cell::wire::Mode;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use crate::stage::{LIMIT, Stage, for_routes};

const SERVICES: [&str; 2] = ["robot1", "robot2"];

/// How long a client waits for its echo, before another one tries.
const PATIENCE: Duration = Duration::from_secs(2);

/// From one attempt at a client to the next.
const AGAIN: Duration = Duration::from_millis(200);

/// The reference in a tunnel, and its port for each service.
struct Source {
    ports: Vec<u16>,
    _process: Agent,
}

impl Source {
    async fn start(stage: &Stage, services: &[&str], version: Protocol) -> Source {
        let binary = PathBuf::from(std::env::var_os("LOCALPROXY").expect("names its binary"));
        let (service, tunnel) = (&stage.service, &stage.tunnel);
        let builder = reference(&binary, &service.endpoint(), service.ca_pem()).expect("openssl");
        let ports: Vec<u16> = services.iter().map(|_| free_port()).collect();
        let routes = match version {
            Protocol::V1 => ports[0].to_string(),
            Protocol::V2 | Protocol::V3 => {
                let pairs = services.iter().zip(&ports);
                let pairs: Vec<String> =
                    pairs.map(|(name, port)| format!("{name}={port}")).collect();
                pairs.join(",")
            }
        };
        let flags: &[&str] = match version {
            Protocol::V1 => &["-y", "V1"],
            Protocol::V2 => &["-y", "V2"],
            Protocol::V3 => &[],
        };
        let process = builder
            .args(["-b", "127.0.0.1", "-s", &routes])
            .args(flags)
            .token(&tunnel.source_token)
            .start()
            .expect("it starts");
        let connected = |event: &cell::service::Event| event.is_connected(Mode::Source);
        let connected = tunnel.wait_event(connected, LIMIT).await;
        connected.expect("it connects");
        Source {
            ports,
            _process: process,
        }
    }

    /// A client of one service. The reference says that it listens before it does, and listens anew behind each stream.
    async fn dial(&self, service: usize) -> TcpStream {
        let dialled = async {
            loop {
                let address = (Ipv4Addr::LOCALHOST, self.ports[service]);
                if let Ok(stream) = TcpStream::connect(address).await {
                    return stream;
                }
                sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(LIMIT, dialled).await.expect("it listens")
    }

    /// Dials until a client gets an echo. Behind each reset of the service the reference reads nothing before its next client
    /// comes, and the next reset stops it again: that client waits, until another one comes.
    async fn echoes_again(&self, service: usize, seed: u64) {
        let echoed = async {
            loop {
                let client = self.dial(service).await;
                if let Ok(Ok(())) = timeout(PATIENCE, echo(client, seed, 2_000)).await {
                    return;
                }
                sleep(AGAIN).await;
            }
        };
        timeout(LIMIT, echoed).await.expect("a client gets through");
    }
}

fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    listener.local_addr().expect("it is bound").port()
}

/// Sends and receives at once, and compares.
async fn echo(mut client: TcpStream, seed: u64, length: usize) -> Result<(), String> {
    let sent = pattern(seed, length);
    let mut received = vec![0; length];
    let (mut reader, mut writer) = client.split();
    let both =
        async { tokio::try_join!(writer.write_all(&sent), reader.read_exact(&mut received)) };
    match timeout(LIMIT, both).await {
        Err(_) => Err("no echo in time".to_owned()),
        Ok(Err(error)) => Err(error.to_string()),
        Ok(Ok(_)) => {
            assert!(received == sent, "the bytes differ");
            Ok(())
        }
    }
}

async fn stage(services: &[&str], targets: &[SocketAddr]) -> Stage {
    let routes: Vec<(&str, SocketAddr)> = services
        .iter()
        .copied()
        .zip(targets.iter().copied())
        .collect();
    Stage::with(ServiceOptions::default(), services, |service, tunnel| {
        for_routes(service, tunnel, &routes)
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs the reference's binary"]
async fn every_version_of_it_carries_bytes_both_ways() {
    for version in [Protocol::V1, Protocol::V2, Protocol::V3] {
        let services = if version == Protocol::V1 {
            &SERVICES[..1]
        } else {
            &SERVICES[..]
        };
        let robot = Target::start(Behaviour::Echo).expect("a free port");
        let stage = stage(services, &vec![robot.address(); services.len()]).await;
        let source = Source::start(&stage, services, version).await;
        let clients = if version == Protocol::V3 { 3 } else { 1 };
        for service in 0..services.len() {
            let mut all = tokio::task::JoinSet::new();
            for client in 0..clients {
                all.spawn(echo(source.dial(service).await, client, 300_000));
            }
            for echoed in all.join_all().await {
                echoed.expect("all of it comes back");
            }
        }
        // One behind the other: a new stream where there is no connection ID.
        for seed in 0..5 {
            source.echoes_again(0, seed).await;
        }
        assert_eq!(stage.tunnel.violations(), [], "{version:?}");
        stage.end();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs the reference's binary"]
async fn a_controller_that_refuses_ends_the_client_and_spares_the_next() {
    let off = RefusingPort::new().expect("a free port");
    let robot = Target::start(Behaviour::Echo).expect("a free port");
    let stage = stage(&SERVICES, &[off.address(), robot.address()]).await;
    let source = Source::start(&stage, &SERVICES, Protocol::V3).await;
    let mut client = source.dial(0).await;
    let mut nothing = [0];
    let ended = timeout(LIMIT, client.read(&mut nothing)).await;
    assert!(matches!(ended.expect("it is told"), Ok(0) | Err(_)));
    source.echoes_again(1, 3).await;
    stage.end();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs the reference's binary"]
async fn a_controller_that_closes_ends_the_client_behind_its_last_byte() {
    let robot = Target::start(Behaviour::CloseAfter { bytes: 1_000 }).expect("a free port");
    let other = Target::start(Behaviour::Echo).expect("a free port");
    let stage = stage(&SERVICES, &[robot.address(), other.address()]).await;
    let source = Source::start(&stage, &SERVICES, Protocol::V3).await;
    for seed in 0..3 {
        let mut client = source.dial(0).await;
        client
            .write_all(&pattern(seed, 1_000))
            .await
            .expect("connected");
        let mut rest = Vec::new();
        let ended = timeout(LIMIT, client.read_to_end(&mut rest)).await;
        // It may reset where the agent closed.
        let _ = ended.expect("it is told");
        source.echoes_again(1, seed).await;
    }
    stage.end();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs the reference's binary"]
async fn behind_a_lost_link_its_next_client_gets_through() {
    let robot = Target::start(Behaviour::Echo).expect("a free port");
    let stage = stage(&SERVICES, &[robot.address(), robot.address()]).await;
    let source = Source::start(&stage, &SERVICES, Protocol::V3).await;
    for seed in 0..3 {
        source.echoes_again(0, seed).await;
        let mark = stage.tunnel.mark();
        let held = source.dial(0).await;
        stage
            .tunnel
            .destination
            .kill(Kill::Reset)
            .expect("connected");
        let back = |event: &cell::service::Event| event.is_connected(Mode::Destination);
        let back = stage.tunnel.wait_event_after(mark, back, LIMIT).await;
        back.expect("the agent comes back");
        source.echoes_again(0, seed + 10).await;
        source.echoes_again(1, seed + 20).await;
        drop(held);
    }
    stage.end();
}
