//! Ends: what was sent before an end arrives before it.

use std::time::Duration;

use cell::pattern::{pattern, sha256};
use cell::service::Protocol;
use cell::source::RawSource;
use cell::target::{Behaviour, End, Target, Then};
use cell::wire::{Kind, Message};

use crate::stage::{LIMIT, Stage, is};
use crate::{one_robot, round_trip, start, two_robots};

/// More than the sockets between agent and target hold, so that the agent has a queue of its own.
const QUEUED: usize = 600_000;

/// A target that takes 1.6 MB a second.
const SLOW: Behaviour = Behaviour::Slow {
    bytes: 16_384,
    every: Duration::from_millis(10),
};

/// Sends `QUEUED` bytes to a slow target and `last` in one go, and checks that they all arrive, and then FIN.
async fn arrives_before(last: Message) {
    let (stage, mut raw, target) = one_robot(SLOW).await;
    let bytes = pattern(3, QUEUED);
    let mut messages = vec![Message::stream_start(1, "robot1", 1)];
    for chunk in bytes.chunks(20_000) {
        messages.push(Message::data(1, "robot1", 1, chunk.to_vec()));
    }
    let what = format!("{:?}", last.kind());
    messages.push(last);
    for message in messages {
        stage.tunnel.destination.send(&message).expect("there");
    }
    let record = target.wait_ended(0, LIMIT).await.expect("an end");
    assert_eq!(record.received, QUEUED as u64, "{what}: {record:?}");
    assert_eq!(record.sha256, sha256(&bytes), "{what}");
    assert!(record.ended_by_fin(), "{what}: {record:?}");
    // Nothing was said about it: who asks for an end needs no answer.
    let answer = raw.expect(|_| true, Duration::ZERO).await;
    assert!(answer.is_err(), "{what}: {answer:?}");
    stage.end();
}

#[tokio::test]
async fn what_is_queued_is_written_out_before_a_connection_reset() {
    arrives_before(Message::connection_reset(1, "robot1", 1)).await;
}

#[tokio::test]
async fn what_is_queued_is_written_out_before_a_stream_reset() {
    arrives_before(Message::stream_reset(1, "robot1")).await;
}

#[tokio::test]
async fn what_is_queued_is_written_out_before_a_session_reset() {
    arrives_before(Message::session_reset()).await;
}

#[tokio::test]
async fn what_is_queued_is_written_out_before_a_replacement() {
    arrives_before(Message::stream_start(2, "robot1", 1)).await;
}

#[tokio::test]
async fn a_connection_reset_ends_one_connection_alone() {
    let (stage, mut raw, target) = one_robot(Behaviour::Echo).await;
    start(&mut raw, 1, "robot1", 1).await;
    for connection in [2, 3] {
        raw.send(Message::connection_start(1, "robot1", connection))
            .await
            .expect("connected");
        round_trip(&mut raw, 1, "robot1", connection).await;
    }
    raw.send(Message::connection_reset(1, "robot1", 2))
        .await
        .expect("connected");
    let record = target.wait_ended(1, LIMIT).await.expect("an end");
    assert!(record.ended_by_fin(), "{record:?}");
    for connection in [1, 3] {
        round_trip(&mut raw, 1, "robot1", connection).await;
    }
    stage.end();
}

#[tokio::test]
async fn a_stream_reset_ends_all_connections_of_its_service() {
    let (stage, mut raw, [one, two]) = two_robots().await;
    for service in ["robot1", "robot2"] {
        start(&mut raw, 1, service, 1).await;
        raw.send(Message::connection_start(1, service, 2))
            .await
            .expect("connected");
        round_trip(&mut raw, 1, service, 2).await;
    }
    raw.send(Message::stream_reset(1, "robot1"))
        .await
        .expect("connected");
    for place in [0, 1] {
        let record = one.wait_ended(place, LIMIT).await.expect("an end");
        assert!(record.ended_by_fin(), "{record:?}");
    }
    for connection in [1, 2] {
        round_trip(&mut raw, 1, "robot2", connection).await;
        assert_eq!(two.connections()[connection as usize - 1].ended, None);
    }
    start(&mut raw, 2, "robot1", 1).await;
    stage.end();
}

