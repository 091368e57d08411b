//! A hundred thousand connections through four tunnels that stay: half of them end at the source, half at the controller.

use cell::bench::service::Tunnel;
use cell::wire::{Kind, Message};
use cellgate::limits::HEAP_MAX;

use crate::budget::{hold, hold_back};
use crate::site::{Handles, SERVICES, Site};
use crate::targets::{Manner, Target};

/// With this variable set it is a hundred thousand, else a tenth of them.
const ALL: &str = "CELLGATE_HEAP_ALL";

/// Connections of a tunnel at the same time.
const AT_ONCE: u32 = 32;

/// What is made once is there behind these.
const FIRST: u32 = 1_024;

/// Every one of them carries a byte to a controller and back.
pub(crate) async fn opened_and_closed() {
    let count: u32 = match std::env::var_os(ALL) {
        Some(_) => 100_000,
        None => 10_000,
    };
    // Of these, the first two wait for the agent's FIN, and the others send theirs first.
    let targets = [Manner::Echo, Manner::Echo, Manner::Brief, Manner::Brief].map(Target::start);
    let mut site = Site::start(targets.each_ref().map(Target::address), |file| file).await;
    let mut tunnels = Vec::new();
    for service in SERVICES {
        let (_, mut tunnel) = site.open().await;
        let stream = tunnel.open(service, 1).await.expect("up");
        tunnels.push((tunnel, stream.id(), service));
    }
    site.meter.forget();
    let mut before = None;
    let (mut opened, mut next) = (4, 2);
    while opened < count {
        if opened >= FIRST && before.is_none() {
            before = Some(rest(&site, &targets).await);
        }
        let [one, two, three, four] = &mut tunnels[..] else {
            unreachable!("there are four");
        };
        tokio::join!(
            some(one, next),
            some(two, next),
            some(three, next),
            some(four, next)
        );
        next += AT_ONCE;
        opened += 4 * AT_ONCE;
    }
    let (heap, handles) = before.expect("there were more than the first");
    let (live, after) = rest(&site, &targets).await;
    let accepted: u64 = targets.iter().map(Target::accepted).sum();
    assert_eq!(accepted, u64::from(opened));
    let scene = format!("{opened} connections");
    // A byte that comes before its controller is there takes a block of the pool.
    hold(&scene, site.meter.count().peak, HEAP_MAX);
    hold_back(&format!("{scene}, behind the first {FIRST}"), heap, live);
    println!("heap: {scene}: {handles:?} before, {after:?} after");
    assert_eq!(handles, after);
    site.end();
}

/// What the agent holds when all connections but each stream's first are over.
async fn rest(site: &Site, targets: &[Target]) -> (usize, Handles) {
    for target in targets {
        target.wait_open(1).await;
    }
    site.streams(targets.len(), 0).await;
    (site.settled().await, site.handles())
}

/// Opens connections from the number `first` on, sends a byte through each, and ends them.
async fn some((tunnel, stream, service): &mut (Tunnel, i32, &'static str), first: u32) {
    let ends_itself = matches!(*service, "robot3" | "robot4");
    for number in first..first + AT_ONCE {
        let start = Message::connection_start(*stream, service, number);
        let data = Message::data(*stream, service, number, "x");
        let both = [start.frame(), data.frame()].concat();
        tunnel.put(both.into()).await.expect("up");
    }
    tunnel.flush().await.expect("up");
    let (mut echoes, mut ends) = (0, 0);
    while echoes < AT_ONCE || (ends_itself && ends < AT_ONCE) {
        let message = tunnel.message().await.expect("up");
        match message.kind() {
            Ok(Kind::Data) => echoes += 1,
            Ok(Kind::ConnectionReset) if ends_itself => ends += 1,
            _ => panic!("{message:?}"),
        }
    }
    if ends_itself {
        return;
    }
    for number in first..first + AT_ONCE {
        let reset = Message::connection_reset(*stream, service, number);
        tunnel.put(reset.frame()).await.expect("up");
    }
    tunnel.flush().await.expect("up");
}
