//! A tunnel's lifetime is that of the service, and no restart begins it anew.
//!
//! The clock of the boot must show more than the lifetime, so these run in a time namespace, which is root's.

use std::process::Command;
use std::time::{Duration, Instant};

use cell::broker::Broker;
use cell::journal::Mark;
use cell::notification::payload;
use cell::service::{Ending, Event};
use cell::wire::Mode;

use crate::file::{boot, gone, saved, uptime};
use crate::scene::{LONG, Scene, THING, name, says, subscribed, up};
use crate::stage::LIMIT;

/// As AWS has it.
const LIFETIME: u64 = 12 * 3_600;

/// By how much the agent's boot lies further back than that of the machine.
const OFFSET: u64 = 2 * LIFETIME;

const NAMESPACE: [&str; 4] = ["unshare", "--time", "--boottime", "86400"];

/// Whether there are time namespaces, and an `exec` enters them.
fn has_namespace(test: &str) -> bool {
    assert_eq!(NAMESPACE[3], OFFSET.to_string());
    let mut command = Command::new(NAMESPACE[0]);
    let output = command
        .args(&NAMESPACE[1..])
        .args(["cat", "/proc/uptime"])
        .output();
    let shown = output.ok().and_then(|output| {
        let text = String::from_utf8(output.stdout).ok()?;
        text.split('.').next()?.parse::<u64>().ok()
    });
    let has = shown.is_some_and(|seconds| seconds >= OFFSET);
    if !has {
        crate::scene::skipped(&format!("no time namespace here: {test}"));
    }
    has
}

/// A gateway whose rejoin file has a tunnel of this age.
async fn aged(age: u64, boot: &str) -> (Scene, Broker, cell::service::Tunnel) {
    let (scene, broker) = Scene::strict(1, |file| file).await;
    let gateway = scene.gateway.build(|builder| builder.wrapper(NAMESPACE));
    let scene = Scene { gateway, ..scene };
    let tunnel = scene.tunnel(1);
    let opened = uptime() + OFFSET - age;
    let file = saved(&scene.service, &tunnel, boot, opened).to_string();
    let path = scene.gateway.rejoin();
    std::fs::write(&path, file).expect("a file");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(&path, mode).expect("ours");
    (scene, broker, tunnel)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tunnel_past_its_lifetime_is_not_dialled() {
    if !has_namespace("a tunnel past its lifetime") {
        return;
    }
    let (scene, broker, tunnel) = aged(LIFETIME + 1, &boot()).await;
    let agent = scene.gateway.start().expect("an agent");
    let parts = [
        &*name(&tunnel),
        "was live before the restart, but its lifetime is over",
    ];
    says(&agent, Mark::START, &parts).await;
    subscribed(&agent, Mark::START).await;
    gone(&scene.gateway.rejoin()).await;
    let next = scene.tunnel(1);
    broker.notify(THING, &payload(&next)).expect("published");
    up(&next).await;
    scene.transfer(&next, 1, 10_000).await;
    let dialled = |event: &Event| event.tunnel() == Some(tunnel.id);
    assert_eq!(scene.service.count_events(Mark::START, dialled), 0);
    assert_eq!(scene.audit("tunnel-opened").len(), 1, "it had a place");
    scene.end(agent, &[&tunnel, &next]);
}

/// The last seconds of a tunnel: it works, and is then ended in order.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_lifetime_ends_a_tunnel_that_is_up() {
    const LEFT: u64 = 8;
    if !has_namespace("the end of a lifetime") {
        return;
    }
    let (scene, broker, tunnel) = aged(LIFETIME - LEFT, &boot()).await;
    let began = Instant::now();
    let agent = scene.gateway.start().expect("an agent");
    up(&tunnel).await;
    let mut engineer = scene.engineer(&tunnel).await;
    crate::client::echo(&mut engineer.socket, b"READY?").await;
    let closed = |event: &Event| event.is_closed(Mode::Destination);
    let event = tunnel.wait_event(closed, LONG).await.expect("it is closed");
    let took = began.elapsed();
    let Event::Closed { ending, .. } = event else {
        panic!("{event:?}")
    };
    let in_order = matches!(
        ending,
        Ending::Client {
            code: Some(1000),
            ..
        }
    );
    assert!(in_order, "{ending:?}");
    // The file counts in whole seconds.
    let left = Duration::from_secs(LEFT - 2)..Duration::from_secs(LEFT + 4);
    assert!(left.contains(&took), "ended after {took:?}");
    let record = scene.robots[0].wait_ended(0, LIMIT).await;
    assert!(record.expect("it ends").ended_by_fin());
    assert!(crate::client::ended(&mut engineer.socket).await);
    let line = scene.wait_audit("tunnel-ended", &tunnel).await;
    let reason = line["reason"].as_str().expect("a reason");
    assert!(reason.contains("lifetime"), "{reason}");
    gone(&scene.gateway.rejoin()).await;
    // The place is free, and the agent is there.
    let next = scene.tunnel(1);
    broker.notify(THING, &payload(&next)).expect("published");
    up(&next).await;
    assert_eq!(tunnel.destination.traffic().connections, 1);
    scene.end(agent, &[&tunnel, &next]);
}

/// With the clock of another boot the age is not known; the service knows, and refuses what is over.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_of_another_boot_says_nothing_of_the_age() {
    if !has_namespace("a file of another boot") {
        return;
    }
    let (scene, _broker, tunnel) = aged(LIFETIME + 1, "another-boot").await;
    let agent = scene.start().await;
    up(&tunnel).await;
    scene.transfer(&tunnel, 1, 10_000).await;
    scene.end(agent, &[&tunnel]);
}
