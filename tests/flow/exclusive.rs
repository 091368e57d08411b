//! A robot that only one person may have: `connections = 1`.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use cell::pattern::{pattern, sha256};
use cell::service::{Event, Protocol};
use cell::target::{Behaviour, Target};
use cell::wire::{Kind, Mode};
use tokio::io::AsyncWriteExt as _;

use crate::client::{connect, echo, ended};
use crate::stage::{LIMIT, Stage};

async fn exclusive(target: SocketAddr) -> Stage {
    Stage::configured(&[("robot1", target, "connections = 1")]).await
}

/// The reset of a connection, sent by the agent.
fn reset_of(number: u32) -> impl Fn(&Event) -> bool {
    move |event| {
        event.is_message(Mode::Destination, Kind::ConnectionReset)
            && matches!(event, Event::Message { connection, .. } if *connection == number)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_second_is_refused_and_the_first_goes_on() {
    let robot = Target::start(Behaviour::Echo).expect("a free port");
    let stage = exclusive(robot.address()).await;
    let source = stage.source(Protocol::V3).await;
    let mut first = connect(&source, "robot1").await;
    echo(&mut first, b"I was here first").await;

    let mut second = connect(&source, "robot1").await;
    ended(&mut second).await;
    stage
        .tunnel
        .wait_event(reset_of(2), LIMIT)
        .await
        .expect("the source is told");
    let refused = |line: &str| line.contains("refused") && line.contains("connection 2");
    let line = stage
        .agent
        .wait_line(refused, LIMIT)
        .await
        .expect("the log says why");
    for part in [
        "tunnel ",
        "service robot1 ",
        "exclusive (connections = 1)",
        &robot.address().to_string(),
    ] {
        assert!(line.contains(part), "{part:?} is missing in {line:?}");
    }
    echo(&mut first, &pattern(1, 100_000)).await;
    assert_eq!(
        robot.connections().len(),
        1,
        "the robot never saw the second"
    );
    assert_eq!(
        stage
            .service
            .count_events(cell::journal::Mark::START, reset_of(1)),
        0
    );

    drop(first);
    // Behind the end of the first, or the third would be one too many.
    let over = |event: &Event| event.is_message(Mode::Source, Kind::ConnectionReset);
    stage
        .tunnel
        .wait_event(over, LIMIT)
        .await
        .expect("the source tells of it");
    let start = Instant::now();
    let mut third = connect(&source, "robot1").await;
    echo(&mut third, b"my turn").await;
    assert!(
        start.elapsed() < Duration::from_secs(1),
        "the robot was free only after {:?}",
        start.elapsed()
    );
    let records = robot.connections();
    assert!(records[0].ended_by_fin(), "{:?}", records[0].ended);
    stage.end();
}

/// The predecessor is over for its engineer, but the robot still takes its last bytes, for longer than the agent waits
/// for the robot's FIN: what the agent's kernel holds must go out too. The robot must never see two.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_successor_waits_until_the_last_byte_is_taken() {
    let slow = Behaviour::Slow {
        bytes: 1_500,
        every: Duration::from_millis(50),
    };
    let robot = Target::start(slow).expect("a free port");
    let stage = exclusive(robot.address()).await;
    let source = stage.source(Protocol::V3).await;
    let last = pattern(7, 200_000);
    let mut first = connect(&source, "robot1").await;
    first.write_all(&last).await.expect("connected");
    robot.wait_received(0, 1, LIMIT).await.expect("it moves");
    drop(first);
    let over = |line: &str| line.contains("connection 1") && line.contains("the source closed it");
    stage
        .agent
        .wait_line(over, LIMIT)
        .await
        .expect("over for the engineer");

    let mut second = connect(&source, "robot1").await;
    second.write_all(b"early bytes").await.expect("connected");
    robot
        .wait_received(1, 11, LIMIT)
        .await
        .expect("the successor has its turn");
    let records = robot.connections();
    let (end, at) = records[0]
        .ended
        .clone()
        .expect("two at once on an exclusive robot");
    assert!(records[0].ended_by_fin(), "{end:?}");
    assert_eq!(records[0].received, 200_000);
    assert_eq!(records[0].sha256, sha256(&last));
    assert!(records[1].opened >= at, "two at once on an exclusive robot");
    assert_eq!(records[1].sha256, sha256(b"early bytes"));
    stage.end();
}

/// Nobody waits for ever: the predecessor needs half a minute, the successor hears "no" within 10 s.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_successor_does_not_wait_for_ever() {
    let slow = Behaviour::Slow {
        bytes: 500,
        every: Duration::from_millis(50),
    };
    let robot = Target::start(slow).expect("a free port");
    let stage = exclusive(robot.address()).await;
    let source = stage.source(Protocol::V3).await;
    let mut first = connect(&source, "robot1").await;
    first
        .write_all(&pattern(7, 300_000))
        .await
        .expect("connected");
    robot.wait_received(0, 1, LIMIT).await.expect("it moves");
    drop(first);
    let over = |line: &str| line.contains("connection 1") && line.contains("the source closed it");
    stage
        .agent
        .wait_line(over, LIMIT)
        .await
        .expect("over for the engineer");

    let start = Instant::now();
    let mut second = connect(&source, "robot1").await;
    ended(&mut second).await;
    assert!(
        start.elapsed() < Duration::from_secs(10),
        "{:?}",
        start.elapsed()
    );
    let busy = |line: &str| {
        line.contains("connection 2") && line.contains("still writes out its last bytes")
    };
    stage
        .agent
        .wait_line(busy, LIMIT)
        .await
        .expect("the log says why");
    let records = robot.connections();
    assert_eq!(records.len(), 1, "two at once on an exclusive robot");
    assert_eq!(records[0].ended, None, "the slow predecessor was cut");
    stage.end();
}
