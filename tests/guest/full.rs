//! Every place taken, every connection open, and all buffers full: those of the agent, and those of the kernel for it.

use std::time::Duration;

use cell::pattern::pattern;
use cell::service::{Protocol, Tunnel};
use cell::source::{RawSource, RecvError, SourceOptions};
use cell::target::{Record, Target};
use cell::wire::Message;
use tokio::time::{sleep, timeout};

use crate::scene::{LONG, PLACES, Scene};

/// Connections of a tunnel. Source: limits.rs.
const CONNECTIONS: u32 = 64;

/// The first of the gateway, for which the kernel takes more than for the others. Source: limits.rs.
const WIDE: u32 = 16;

/// Bytes that the kernel takes for each of the others at least: two writes.
const NARROW: usize = 4_000;

/// Bytes of a message, about those of a write to a wide socket. The kernel takes three for each.
const PIECE: usize = 16_000;

/// What the unit allows, bytes.
const MEMORY_MAX: &str = "memory.max:16777216";

/// Nothing went out for so long: the way is full.
const FULL: Duration = Duration::from_secs(8);

/// Between two looks at what controllers could send.
const LOOK: Duration = Duration::from_secs(2);

/// Sockets for which the kernel holds bytes, at least. A tunnel whose controller has its share waits with the rest.
const HELD: usize = 250;

/// What is asked of the kernel about the unit's memory.
const ASK: &str = "cd /sys/fs/cgroup/system.slice/cellgate.service && grep -H . memory.max memory.swap.max \
    memory.current memory.peak memory.events && grep -E '^(anon|file|kernel|sock|slab) ' memory.stat";

/// Controllers that take nothing: the pool is full, the kernel holds what it may, and has had no reason to kill.
pub(crate) async fn silent(scene: &Scene) {
    every_place(scene, &scene.silent, "silent").await;
}

/// The same with controllers that also send without end, and sources that read nothing: every way is blocked.
pub(crate) async fn talking(scene: &Scene) {
    every_place(scene, &scene.talking, "talking").await;
}

async fn every_place(scene: &Scene, target: &Target, route: &str) {
    let machine = &scene.machine;
    let pid = scene.unit("MainPID").await;
    let before = machine.ok(ASK).await;
    println!("{route}, before: {before}");
    for limit in [MEMORY_MAX, "memory.swap.max:0"] {
        assert!(before.contains(limit), "{limit}");
    }
    let mut tunnels = Vec::new();
    let mut sources = Vec::new();
    for number in 1..=PLACES {
        let tunnel = scene.tunnel(&format!("{route}{number}")).await;
        sources.push(open(scene, &tunnel).await);
        tunnels.push(tunnel);
        // One tunnel after the other, so that the first has all the wide sockets.
        let all = |records: &[Record]| records.len() == number * CONNECTIONS as usize;
        let open = target.wait(all, LONG).await;
        open.expect("every connection is there");
    }
    let up = blocked(target, &tunnels, &mut sources).await;
    unplug(scene, target).await;
    let full = (1..).zip(tunnels.iter().zip(&mut sources));
    let full = full.map(|(number, (tunnel, source))| fill(tunnel, number == 1, source));
    let down: usize = futures_util::future::join_all(full).await.iter().sum();
    // An emulated agent with all hands full may be too slow for the client once.
    let empty = |said: &str| said.contains(" 0 of 128 blocks");
    let status = machine
        .until("cellgate status | grep pool", LONG, empty)
        .await;
    let memory = machine.ok(ASK).await;
    let port = target.address().port();
    // The third word of a line is what is sent and not acknowledged.
    let held = format!("ss -Htn dport = :{port} | tr -s ' ' | cut -d' ' -f3 | grep -vc '^0$'");
    let held: usize = machine.ok(&held).await.trim().parse().expect("a number");
    println!("{route}: {status}\n{memory}");
    println!(
        "{route}: {down} bytes went down until the way was full, {up} up; {held} sockets hold bytes for their controllers"
    );
    assert!(
        held >= HELD,
        "of {held} sockets alone the kernel holds bytes"
    );
    assert!(memory.contains("memory.events:oom_kill 0"));
    assert_eq!(scene.unit("MainPID").await, pid, "it was restarted");
    let lives = |record: &Record| record.ended.is_none();
    assert!(target.connections().iter().all(lives));
    // TCP tries again after about as long as the cable was out.
    machine.ok("tc qdisc del dev eth0 root").await;
    target.resume();
    // More than the pool and the kernel held for it: the sources' own bytes flow again.
    let taken = |records: &[Record]| records.iter().all(|record| record.received > 20_000);
    let taken = target.wait(taken, 2 * LONG).await;
    taken.expect("all take bytes again");
    for tunnel in &tunnels {
        tunnel.close();
    }
    let gone = |records: &[Record]| records.iter().all(|record| record.ended.is_some());
    let gone = target.wait(gone, LONG).await;
    gone.expect("all are closed when their tunnel is");
}