/// Reads what a target sent, up to the reset, and tells which reset came.
async fn sent_then_reset(raw: &mut RawSource) -> (Vec<u8>, Message) {
    let mut bytes = Vec::new();
    loop {
        let message = raw.recv(LIMIT).await.expect("DATA or a reset");
        match message.kind() {
            Ok(Kind::Data) => bytes.extend_from_slice(&message.payload),
            _ => return (bytes, message),
        }
    }
}

/// A target that sends 1 MB and closes at once.
const SENDS: Behaviour = Behaviour::Send {
    bytes: 1_000_000,
    seed: 40,
    then: Then::Close,
};

#[tokio::test]
async fn what_a_controller_sent_goes_out_before_its_reset() {
    let target = Target::start(SENDS).expect("a target");
    let stage = Stage::up(&[("robot1", target.address())]).await;
    let cases = [
        (
            Message::stream_start(1, "robot1", 9),
            Message::connection_reset(1, "robot1", 9),
        ),
        (
            Message::stream_start(2, "robot1", 0),
            Message::stream_reset(2, "robot1"),
        ),
        (
            Message::stream_start(3, "", 0),
            Message::stream_reset(3, ""),
        ),
    ];
    let mut raw = stage.raw(Protocol::V3).await;
    for (place, (start, reset)) in cases.into_iter().enumerate() {
        raw.send(start).await.expect("connected");
        let (bytes, end) = sent_then_reset(&mut raw).await;
        assert_eq!(end, reset);
        assert!(bytes == pattern(40 + place as u64, 1_000_000), "{reset:?}");
        let record = target.wait_ended(place, LIMIT).await.expect("an end");
        assert_eq!(record.ended.map(|(end, _)| end), Some(End::Fin));
    }
    stage.end();
}

#[tokio::test]
async fn what_a_controller_sent_goes_out_before_its_reset_on_a_slow_tunnel() {
    let (stage, mut raw, _target) = one_robot(SENDS).await;
    stage.tunnel.destination.switch(|s| {
        s.bandwidth = Some(1_000_000);
        s.delay = Duration::from_millis(50);
    });
    raw.send(Message::stream_start(1, "robot1", 1))
        .await
        .expect("connected");
    let (bytes, end) = sent_then_reset(&mut raw).await;
    assert_eq!(end, Message::connection_reset(1, "robot1", 1));
    assert!(bytes == pattern(40, 1_000_000));
    stage.end();
}

#[tokio::test]
async fn a_controller_that_closes_first_ends_its_connection_alone() {
    let (stage, mut raw, target) = one_robot(Behaviour::CloseAfter { bytes: 3 }).await;
    raw.send_many(&[
        Message::stream_start(1, "robot1", 1),
        Message::connection_start(1, "robot1", 2),
        Message::data(1, "robot1", 1, "bye"),
    ])
    .await
    .expect("connected");
    assert_eq!(
        raw.recv(LIMIT).await.expect("a reset"),
        Message::connection_reset(1, "robot1", 1)
    );
    // In V3 the stream lives on, even with no connection.
    raw.send(Message::data(1, "robot1", 2, "bye"))
        .await
        .expect("connected");
    assert_eq!(
        raw.recv(LIMIT).await.expect("a reset"),
        Message::connection_reset(1, "robot1", 2)
    );
    raw.send_many(&[
        Message::connection_start(1, "robot1", 3),
        Message::data(1, "robot1", 3, "bye"),
    ])
    .await
    .expect("connected");
    assert_eq!(
        raw.recv(LIMIT).await.expect("a reset"),
        Message::connection_reset(1, "robot1", 3)
    );
    assert_eq!(target.connections().len(), 3);
    stage.end();
}

#[tokio::test]
async fn a_controller_that_resets_ends_its_connection() {
    let (stage, mut raw, _target) = one_robot(Behaviour::ResetAfter { bytes: 3 }).await;
    raw.send_many(&[
        Message::stream_start(1, "robot1", 1),
        Message::data(1, "robot1", 1, "bye"),
    ])
    .await
    .expect("connected");
    let reset = raw.expect(is(Kind::ConnectionReset), LIMIT).await;
    assert_eq!(
        reset.expect("a reset"),
        Message::connection_reset(1, "robot1", 1)
    );
    let told = |line: &str| line.contains("robot1") && line.contains("broke");
    let line = stage.agent.wait_line(told, LIMIT).await;
    line.expect("the log says why");
    stage.end();
}
