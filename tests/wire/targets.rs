//! Targets that refuse, are silent, or come late: bounded in time, and nobody else waits for them.

use std::time::Duration;

use cell::pattern::{pattern, sha256};
use cell::service::Protocol;
use cell::target::{Behaviour, BlackHole, RefusingPort, Target};
use cell::wire::{Kind, Message};
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpListener;
use tokio::time::Instant;

use crate::stage::{LIMIT, Stage, is};
use crate::{echo, round_trip, start};

/// From STREAM_START to its reset.
const TEN_SECONDS: Duration = Duration::from_secs(10);

/// A small round trip beside somebody else's trouble takes a millisecond or two. On a busy machine, more.
const QUICK: Duration = Duration::from_millis(1_000);

/// Starts a stream to a target that will not be reached, and makes round trips on robot1 until its reset comes.
async fn reset_in_time(stage: &Stage, target: &str, service: &str) {
    let mut raw = stage.raw(Protocol::V3).await;
    start(&mut raw, 1, "robot1", 1).await;
    let began = Instant::now();
    raw.send_many(&[
        Message::stream_start(3, service, 1),
        Message::data(3, service, 1, "early"),
    ])
    .await
    .expect("connected");
    let mut trips = 0;
    let ended = loop {
        let asked = Instant::now();
        raw.send(Message::data(1, "robot1", 1, "small"))
            .await
            .expect("connected");
        let mut reset = None;
        loop {
            let message = raw.recv(LIMIT).await.expect("an answer");
            match message.kind() {
                Ok(Kind::Data) => break,
                _ => reset = Some(message),
            }
        }
        let took = asked.elapsed();
        assert!(took < QUICK, "a round trip took {took:?} beside {target}");
        trips += 1;
        if let Some(reset) = reset {
            assert_eq!(reset, Message::stream_reset(3, service));
            break began.elapsed();
        }
        assert!(began.elapsed() < TEN_SECONDS, "no reset for {target}");
        // A hundred a second are enough.
        tokio::time::sleep(Duration::from_millis(10)).await;
    };
    assert!(ended < TEN_SECONDS, "the reset came after {ended:?}");
    assert!(trips > 20, "only {trips} round trips");
    let told = |line: &str| line.contains(service) && line.contains("cannot reach the target");
    let line = stage.agent.wait_line(told, LIMIT).await;
    let line = line.expect("the log says so");
    assert!(line.contains(target), "it names the target: {line}");
}

#[tokio::test]
async fn a_target_that_refuses_is_reset_in_time() {
    let (one, refusing) = (echo(), RefusingPort::new().expect("a port"));
    let routes = [("robot1", one.address()), ("robot2", refusing.address())];
    let stage = Stage::up(&routes).await;
    reset_in_time(&stage, &refusing.address().to_string(), "robot2").await;
    stage.end();
}

#[tokio::test]
async fn a_silent_target_is_reset_in_time() {
    let (one, hole) = (echo(), BlackHole::new().await.expect("a port"));
    let routes = [("robot1", one.address()), ("robot2", hole.address())];
    let stage = Stage::up(&routes).await;
    reset_in_time(&stage, &hole.address().to_string(), "robot2").await;
    stage.end();
}

#[tokio::test]
async fn a_later_connection_that_is_refused_is_reset_alone() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("it is bound");
    let stage = Stage::up(&[("robot1", address)]).await;
    let mut raw = stage.raw(Protocol::V3).await;
    raw.send(Message::stream_start(1, "robot1", 1))
        .await
        .expect("connected");
    let (mut first, _) = listener.accept().await.expect("a connection");
    drop(listener);
    let began = Instant::now();
    raw.send(Message::connection_start(1, "robot1", 2))
        .await
        .expect("connected");
    assert_eq!(
        raw.recv(LIMIT).await.expect("a reset"),
        Message::connection_reset(1, "robot1", 2)
    );
    assert!(began.elapsed() < TEN_SECONDS);
    // The first goes on.
    raw.send(Message::data(1, "robot1", 1, "still here"))
        .await
        .expect("connected");
    let mut heard = [0; 10];
    let read = tokio::time::timeout(LIMIT, first.read_exact(&mut heard)).await;
    read.expect("bytes").expect("it is open");
    assert_eq!(&heard, b"still here");
    stage.end();
}