/// The source of a tunnel, with all connections open.
async fn open(scene: &Scene, tunnel: &Tunnel) -> RawSource {
    let options = SourceOptions::new(&scene.service, tunnel, Protocol::V3);
    let mut source = RawSource::connect(options).await.expect("a source");
    source.recv(LONG).await.expect("SERVICE_IDS");
    let service = tunnel.services()[0].as_str();
    for number in 1..=CONNECTIONS {
        let start = match number {
            1 => Message::stream_start(1, service, 1),
            _ => Message::connection_start(1, service, number),
        };
        source.send(start).await.expect("connected");
    }
    source
}

/// Waits until the controllers can send nothing more; tells how many bytes they have sent. A byte for one of them now
/// and then shows the agent that the service lives, whose answers to its pings stand behind what nobody reads.
async fn blocked(target: &Target, tunnels: &[Tunnel], sources: &mut [RawSource]) -> u64 {
    let mut before = None;
    loop {
        let sent = target.connections().iter().map(|record| record.sent).sum();
        if before == Some(sent) {
            return sent;
        }
        before = Some(sent);
        for (tunnel, source) in tunnels.iter().zip(&mut *sources) {
            let service = tunnel.services()[0].as_str();
            let byte = Message::data(1, service, 1, pattern(1, 1));
            source.send(byte).await.expect("connected");
        }
        sleep(LOOK).await;
    }
}

/// Takes the controllers' cable out: nothing that is sent to them arrives.
async fn unplug(scene: &Scene, target: &Target) {
    let port = target.address().port();
    let script = format!(
        "tc qdisc add dev eth0 root handle 1: prio bands 4 && \
         tc qdisc add dev eth0 parent 1:4 netem loss 100% && \
         tc filter add dev eth0 parent 1: protocol ip u32 match ip dport {port} 0xffff flowid 1:4"
    );
    scene.machine.ok(&script).await;
}

/// Sends to each connection of a tunnel until nothing goes out; tells how many bytes went. What the kernel takes for
/// every one of them is sent first: the pool is empty long before all have a block of it, and a tunnel with bytes that find
/// no room waits with all that is behind them.
async fn fill(tunnel: &Tunnel, first: bool, source: &mut RawSource) -> usize {
    let service = tunnel.services()[0].as_str();
    let wide = if first { WIDE } else { 0 };
    let kernel = (1..=CONNECTIONS)
        .map(|number| (number, NARROW))
        .chain((1..=wide).flat_map(|number| [(number, PIECE); 3]));
    let agent = (1..=CONNECTIONS).cycle().map(|number| (number, PIECE));
    let mut sent = 0;
    for (number, size) in kernel.chain(agent) {
        let data = Message::data(1, service, number, pattern(1, size));
        match timeout(FULL, source.send(data)).await {
            Ok(Ok(())) => sent += size,
            Ok(Err(RecvError::Lost(why))) => panic!("the link is lost: {why}"),
            Ok(Err(other)) => panic!("{other}"),
            Err(_) => break,
        }
    }
    sent
}
