//! No byte ever reaches another connection: three services with five connections each, all at once, both ways,
//! each with bytes of its own.

mod stage;

use std::collections::BTreeSet;
use std::time::Duration;

use cell::pattern::{pattern, sha256};
use cell::service::{Fragments, Glue, Protocol, Switches};
use cell::source::Source;
use cell::target::{Behaviour, Target, Then};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::stage::{LIMIT, Stage};

const SERVICES: [&str; 3] = ["robot1", "robot2", "robot3"];

const CONNECTIONS: usize = 5;

/// The patterns that the targets of a service send start here; connection `n` sends that of the seed plus `n`.
fn down(service: usize) -> u64 {
    1_000 * (service as u64 + 1)
}

/// The pattern that a client of a service sends.
fn up(service: usize, client: usize) -> u64 {
    50_000 + down(service) + client as u64
}

/// What one client sent and heard.
struct Exchange {
    service: usize,
    client: usize,
    heard: String,
}

/// A client's connection, with its first byte on the way.
async fn open(source: &Source, service: usize, first: u8) -> TcpStream {
    let address = source.address(SERVICES[service]);
    let mut socket = TcpStream::connect(address).await.expect("it listens");
    socket.set_nodelay(true).expect("a socket");
    socket.write_all(&[first]).await.expect("open");
    socket
}

async fn everybody_at_once(length: usize, turn: impl FnOnce(&mut Switches)) {
    let targets: Vec<Target> = (0..SERVICES.len())
        .map(|service| {
            let sends = Behaviour::Send {
                bytes: length as u64,
                seed: down(service),
                then: Then::Stay,
            };
            Target::start(sends).expect("a target")
        })
        .collect();
    let routes: Vec<_> = SERVICES
        .iter()
        .zip(&targets)
        .map(|(name, target)| (*name, target.address()))
        .collect();
    let stage = Stage::up(&routes).await;
    stage.tunnel.destination.switch(turn);
    let source = stage.source(Protocol::V3).await;

    let mut exchanges = JoinSet::new();
    for service in 0..SERVICES.len() {
        for client in 0..CONNECTIONS {
            let bytes = pattern(up(service, client), length);
            let mut socket = open(&source, service, bytes[0]).await;
            exchanges.spawn(async move {
                let mut heard = vec![0; length];
                let (mut reader, mut writer) = socket.split();
                let send = async {
                    // Uneven pieces, so that the connections interleave.
                    for piece in bytes[1..].chunks(1_000 + 777 * client) {
                        writer.write_all(piece).await?;
                        tokio::task::yield_now().await;
                    }
                    std::io::Result::Ok(())
                };
                let both = async { tokio::try_join!(send, reader.read_exact(&mut heard)) };
                let both = tokio::time::timeout(LIMIT, both).await;
                both.expect("in time").expect("an open connection");
                let done = Exchange {
                    service,
                    client,
                    heard: sha256(&heard),
                };
                (done, socket)
            });
        }
    }
    let done: Vec<(Exchange, TcpStream)> = exchanges.join_all().await;
    assert_eq!(done.len(), 15);

    let mut places = BTreeSet::new();
    for (exchange, _) in &done {
        let Exchange {
            service,
            client,
            heard,
        } = exchange;
        // Which of the target's connections was it? That one must have received what this client sent.
        let place = (0..CONNECTIONS)
            .find(|&place| *heard == sha256(&pattern(down(*service) + place as u64, length)))
            .unwrap_or_else(|| panic!("client {client} of service {service} heard something else"));
        assert!(places.insert((*service, place)), "two heard the same");
        let target = &targets[*service];
        let record = target.wait_received(place, length as u64, LIMIT).await;
        let sent = sha256(&pattern(up(*service, *client), length));
        assert_eq!(record.expect("all of it").sha256, sent);
    }
    drop(done);
    for target in &targets {
        for place in 0..CONNECTIONS {
            let record = target.wait_ended(place, LIMIT).await.expect("an end");
            assert!(record.ended_by_fin(), "{record:?}");
            assert_eq!(record.received, length as u64, "and not a byte more");
        }
        assert_eq!(target.connections().len(), CONNECTIONS);
    }
    stage.end();
}

#[tokio::test]
async fn three_services_with_five_connections() {
    everybody_at_once(512 * 1_024, |_| {}).await;
}

#[tokio::test]
async fn frames_cut_anywhere() {
    everybody_at_once(100_000, |s| s.cut = Some(997)).await;
}

#[tokio::test]
async fn frames_glued_and_delayed() {
    let turn = |s: &mut Switches| {
        s.delay = Duration::from_millis(5);
        s.glue = Some(Glue {
            hold: Duration::from_millis(3),
        });
    };
    everybody_at_once(200_000, turn).await;
}

#[tokio::test]
async fn frames_glued_cut_and_in_fragments() {
    let turn = |s: &mut Switches| {
        s.glue = Some(Glue {
            hold: Duration::from_millis(2),
        });
        s.cut = Some(30_011);
        s.fragments = Some(Fragments {
            size: 4_099,
            ping_between: true,
        });
    };
    everybody_at_once(200_000, turn).await;
}
