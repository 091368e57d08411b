//! Every place for a tunnel taken, every connection open, and controllers that take nothing: on 64 MB, with no cgroup that
//! ends the agent before the machine is short.

use std::time::Duration;

use cell::broker::Broker;
use cell::notification;
use cell::pattern::pattern;
use cell::service::{Protocol, Service, Tunnel};
use cell::source::{RawSource, RecvError, SourceOptions};
use cell::target::{Record, Target};
use cell::wire::Message;
use tokio::time::timeout;

use crate::machine::Machine;
use crate::site::{BOOT, THING, connected_after};

/// Places for tunnels. Source: limits.rs.
pub(crate) const PLACES: usize = 4;

/// Connections of a tunnel. Source: limits.rs.
const CONNECTIONS: u32 = 64;

/// Bytes of a message.
const PIECE: usize = 16_000;

/// Nothing went out for so long: the way is full.
const FULL: Duration = Duration::from_secs(8);

/// Names of the routes that lead to the silent controllers.
pub(crate) fn route(number: usize) -> String {
    format!("silent{number}")
}

/// Takes every place, fills what there is to fill, and has the controllers take bytes again.
pub(crate) async fn every_place(
    machine: &mut Machine,
    service: &Service,
    broker: &Broker,
    silent: &Target,
) {
    machine.does("pidof cellgate >/run/pid").await;
    let mut tunnels = Vec::new();
    for number in 1..=PLACES {
        let tunnel = service.open_tunnel(&[&route(number)]);
        let told = broker.notify(THING, &notification::payload(&tunnel));
        told.expect("a broker");
        connected_after(&tunnel, cell::journal::Mark::START).await;
        let source = open(service, &tunnel).await;
        tunnels.push((tunnel, source));
        let all = |records: &[Record]| records.len() == number * CONNECTIONS as usize;
        let open = silent.wait(all, BOOT).await;
        open.expect("every connection is there");
    }
    let full = tunnels
        .iter_mut()
        .map(|(tunnel, source)| fill(tunnel, source));
    let sent: usize = futures_util::future::join_all(full).await.iter().sum();
    // An emulated agent with all hands full may be too slow for the client once.
    let empty = "for i in 1 2 3 4 5 6 7 8; do cellgate status >/run/status && grep -q ' 0 of 128 blocks' /run/status && break; \
                 sleep 1; done; grep -q ' 0 of 128 blocks' /run/status";
    machine.does(empty).await;
    let mark = machine.mark();
    machine
        .does("grep -E 'VmHWM|RssAnon' /proc/$(pidof cellgate)/status; grep -E 'TCP: ' /proc/net/sockstat; grep -E 'MemTotal|MemAvailable' /proc/meminfo")
        .await;
    println!("every place taken, {sent} bytes until the way was full:");
    for line in machine.lines(mark, ":") {
        if !line.starts_with("board") {
            println!("  {line}");
        }
    }
    let lives = |record: &Record| record.ended.is_none();
    assert!(silent.connections().iter().all(lives));
    silent.resume();
    // More than what the agent and two kernels held for it: the sources' own bytes flow again.
    let taken = |records: &[Record]| records.iter().all(|record| record.received > 20_000);
    let taken = silent.wait(taken, BOOT).await;
    taken.expect("all take bytes again");
    for (tunnel, _) in &tunnels {
        assert_eq!(tunnel.violations(), [], "the agent broke a rule");
        tunnel.close();
    }
    let gone = |records: &[Record]| records.iter().all(|record| record.ended.is_some());
    let gone = silent.wait(gone, BOOT).await;
    gone.expect("all are closed when their tunnel is");
    machine
        .does("[ \"$(pidof cellgate)\" = \"$(cat /run/pid)\" ]")
        .await;
}

/// The source of a tunnel, with all connections open.
async fn open(service: &Service, tunnel: &Tunnel) -> RawSource {
    let options = SourceOptions::new(service, tunnel, Protocol::V3);
    let mut source = RawSource::connect(options).await.expect("a source");
    source.recv(BOOT).await.expect("SERVICE_IDS");
    let name = tunnel.services()[0].as_str();
    for number in 1..=CONNECTIONS {
        let start = match number {
            1 => Message::stream_start(1, name, 1),
            _ => Message::connection_start(1, name, number),
        };
        source.send(start).await.expect("connected");
    }
    source
}

/// Sends to each connection of a tunnel until nothing goes out; tells how many bytes went.
async fn fill(tunnel: &Tunnel, source: &mut RawSource) -> usize {
    let name = tunnel.services()[0].as_str();
    let mut sent = 0;
    for number in (1..=CONNECTIONS).cycle() {
        let data = Message::data(1, name, number, pattern(1, PIECE));
        match timeout(FULL, source.send(data)).await {
            Ok(Ok(())) => sent += PIECE,
            Ok(Err(RecvError::Lost(why))) => panic!("the link is lost: {why}"),
            Ok(Err(other)) => panic!("{other}"),
            Err(_) => break,
        }
    }
    sent
}
