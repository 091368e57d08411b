//! Every place taken, every connection open, and controllers that take nothing.

use std::time::Duration;

use cell::pattern::pattern;
use cell::service::{Protocol, Tunnel};
use cell::source::{RawSource, RecvError, SourceOptions};
use cell::target::Record;
use cell::wire::Message;
use tokio::time::timeout;

use crate::scene::{LONG, SILENT, Scene};

/// Connections of a tunnel. Source: limits.rs.
const CONNECTIONS: u32 = 64;

/// What the unit allows, bytes.
const MEMORY_MAX: &str = "16777216";

/// Nothing went out for so long: the way is full.
const FULL: Duration = Duration::from_secs(8);

/// The pool is full, and the kernel has had no reason to kill.
pub(crate) async fn every_place(scene: &Scene) {
    let machine = &scene.machine;
    let cgroup = "cd /sys/fs/cgroup/system.slice/cellgate.service";
    let pid = scene.unit("MainPID").await;
    let limits = machine
        .ok(&format!("{cgroup}; cat memory.max memory.swap.max"))
        .await;
    assert_eq!(
        limits.split_whitespace().collect::<Vec<_>>(),
        [MEMORY_MAX, "0"]
    );
    let mut tunnels = Vec::new();
    for number in 1..=SILENT {
        tunnels.push(scene.tunnel(&format!("silent{number}")).await);
    }
    let full = tunnels.iter().map(|tunnel| fill(scene, tunnel));
    let full = futures_util::future::join_all(full).await;
    let all = |records: &[Record]| records.len() == SILENT * CONNECTIONS as usize;
    let open = scene.silent.wait(all, LONG).await;
    open.expect("every connection is there");
    let status = machine.ok("cellgate status").await;
    println!("{status}");
    let memory = machine
        .ok(&format!(
            "{cgroup}; grep -H . memory.max memory.current memory.peak memory.events; grep -E '^(anon|file|kernel|sock|slab) ' memory.stat"
        ))
        .await;
    println!("{memory}");
    assert!(
        status.contains("0 of 128 blocks of the pool free"),
        "the pool is not full"
    );
    assert!(memory.contains("memory.events:oom_kill 0"));
    assert_eq!(scene.unit("MainPID").await, pid, "it was restarted");
    assert!(
        scene
            .silent
            .connections()
            .iter()
            .all(|record| record.ended.is_none())
    );
    scene.silent.resume();
    // More than the pool and the kernel held for it: the sources' own bytes flow again.
    let taken = |records: &[Record]| records.iter().all(|record| record.received > 20_000);
    scene
        .silent
        .wait(taken, LONG)
        .await
        .expect("all take bytes again");
    for tunnel in &tunnels {
        tunnel.close();
    }
    println!(
        "sent until nothing went out any more: {:?} bytes",
        full.iter().map(|(_, sent)| sent).collect::<Vec<_>>()
    );
}

/// Opens all connections of a tunnel and sends to each in turn until nothing goes out.
async fn fill(scene: &Scene, tunnel: &Tunnel) -> (RawSource, usize) {
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
    let piece = pattern(1, 16_000);
    let mut sent = 0;
    loop {
        for number in 1..=CONNECTIONS {
            let data = Message::data(1, service, number, piece.clone());
            match timeout(FULL, source.send(data)).await {
                Ok(Ok(())) => sent += piece.len(),
                Ok(Err(RecvError::Lost(why))) => panic!("the link is lost: {why}"),
                Ok(Err(other)) => panic!("{other}"),
                Err(_) => return (source, sent),
            }
        }
    }
}
