//! What is stale, unknown or for everybody: DATA for nobody, unknown types, SESSION_RESET.

use cell::target::Behaviour;
use cell::wire::{Message, Mode};

use crate::stage::LIMIT;
use crate::{one_robot, round_trip, start, two_robots};

#[tokio::test]
async fn stale_data_is_dropped() {
    let (stage, mut raw, [one, two]) = two_robots().await;
    start(&mut raw, 2, "robot1", 1).await;
    start(&mut raw, 2, "robot2", 1).await;
    let before = [&one, &two].map(|target| target.connections()[0].received);
    let stale = [
        Message::data(1, "robot1", 1, "an old stream"),
        Message::data(3, "robot1", 1, "a stream to come"),
        Message::data(2, "robot1", 2, "an unknown connection"),
        Message::data(2, "robot1", 1, ""),
    ];
    raw.send_many(&stale).await.expect("connected");
    // A V3 connection that has ended is as stale.
    raw.send_many(&[
        Message::connection_start(2, "robot2", 7),
        Message::connection_reset(2, "robot2", 7),
        Message::data(2, "robot2", 7, "too late"),
    ])
    .await
    .expect("connected");
    round_trip(&mut raw, 2, "robot1", 1).await;
    round_trip(&mut raw, 2, "robot2", 1).await;
    let again = "round trip of robotN stream 2 connection 1".len() as u64;
    let after = [&one, &two].map(|target| target.connections()[0].received);
    assert_eq!(after, before.map(|bytes| bytes + again));
    for record in two.connections().iter().skip(1) {
        assert_eq!(record.received, 0, "{record:?}");
    }
    stage.end();
}

#[tokio::test]
async fn stale_resets_are_ignored() {
    let (stage, mut raw, [one, _two]) = two_robots().await;
    start(&mut raw, 2, "robot1", 1).await;
    let stale = [
        Message::stream_reset(1, "robot1"),
        Message::stream_reset(2, "robot2"),
        Message::connection_reset(1, "robot1", 1),
        Message::connection_reset(2, "robot1", 2),
        Message::connection_reset(2, "robot2", 1),
    ];
    stage.tunnel.destination.send_many(&stale).expect("there");
    round_trip(&mut raw, 2, "robot1", 1).await;
    assert_eq!(one.connections()[0].ended, None);
    stage.end();
}

#[tokio::test]
async fn a_session_reset_ends_every_connection_and_keeps_the_websocket() {
    let (stage, mut raw, targets) = two_robots().await;
    for service in ["robot1", "robot2"] {
        start(&mut raw, 1, service, 1).await;
        raw.send(Message::connection_start(1, service, 2))
            .await
            .expect("connected");
        round_trip(&mut raw, 1, service, 2).await;
    }
    stage.tunnel.destination.session_reset().expect("there");
    for target in &targets {
        for place in [0, 1] {
            let record = target.wait_ended(place, LIMIT).await.expect("an end");
            assert!(record.ended_by_fin(), "{record:?}");
        }
    }
    // What was there is stale; what comes is served, on the same WebSocket.
    raw.send(Message::data(1, "robot1", 1, "stale"))
        .await
        .expect("connected");
    start(&mut raw, 1, "robot1", 1).await;
    start(&mut raw, 2, "robot2", 1).await;
    assert_eq!(stage.tunnel.destination.traffic().connections, 1);
    let closed = stage
        .service
        .count_events(cell::journal::Mark::START, |event| {
            event.is_closed(Mode::Destination)
        });
    assert_eq!(closed, 0);
    stage.end();
}

#[tokio::test]
async fn unknown_types_are_ignored() {
    let (stage, mut raw, target) = one_robot(Behaviour::Echo).await;
    start(&mut raw, 1, "robot1", 1).await;
    for number in [0, 8, 99, -1, i32::MAX] {
        for ignorable in [true, false] {
            let unknown = Message {
                r#type: number,
                ignorable,
                ..Message::data(1, "robot1", 1, "of another time")
            };
            stage.tunnel.destination.send(&unknown).expect("there");
            round_trip(&mut raw, 1, "robot1", 1).await;
        }
    }
    let unknown = |line: &str| line.contains("unknown type");
    let logged = stage.agent.log().iter().filter(|l| unknown(l)).count();
    assert_eq!(logged, 5, "those that are not ignorable, and only those");
    assert_eq!(target.connections().len(), 1);
    assert_eq!(stage.tunnel.destination.traffic().connections, 1);
    stage.end();
}

#[tokio::test]
async fn unknown_fields_are_passed_over() {
    let (stage, mut raw, _target) = one_robot(Behaviour::Echo).await;
    start(&mut raw, 1, "robot1", 1).await;
    let data = Message::data(1, "robot1", 1, "known").frame();
    // Field 15, length-delimited, three bytes; and field 9, a varint.
    let body = [&data[2..], b"\x7a\x03abc", b"\x48\x01"].concat();
    let length = u16::try_from(body.len()).expect("short").to_be_bytes();
    let frame = [&length[..], &body[..]].concat();
    stage.tunnel.destination.send_bytes(frame).expect("there");
    let place = Message::data(1, "robot1", 1, "");
    let echoed = crate::stage::receive(&mut raw, &place, 5).await;
    assert_eq!(echoed, b"known");
    stage.end();
}

#[tokio::test]
async fn service_ids_may_come_again() {
    let (stage, mut raw, _targets) = two_robots().await;
    start(&mut raw, 1, "robot1", 1).await;
    let again = Message::service_ids(&["robot1", "robot2"]);
    stage.tunnel.destination.send(&again).expect("there");
    round_trip(&mut raw, 1, "robot1", 1).await;
    start(&mut raw, 1, "robot2", 1).await;
    stage.end();
}

#[tokio::test]
async fn a_source_that_goes_ends_its_streams() {
    let (stage, mut raw, target) = one_robot(Behaviour::Echo).await;
    start(&mut raw, 1, "robot1", 1).await;
    drop(raw);
    // The service tells the agent that the source is gone.
    let record = target.wait_ended(0, LIMIT).await.expect("an end");
    assert!(record.ended_by_fin(), "{record:?}");
    stage.end();
}
