//! The ways in which a link can be lost, and what the controllers and the source see of it.

use std::time::Duration;

use cell::pattern::{pattern, sha256};
use cell::service::{Kill, Protocol};
use cell::source::RawSource;
use cell::target::{Behaviour, End, Target};
use cell::wire::{Kind, Message};
use tokio::time::sleep;

use crate::client::{connect, echo, ended};
use crate::comes_back;
use crate::stage::{LIMIT, Stage, is};

/// Bytes that a slow target has not taken when the link is lost.
const QUEUED: usize = 400_000;

/// What a test does to the link.
type Lose = fn(&Stage);

/// Queues bytes for a slow controller, loses the link, and checks everything that must hold then.
async fn is_lost(lose: Lose) {
    let slow = Behaviour::Slow {
        bytes: 8_000,
        every: Duration::from_millis(50),
    };
    let slow = Target::start(slow).expect("a free port");
    let lively = Target::start(Behaviour::Echo).expect("a free port");
    let stage = Stage::configured(&[
        ("robot1", slow.address(), ""),
        ("robot2", lively.address(), ""),
    ])
    .await;
    let mut source = stage.raw(Protocol::V3).await;
    queue(&mut source).await;
    assert!(
        slow.connections()[0].received < QUEUED as u64,
        "nothing is queued"
    );
    let mark = stage.tunnel.mark();
    lose(&stage);

    // Beside the reconnection, the controllers get what is theirs.
    let back = comes_back(&stage, mark);
    let written = async {
        let record = slow.wait_ended(0, LIMIT).await.expect("it ends");
        assert!(record.ended_by_fin(), "{:?}", record.ended);
        assert_eq!(
            record.received, QUEUED as u64,
            "bytes that the agent had were lost"
        );
        assert_eq!(record.sha256, sha256(&pattern(6, QUEUED)));
        let record = lively.wait_ended(0, LIMIT).await.expect("it ends");
        assert!(record.ended_by_fin(), "{:?}", record.ended);
    };
    tokio::join!(back, written);

    // The source was there all the time, and starts again.
    let bytes = pattern(8, 50_000);
    source
        .send(Message::stream_start(2, "robot2", 1))
        .await
        .expect("connected");
    source
        .send(Message::data(2, "robot2", 1, bytes.clone()))
        .await
        .expect("connected");
    let mut back = Vec::new();
    while back.len() < bytes.len() {
        let message = source
            .expect(
                |message| is(Kind::Data)(message) && message.stream_id == 2,
                LIMIT,
            )
            .await;
        back.extend_from_slice(&message.expect("the echo of robot2").payload);
    }
    assert!(back == bytes, "the echo differs");
    stage.end();
}

/// Sends [`QUEUED`] bytes to robot1, and returns when the agent has them.
async fn queue(source: &mut RawSource) {
    let bytes = pattern(6, QUEUED);
    source
        .send(Message::stream_start(1, "robot1", 1))
        .await
        .expect("connected");
    for piece in bytes.chunks(50_000) {
        source
            .send(Message::data(1, "robot1", 1, piece.to_vec()))
            .await
            .expect("connected");
    }
    // What comes behind them is answered when they are dealt with.
    source
        .send(Message::stream_start(1, "robot2", 1))
        .await
        .expect("connected");
    source
        .send(Message::data(1, "robot2", 1, "are they there?"))
        .await
        .expect("connected");
    source
        .expect(is(Kind::Data), LIMIT)
        .await
        .expect("the echo of robot2");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn by_a_reset() {
    is_lost(|stage| {
        stage
            .tunnel
            .destination
            .kill(Kill::Reset)
            .expect("connected")
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn by_an_end_of_stream() {
    is_lost(|stage| stage.tunnel.destination.kill(Kill::Fin).expect("connected")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn by_a_close_with_1000() {
    is_lost(|stage| {
        stage
            .tunnel
            .destination
            .close(1000, "maintenance")
            .expect("connected")
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn by_a_close_with_1001() {
    is_lost(|stage| {
        stage
            .tunnel
            .destination
            .close(1001, "going away")
            .expect("connected")
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn by_a_close_with_1011() {
    is_lost(|stage| {
        stage
            .tunnel
            .destination
            .close(1011, "internal error")
            .expect("connected")
    })
    .await;
}

/// A controller that takes nothing does not hold the reconnection up, and is reset after its stall time as ever.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_a_target_stands_still() {
    let silent = Target::start(Behaviour::Silent).expect("a free port");
    let lively = Target::start(Behaviour::Echo).expect("a free port");
    let routes = [
        ("robot1", silent.address(), "stall = \"4s\""),
        ("robot2", lively.address(), ""),
    ];
    let stage = Stage::configured(&routes).await;
    let mut source = stage.raw(Protocol::V3).await;
    queue(&mut source).await;
    let mark = stage.tunnel.mark();
    stage
        .tunnel
        .destination
        .kill(Kill::Reset)
        .expect("connected");
    comes_back(&stage, mark).await;
    let record = silent.wait_ended(0, LIMIT).await.expect("it is ended");
    let (how, at) = record.ended.expect("waited for");
    assert!(
        matches!(how, End::Reset(_)),
        "a controller that stands still gets its terminal back at once: {how:?}"
    );
    let after = at.duration_since(record.opened);
    assert!(
        (3.9..7.0).contains(&after.as_secs_f64()),
        "cut after {after:?}"
    );
    // With a ring that is full to the last byte the WebSocket is not read, and the stall is noticed before the loss.
    let lost = |line: &str| {
        let after_the_loss = line.contains("bytes could not be written out");
        let before_the_loss = line.contains("bytes were not taken and are lost");
        line.contains("service robot1 ") && (after_the_loss || before_the_loss)
    };
    stage
        .agent
        .wait_line(lost, LIMIT)
        .await
        .expect("the log says what is lost");
    stage.end();
}

/// A service that is not there for a second refuses; the agent waits and comes back to the same port.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn by_a_restart_of_the_service() {
    let robot = Target::start(Behaviour::Echo).expect("a free port");
    let stage = Stage::configured(&[("robot1", robot.address(), "")]).await;
    let source = stage.source(Protocol::V3).await;
    let mut client = connect(&source, "robot1").await;
    echo(&mut client, b"before").await;
    let mark = stage.tunnel.mark();
    stage.service.stop_listening().await.expect("it listened");
    stage
        .tunnel
        .destination
        .kill(Kill::Reset)
        .expect("connected");
    sleep(Duration::from_secs(1)).await;
    assert!(!stage.tunnel.destination.is_connected());
    stage
        .service
        .listen_again()
        .await
        .expect("the port is still free");
    comes_back(&stage, mark).await;
    // The source was there all the time: it heard of the end, and can start again.
    assert!(ended(&mut client).await, "the engineer gets FIN");
    assert!(
        robot
            .wait_ended(0, LIMIT)
            .await
            .expect("it ends")
            .ended_by_fin()
    );
    let mut client = connect(&source, "robot1").await;
    echo(&mut client, b"behind").await;
    stage.end();
}
