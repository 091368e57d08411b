//! Links that are dead without anybody having said so.

use std::time::Duration;

use cell::service::{Event, Protocol};
use cell::target::{Behaviour, Target};
use cell::wire::Mode;
use tokio::time::Instant;

use crate::client::{connect, echo};
use crate::comes_back;
use crate::stage::{LIMIT, Stage};

/// The service hears the agent and says nothing: pings every 20 s, and after 45 s the link is dead.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_without_pongs_is_found_dead() {
    let robot = Target::start(Behaviour::Echo).expect("a free port");
    let stage = Stage::configured(&[("robot1", robot.address(), "")]).await;
    stage
        .tunnel
        .destination
        .switch(|switches| switches.no_pong = true);
    is_found_dead(&stage).await;
    let connected = stage.service.events();
    let start = connected
        .iter()
        .find(|entry| entry.what.is_connected(Mode::Destination))
        .expect("it was")
        .at;
    let pings: Vec<f64> = connected
        .iter()
        .filter(|entry| {
            matches!(
                entry.what,
                Event::Ping {
                    from: Mode::Destination,
                    ..
                }
            )
        })
        .map(|entry| entry.at.duration_since(start).as_secs_f64())
        .collect();
    assert_eq!(pings.len(), 2, "pings after {pings:?} s");
    assert!((19.5..21.5).contains(&pings[0]), "pings after {pings:?} s");
    assert!((39.5..41.5).contains(&pings[1]), "pings after {pings:?} s");
    stage.end();
}

/// The service takes nothing and says nothing, and its TCP connection stays: a middle box that forgot about us.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_service_is_found_dead() {
    let robot = Target::start(Behaviour::Echo).expect("a free port");
    let stage = Stage::configured(&[("robot1", robot.address(), "")]).await;
    let source = stage.source(Protocol::V3).await;
    let mut client = connect(&source, "robot1").await;
    echo(&mut client, b"the last words").await;
    stage.tunnel.destination.hush().expect("connected");
    is_found_dead(&stage).await;
    let record = robot.wait_ended(0, LIMIT).await.expect("it ends");
    assert!(record.ended_by_fin(), "{:?}", record.ended);
    stage.end();
}

async fn is_found_dead(stage: &Stage) {
    let silent = Instant::now();
    let mark = stage.tunnel.mark();
    let line = stage
        .agent
        .wait_line(
            |line| line.contains("WebSocket lost") && line.contains("the link is dead"),
            Duration::from_secs(60),
        )
        .await;
    let after = silent.elapsed();
    let line = line.expect("the log says so");
    assert!(
        line.contains("tunnel ") && line.contains("no pong"),
        "{line}"
    );
    assert!(after > Duration::from_secs(43), "given up after {after:?}");
    assert!(
        after < Duration::from_secs(47),
        "found only after {after:?}"
    );
    comes_back(stage, mark).await;
}