#[tokio::test]
async fn a_stream_start_over_one_that_still_connects_replaces_it() {
    let hole = BlackHole::new().await.expect("a port");
    let stage = Stage::up(&[("robot1", hole.address())]).await;
    let mut raw = stage.raw(Protocol::V3).await;
    raw.send(Message::stream_start(1, "robot1", 1))
        .await
        .expect("connected");
    raw.send(Message::stream_start(2, "robot1", 1))
        .await
        .expect("connected");
    // One reset, and it is for the second: the first is stale for everybody.
    let reset = raw.recv(LIMIT).await.expect("a reset");
    assert_eq!(reset, Message::stream_reset(2, "robot1"));
    stage.end();
}

/// A target that listens only when the agent has tried for a while gets `early` whole and in order.
async fn comes_late(early: usize) {
    let port = RefusingPort::new().expect("a port");
    let address = port.address();
    let stage = Stage::up(&[("robot1", address)]).await;
    let mut raw = stage.raw(Protocol::V3).await;
    let bytes = pattern(11, early);
    raw.send(Message::stream_start(1, "robot1", 1))
        .await
        .expect("connected");
    for chunk in bytes.chunks(7_001) {
        let data = Message::data(1, "robot1", 1, chunk.to_vec());
        raw.send(data).await.expect("connected");
    }
    let started = |line: &str| line.contains("started by the source");
    let line = stage.agent.wait_line(started, LIMIT).await;
    line.expect("it dials");
    // The test is about the time: by now several attempts were refused.
    tokio::time::sleep(Duration::from_millis(1_200)).await;
    drop(port);
    let target = Target::start_at(address, Behaviour::Sink).expect("the port is free");
    let record = target.wait_received(0, early as u64, LIMIT).await;
    assert_eq!(record.expect("all of it").sha256, sha256(&bytes));
    raw.send(Message::connection_reset(1, "robot1", 1))
        .await
        .expect("connected");
    let record = target.wait_ended(0, LIMIT).await.expect("an end");
    assert_eq!(record.received, early as u64);
    assert!(record.ended_by_fin(), "{record:?}");
    stage.end();
}

#[tokio::test]
async fn early_data_waits_for_a_target_that_comes_late() {
    comes_late(100_000).await;
}

#[tokio::test]
async fn more_early_data_than_is_kept_waits_in_the_tunnel() {
    comes_late(2_000_000).await;
}

#[tokio::test]
async fn early_data_and_an_end_wait_for_a_target_that_comes_late() {
    let port = RefusingPort::new().expect("a port");
    let address = port.address();
    let stage = Stage::up(&[("robot1", address)]).await;
    let mut raw = stage.raw(Protocol::V3).await;
    raw.send_many(&[
        Message::stream_start(1, "robot1", 1),
        Message::data(1, "robot1", 1, "all there is"),
        Message::connection_reset(1, "robot1", 1),
    ])
    .await
    .expect("connected");
    let ended = |line: &str| line.contains("the source closed it");
    let line = stage.agent.wait_line(ended, LIMIT).await;
    line.expect("it is over for the source");
    drop(port);
    let target = Target::start_at(address, Behaviour::Sink).expect("the port is free");
    let record = target.wait_ended(0, LIMIT).await.expect("an end");
    assert_eq!(record.sha256, sha256(b"all there is"));
    assert!(record.ended_by_fin(), "{record:?}");
    let answer = raw.expect(|_| true, Duration::ZERO).await;
    assert!(answer.is_err(), "{answer:?}");
    stage.end();
}

#[tokio::test]
async fn a_bad_first_connect_spares_the_next_stream() {
    let port = RefusingPort::new().expect("a port");
    let address = port.address();
    let stage = Stage::up(&[("robot1", address)]).await;
    let mut raw = stage.raw(Protocol::V3).await;
    raw.send(Message::stream_start(1, "robot1", 1))
        .await
        .expect("connected");
    let reset = raw.expect(is(Kind::StreamReset), LIMIT).await;
    assert_eq!(reset.expect("a reset"), Message::stream_reset(1, "robot1"));
    drop(port);
    let _target = Target::start_at(address, Behaviour::Echo).expect("the port is free");
    start(&mut raw, 2, "robot1", 1).await;
    round_trip(&mut raw, 2, "robot1", 1).await;
    stage.end();
}
