//! A connection that does its work: how often the agent asks for memory for each message that it relays.

use cell::bench::service::{Stream, Tunnel};
use cell::wire::Kind;

use crate::budget::{ONE_TUNNEL, hold, hold_back};
use crate::counting::Heap;
use crate::site::{SERVICES, Site};
use crate::targets::{Manner, Target};

/// Allocations for each message, at the most. Found when they were set: 1.00 (the room of an upward read; a message down needs
/// none of its own), 4.3 to 5.7 (it depends on how TCP cuts a message of 64 KiB). Who needs less may lower them.
const PING_PONG_MOST: f64 = 1.05;
const DOWN_MOST: f64 = 7.0;

/// The same for each message up and each record of TLS that it takes: one for the room of its read, one for each record.
/// Found: 3.7 for messages of four records.
const UP_MOST: f64 = 1.05;

/// Bytes of a record of TLS. Source: RFC 8446, 5.1.
const RECORD: usize = 16 * 1024;

/// Messages before the count begins.
const WARM: u32 = 500;

/// Messages that are counted, each way. Beside them the agent beats its heart and writes its status now and then: some
/// hundred allocations in a run.
const COUNTED: u32 = 20_000;

/// Bytes of a Kawasaki block.
const BLOCK: usize = 512;

/// Bytes of a message of a bulk transfer down: what fits into one frame.
const BULK: usize = 64_512;

/// Round trips of 512 bytes, and then all down and all up.
pub(crate) async fn messages() {
    let manners = [Manner::Echo, Manner::Sink, Manner::Deaf, Manner::Echo];
    let targets = manners.map(Target::start);
    let mut site = Site::start(targets.each_ref().map(Target::address), |file| file).await;
    let (_, mut tunnel) = site.open().await;

    let stream = tunnel.open(SERVICES[0], 1).await.expect("up");
    ping_pong(&mut tunnel, stream, WARM).await;
    let start = site.meter.forget();
    ping_pong(&mut tunnel, stream, COUNTED).await;
    told(
        &site,
        "512 bytes there and back",
        start,
        2 * COUNTED,
        PING_PONG_MOST,
    );
    hold_back(
        "steady: 512 bytes there and back",
        start.live,
        site.settled().await,
    );

    let stream = tunnel.open(SERVICES[1], 1).await.expect("up");
    down(&mut tunnel, stream, WARM, &targets[1]).await;
    let start = site.meter.forget();
    down(&mut tunnel, stream, COUNTED / 4, &targets[1]).await;
    told(&site, "bulk down", start, COUNTED / 4, DOWN_MOST);
    hold_back("steady: bulk down", start.live, site.settled().await);

    // It sends from the start.
    let _stream = tunnel.open(SERVICES[2], 1).await.expect("up");
    up(&mut tunnel, WARM).await;
    let start = site.meter.forget();
    let records = up(&mut tunnel, COUNTED).await;
    let most = UP_MOST * (1.0 + f64::from(records) / f64::from(COUNTED));
    told(&site, "bulk up", start, COUNTED, most);
    drop(tunnel);
    site.end();
}

/// Prints and holds what a number of messages took.
fn told(site: &Site, what: &str, start: Heap, messages: u32, most: f64) {
    let end = site.meter.count();
    let each = (end.asked - start.asked) as f64 / f64::from(messages);
    println!("heap: steady: {what}: {each:.3} allocations a message, at most {most:.2}");
    let scene = format!("steady: {what}");
    hold(&scene, end.peak, ONE_TUNNEL);
    assert!(each <= most, "{what}: {each} allocations a message");
}

async fn ping_pong(tunnel: &mut Tunnel, stream: Stream, count: u32) {
    let block = vec![7; BLOCK];
    for _ in 0..count {
        let data = stream.data(0, block.clone());
        tunnel.send(data).await.expect("up");
        tunnel
            .receive(stream, BLOCK as u64)
            .await
            .expect("the echo");
    }
}

async fn down(tunnel: &mut Tunnel, stream: Stream, count: u32, sink: &Target) {
    let piece = bytes::Bytes::from(vec![7; BULK]);
    let wanted = sink.received() + u64::from(count) * BULK as u64;
    let data = stream.data(0, piece);
    for _ in 0..count {
        tunnel.put(data.clone()).await.expect("up");
    }
    tunnel.flush().await.expect("up");
    sink.wait_received(wanted).await;
}

/// Takes messages; tells how many records of TLS they are at the least.
async fn up(tunnel: &mut Tunnel, count: u32) -> u32 {
    let mut records = 0;
    for _ in 0..count {
        let message = tunnel.message().await.expect("up");
        assert_eq!(message.kind(), Ok(Kind::Data));
        let pieces = message.payload.len().div_ceil(RECORD);
        records += u32::try_from(pieces).expect("at most four");
    }
    records
}
