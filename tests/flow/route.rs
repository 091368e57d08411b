//! What a route may ask for: a pace towards its controller, and an end to idle connections.

use std::time::Duration;

use cell::pattern::pattern;
use cell::service::Protocol;
use cell::target::{Behaviour, Target};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::time::{Instant, sleep};

use crate::client::{connect, echo, ended};
use crate::stage::{LIMIT, Stage};

/// Bytes a second in the test of the pace.
const PACE: usize = 4_000;

/// What may arrive in any quarter of a second: its share, and as much again for a machine that runs other tests
/// beside. A second's worth at once would be four times the share.
const QUARTER_MAX: usize = PACE / 4 * 2;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pace_is_kept_and_smooth() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("it listens");
    // Paced bytes wait in the agent: that is no stall of the controller.
    let stage = Stage::configured(&[("robot1", address, "pace = 4000\nstall = \"1s\"")]).await;
    let source = stage.source(Protocol::V3).await;
    let sent = pattern(3, 5 * PACE);
    let mut client = connect(&source, "robot1").await;
    client.write_all(&sent).await.expect("connected");
    let (mut robot, _) = listener.accept().await.expect("the agent connects");

    let (mut received, mut arrivals) = (Vec::new(), Vec::new());
    let mut piece = vec![0; 65_536];
    let start = Instant::now();
    while received.len() < sent.len() {
        let length = robot.read(&mut piece).await.expect("connected");
        assert!(length > 0, "ended after {} bytes", received.len());
        received.extend_from_slice(&piece[..length]);
        arrivals.push((start.elapsed(), length));
    }
    let took = start.elapsed();
    assert!(received == sent, "the bytes differ");
    assert!(
        took >= Duration::from_millis(4_700),
        "20 KB at 4 KB/s in {took:?}"
    );
    assert!(
        took <= Duration::from_millis(6_500),
        "20 KB at 4 KB/s in {took:?}"
    );
    for (at, _) in &arrivals {
        let quarter = *at..*at + Duration::from_millis(250);
        let bytes: usize = arrivals
            .iter()
            .filter(|(at, _)| quarter.contains(at))
            .map(|(_, length)| length)
            .sum();
        assert!(
            bytes <= QUARTER_MAX,
            "{bytes} bytes in the quarter of a second from {at:?} on"
        );
    }
    stage.end();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_controller_says_has_no_pace() {
    let robot = Target::start(Behaviour::Send {
        bytes: 1_000_000,
        seed: 1,
        then: cell::target::Then::Close,
    });
    let robot = robot.expect("a free port");
    let stage = Stage::configured(&[("robot1", robot.address(), "pace = 4000")]).await;
    let source = stage.source(Protocol::V3).await;
    let mut client = connect(&source, "robot1").await;
    let mut received = Vec::new();
    let read = tokio::time::timeout(LIMIT, client.read_to_end(&mut received)).await;
    read.expect("in time").expect("FIN");
    assert!(received == pattern(1, 1_000_000), "the bytes differ");
    stage.end();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_connection_ends_after_its_idle_time() {
    let robot = Target::start(Behaviour::Echo).expect("a free port");
    let stage = Stage::configured(&[("robot1", robot.address(), "idle = \"1s\"")]).await;
    let source = stage.source(Protocol::V3).await;
    let mut talker = connect(&source, "robot1").await;
    echo(&mut talker, b"I go on").await;
    let mut silent = connect(&source, "robot1").await;
    echo(&mut silent, b"my only words").await;
    let start = Instant::now();
    let watch = tokio::spawn(async move { (ended(&mut silent).await, start.elapsed()) });
    // One that has a byte now and then lives on, for three idle times.
    for _ in 0..10 {
        sleep(Duration::from_millis(300)).await;
        echo(&mut talker, b".").await;
    }
    let (by_fin, after) = watch.await.expect("no panic");
    assert!(by_fin, "the engineer gets FIN");
    assert!(after >= Duration::from_millis(990), "ended after {after:?}");
    assert!(
        after < Duration::from_millis(2_500),
        "ended only after {after:?}"
    );
    let line = stage
        .agent
        .wait_line(|line| line.contains("idle time"), LIMIT)
        .await
        .expect("the log says why");
    for part in [
        "service robot1 ",
        "connection 2",
        "1s",
        &robot.address().to_string(),
    ] {
        assert!(line.contains(part), "{part:?} is missing in {line:?}");
    }
    let record = robot
        .wait_ended(1, LIMIT)
        .await
        .expect("the controller is told");
    assert!(record.ended_by_fin(), "{:?}", record.ended);
    stage.end();
}
