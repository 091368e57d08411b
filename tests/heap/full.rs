//! Everything at once: every place taken, every ring full, the pool empty, the way up blocked, links that are lost in the
//! midst of it.

use std::io;
use std::time::Duration;

use cell::bench::service::{Stream, Tunnel};
use cell::broker::Broker;
use cell::service::{Opcode, websocket_frame};
use cell::target::BlackHole;
use cellgate::limits::{HEAP_BESIDE_BUFFERS, HEAP_MAX, POOL_BLOCKS};
use tokio::io::AsyncWriteExt as _;
use tokio::time::{sleep, timeout};

use crate::budget::{hold, hold_back, hold_back_after_use};
use crate::site::{SERVICES, SPARES, Site, streams};
use crate::targets::{Manner, Target};

/// Connections of a tunnel at the same time.
const CONNECTIONS: u32 = 64;

/// Connections of the four tunnels.
const ALL: usize = 4 * CONNECTIONS as usize;

/// Bytes of a payload: two of them are as much as one WebSocket message holds.
const PAYLOAD: usize = 64_512;

/// Bytes for a connection that is not there yet: they take a block of the pool.
const EARLY: usize = 8_000;

/// Nothing went out for so long: everything is full.
const FULL: Duration = Duration::from_secs(1);

/// More than this finds no room anywhere in a tunnel and its 64 controllers.
const MOST: usize = 512 << 20;

/// Whose notifications the broker has.
const THING: &str = "cell-0042";

/// Four tunnels with 64 live connections each, controllers that take nothing and send without end, a
/// source that reads nothing, the broker, four that ask for the status; and all of it again when
/// every link was lost.
pub(crate) async fn everything_full() {
    let targets = SERVICES.map(|_| Target::start(Manner::Deaf));
    let addresses = targets.each_ref().map(Target::address);
    let broker = Broker::start().expect("a broker");
    let device = broker.device(THING).expect("a certificate");
    let port = broker.port();
    let mut site = Site::start(addresses, |file| file.notify(port, &device)).await;
    site.subscribed().await;
    let idle = site.settled().await;
    println!("heap: full: idle, with the broker: {idle} bytes");

    let mut tunnels = Vec::new();
    let mut names = Vec::new();
    for _ in SERVICES {
        let (name, tunnel) = site.open().await;
        names.push(name);
        tunnels.push(tunnel);
    }
    open_and_fill(&mut tunnels, SERVICES).await;
    for target in &targets {
        target.wait_accepted(u64::from(CONNECTIONS)).await;
    }
    full(&site, "every place, ring and pool").await;

    // Every link is lost. Those that lived finish now, as long as their controllers have not everything, and keep their
    // seats; the next ones wait for them.
    tunnels.clear();
    for _ in SERVICES {
        tunnels.push(site.accept().await);
    }
    open_and_fill(&mut tunnels, SPARES).await;
    full(&site, "the same behind lost links").await;

    for target in &targets {
        target.read();
    }
    for name in &names {
        site.close(name).await;
    }
    for tunnel in &mut tunnels {
        tunnel.ended().await;
    }
    drop(tunnels);
    site.empty().await;
    hold_back_after_use("full", idle, site.settled().await);
    site.end();
}

