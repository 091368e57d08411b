//! A network that is poor, or dead.

use std::time::{Duration, Instant};

use cell::journal::Mark;
use tokio::time::sleep;

use crate::scene::Scene;

/// Longer than it takes to find that a link is dead (45 s), and six times the watchdog's patience.
const DEAD: Duration = Duration::from_secs(50);

/// 75 ms and a loss of 2 % on whatever leaves the guest: each block goes to the robot and back, and so passes it twice.
pub(crate) async fn poor(scene: &Scene) {
    let machine = &scene.machine;
    let tunnel = scene.tunnel("robot1").await;
    let source = scene.source(&tunnel).await;
    machine
        .ok("tc qdisc add dev eth0 root netem delay 75ms loss 2%")
        .await;
    let began = Instant::now();
    // One upload can be lucky; several are not, and a loss of nothing would be no poor network.
    let mut lost = 0;
    for round in 1..=8 {
        scene.upload(&source, 5, 60 << 10).await;
        let shown = machine.ok("tc -s qdisc show dev eth0").await;
        lost = dropped(&shown);
        println!(
            "{round} times 60 KiB there and back took {:?}; packets lost: {lost}\n{shown}",
            began.elapsed()
        );
        if lost > 0 {
            break;
        }
    }
    assert!(lost > 0, "netem lost nothing");
    assert_eq!(tunnel.destination.traffic().connections, 1, "it held");
    machine.ok("tc qdisc del dev eth0 root").await;
    tunnel.close();
}

/// Nothing leaves the guest. The tunnel comes back by itself, and systemd has nothing to do.
pub(crate) async fn dead(scene: &Scene) {
    let machine = &scene.machine;
    let tunnel = scene.tunnel("robot1").await;
    let first = scene.up_after(&tunnel, Mark::START).await;
    let (pid, before) = (scene.unit("MainPID").await, scene.restarts().await);
    let mark = tunnel.mark();
    machine
        .ok("tc qdisc add dev eth0 root netem loss 100%")
        .await;
    sleep(DEAD).await;
    machine.ok("tc qdisc del dev eth0 root").await;
    let began = Instant::now();
    assert_eq!(scene.up_after(&tunnel, mark).await, first);
    println!("back in the tunnel {:?} after the network", began.elapsed());
    assert_eq!(scene.restarts().await, before, "systemd restarted it");
    assert_eq!(scene.unit("MainPID").await, pid);
    let source = scene.source(&tunnel).await;
    scene.upload(&source, 6, 10 << 10).await;
    tunnel.close();
}

/// What tc says that it dropped: `Sent … bytes … pkt (dropped 3, overlimits …`.
fn dropped(shown: &str) -> u32 {
    let after = shown
        .split("(dropped ")
        .nth(1)
        .expect("counters of a qdisc");
    let digits = after.split(',').next().expect("a number");
    digits.parse().expect("a number")
}