/// Opens every connection of each tunnel, and sends until nothing goes out any more.
async fn open_and_fill(tunnels: &mut [Tunnel], services: [&'static str; 4]) {
    let mut streams = Vec::new();
    for (tunnel, service) in tunnels.iter_mut().zip(services) {
        streams.push(tunnel.open(service, CONNECTIONS).await.expect("up"));
    }
    for (tunnel, stream) in tunnels.iter_mut().zip(&streams) {
        fill(tunnel, *stream).await;
    }
    // What is still on its way to the agent.
    sleep(FULL).await;
}

/// What holds when everything is full, while four ask for the status at once.
async fn full(site: &Site, what: &str) {
    let (status, _, _, _) =
        tokio::join!(site.status(), site.status(), site.status(), site.status());
    let free = status["memory"]["pool_free_blocks"].as_u64();
    assert_eq!(free, Some(0), "the pool of {POOL_BLOCKS} is not empty");
    let (streams, _) = streams(&status);
    assert!(streams >= ALL, "{streams} streams");
    hold(&format!("full: {what}"), site.meter.count().peak, HEAP_MAX);
}

/// Sends WebSocket messages of two frames, for one connection after the other, until nothing goes out any more. Each is in
/// two fragments, the second of one byte: the room in which the agent gathers it doubles for that.
async fn fill(tunnel: &mut Tunnel, stream: Stream) {
    let piece = vec![7; PAYLOAD];
    let mut sent = 0;
    loop {
        for number in 0..CONNECTIONS {
            let one = stream.data(number, piece.clone());
            let two = stream.data((number + 1) % CONNECTIONS, piece.clone());
            let message = [one, two].concat();
            let (most, last) = message.split_at(message.len() - 1);
            let fragments = [
                websocket_frame(Opcode::Binary, false, most),
                websocket_frame(Opcode::Continuation, true, last),
            ]
            .concat();
            // A message that is given up may be sent in part; nothing is sent behind it.
            match timeout(FULL, send(tunnel, &fragments)).await {
                Ok(sent) => sent.expect("up"),
                Err(_) => return,
            }
            sent += 2 * PAYLOAD;
            assert!(sent < MOST, "the deaf targets take everything");
        }
    }
}

/// Sends bytes below the WebSocket.
async fn send(tunnel: &mut Tunnel, bytes: &[u8]) -> io::Result<()> {
    let below = tunnel.below();
    below.write_all(bytes).await?;
    below.flush().await
}

/// Four tunnels with 64 connections each on their way to controllers that do not answer: first nothing comes for them, and
/// then so much that the pool is empty.
pub(crate) async fn nobody_reached() {
    let hole = BlackHole::new().await.expect("a port");
    let mut site = Site::start([hole.address(); 4], |file| file).await;
    wait_in_vain(&mut site, 0).await;
    let peak = site.meter.forget().peak;
    hold("unreached: every place, no byte", peak, HEAP_BESIDE_BUFFERS);
    let mut left = Vec::new();
    for _ in 0..2 {
        wait_in_vain(&mut site, EARLY).await;
        left.push(site.settled().await);
    }
    let peak = site.meter.count().peak;
    hold("unreached: every place, the pool empty", peak, HEAP_MAX);
    hold_back("unreached, twice", left[0], left[1]);
    site.end();
}

async fn wait_in_vain(site: &mut Site, early: usize) {
    let mark = site.agent.mark();
    let mut open = Vec::new();
    for service in SERVICES {
        let (name, mut tunnel) = site.open().await;
        let stream = tunnel.open(service, CONNECTIONS).await.expect("up");
        for number in 0..CONNECTIONS {
            if early > 0 {
                let data = stream.data(number, vec![7; early]);
                tunnel.put(data).await.expect("up");
            }
        }
        // The pool has blocks for half of all connections: the agent stops reading.
        let _ = timeout(FULL, tunnel.flush()).await;
        open.push((name, tunnel));
    }
    if early > 0 {
        let status = site.status().await;
        let free = status["memory"]["pool_free_blocks"].as_u64();
        assert_eq!(free, Some(0), "the pool is not empty: {status}");
    } else {
        let started = |line: &String| line.ends_with("started by the source");
        let all = async {
            while site
                .agent
                .log_after(mark)
                .iter()
                .filter(|line| started(line))
                .count()
                < ALL
            {
                sleep(FULL / 10).await;
            }
        };
        timeout(FULL * 10, all).await.expect("all are started");
    }
    for (name, _) in &open {
        site.close(name).await;
    }
    for (_, tunnel) in &mut open {
        tunnel.ended().await;
    }
    site.empty().await;
}
