//! STREAM_START, CONNECTION_START and the services.

use cell::agent::AgentBuilder;
use cell::pattern::sha256;
use cell::service::{Protocol, ServiceOptions};
use cell::target::Behaviour;
use cell::wire::{Kind, Message};

use crate::stage::{AGENT, LIMIT, Stage, for_routes, is};
use crate::{echo, one_robot, round_trip, start, two_robots};

#[tokio::test]
async fn several_services_and_connections() {
    let (stage, mut raw, targets) = two_robots().await;
    for service in ["robot1", "robot2"] {
        start(&mut raw, 1, service, 1).await;
        for connection in 2..=5 {
            raw.send(Message::connection_start(1, service, connection))
                .await
                .expect("connected");
            round_trip(&mut raw, 1, service, connection).await;
        }
    }
    for service in ["robot2", "robot1"] {
        for connection in [3, 1, 5, 2, 4] {
            round_trip(&mut raw, 1, service, connection).await;
        }
    }
    assert_eq!(targets.each_ref().map(|t| t.connections().len()), [5, 5]);
    stage.end();
}

#[tokio::test]
async fn a_start_over_a_live_stream_replaces_it() {
    let (stage, mut raw, [one, two]) = two_robots().await;
    start(&mut raw, 1, "robot1", 1).await;
    raw.send(Message::connection_start(1, "robot1", 2))
        .await
        .expect("connected");
    round_trip(&mut raw, 1, "robot1", 2).await;
    start(&mut raw, 1, "robot2", 1).await;

    start(&mut raw, 2, "robot1", 1).await;
    for place in [0, 1] {
        let record = one.wait_ended(place, LIMIT).await.expect("an end");
        assert!(record.ended_by_fin(), "{record:?}");
    }
    // The old stream is stale, the other service is untouched.
    raw.send(Message::data(1, "robot1", 1, "stale"))
        .await
        .expect("connected");
    round_trip(&mut raw, 2, "robot1", 1).await;
    round_trip(&mut raw, 1, "robot2", 1).await;
    assert_eq!(one.connections().len(), 3);
    assert_eq!(two.connections().len(), 1);
    stage.end();
}

#[tokio::test]
async fn a_start_with_the_same_stream_id_replaces_it_too() {
    let (stage, mut raw, target) = one_robot(Behaviour::Echo).await;
    for place in 0..5 {
        start(&mut raw, 1, "robot1", 1).await;
        assert_eq!(target.connections().len(), place + 1);
        if place > 0 {
            let old = target.wait_ended(place - 1, LIMIT).await.expect("an end");
            assert!(old.ended_by_fin(), "{old:?}");
        }
    }
    stage.end();
}

#[tokio::test]
async fn a_connection_id_that_is_live_is_refused_and_the_live_one_goes_on() {
    let (stage, mut raw, target) = one_robot(Behaviour::Echo).await;
    start(&mut raw, 1, "robot1", 1).await;
    raw.send(Message::connection_start(1, "robot1", 2))
        .await
        .expect("connected");
    round_trip(&mut raw, 1, "robot1", 2).await;
    for connection in [1, 2] {
        raw.send(Message::connection_start(1, "robot1", connection))
            .await
            .expect("connected");
        assert_eq!(
            raw.recv(LIMIT).await.expect("an answer"),
            Message::connection_reset(1, "robot1", connection)
        );
        round_trip(&mut raw, 1, "robot1", connection).await;
    }
    assert_eq!(target.connections().len(), 2);
    stage.end();
}

#[tokio::test]
async fn a_connection_id_can_be_used_again() {
    let (stage, mut raw, target) = one_robot(Behaviour::Echo).await;
    start(&mut raw, 1, "robot1", 1).await;
    for place in 1..4 {
        raw.send(Message::connection_start(1, "robot1", 2))
            .await
            .expect("connected");
        round_trip(&mut raw, 1, "robot1", 2).await;
        raw.send(Message::connection_reset(1, "robot1", 2))
            .await
            .expect("connected");
        let record = target.wait_ended(place, LIMIT).await.expect("an end");
        assert!(record.ended_by_fin(), "{record:?}");
    }
    round_trip(&mut raw, 1, "robot1", 1).await;
    stage.end();
}

#[tokio::test]
async fn a_connection_start_needs_the_current_stream() {
    let (stage, mut raw, target) = one_robot(Behaviour::Echo).await;
    start(&mut raw, 4, "robot1", 1).await;
    raw.send(Message::connection_start(3, "robot1", 2))
        .await
        .expect("connected");
    let answer = raw.recv(LIMIT).await.expect("an answer");
    assert_eq!(answer.stream_id, 3, "{answer:?}");
    let reset = [Ok(Kind::StreamReset), Ok(Kind::ConnectionReset)];
    assert!(reset.contains(&answer.kind()), "{answer:?}");
    round_trip(&mut raw, 4, "robot1", 1).await;
    assert_eq!(target.connections().len(), 1);
    stage.end();
}

#[tokio::test]
async fn stream_id_zero_is_ignored_and_logged() {
    let (stage, mut raw, target) = one_robot(Behaviour::Echo).await;
    start(&mut raw, 1, "robot1", 1).await;
    let zero = [
        Message::stream_start(0, "robot1", 1),
        Message::data(0, "robot1", 1, "zero"),
        Message::connection_start(0, "robot1", 2),
        Message::connection_reset(0, "robot1", 1),
        Message::stream_reset(0, "robot1"),
    ];
    stage.tunnel.destination.send_many(&zero).expect("there");
    round_trip(&mut raw, 1, "robot1", 1).await;
    assert_eq!(target.connections().len(), 1);
    let logged = |line: &str| line.contains("stream ID 0");
    let line = stage.agent.wait_line(logged, LIMIT).await;
    line.expect("a line about stream ID 0");
    stage.end();
}

#[tokio::test]
async fn a_negative_stream_id_is_one_like_any_other() {
    let (stage, mut raw, _target) = one_robot(Behaviour::Echo).await;
    for stream in [-1, i32::MIN, i32::MAX] {
        start(&mut raw, stream, "robot1", u32::MAX).await;
    }
    stage.end();
}

#[tokio::test]
async fn an_undeclared_service_gets_no_answer() {
    let (one, nine) = (echo(), echo());
    // There is a route for robot9, but the tunnel does not declare it; robot8 has neither.
    let routes = [("robot1", one.address()), ("robot9", nine.address())];
    let stage = Stage::with(ServiceOptions::default(), &["robot1"], |service, tunnel| {
        for_routes(service, tunnel, &routes)
    })
    .await;
    let mut raw = stage.raw(Protocol::V3).await;
    for service in ["robot9", "robot8"] {
        let undeclared = [
            Message::stream_start(1, service, 1),
            Message::data(1, service, 1, "lost"),
            Message::connection_start(1, service, 2),
        ];
        let sent = stage.tunnel.destination.send_many(&undeclared);
        sent.expect("there");
    }
    start(&mut raw, 1, "robot1", 1).await;
    assert_eq!(nine.connections().len(), 0, "it was never dialled");
    // An answer would have been a violation.
    stage.end();
}

#[tokio::test]
async fn a_service_without_a_route_is_reset_and_the_others_work() {
    let target = echo();
    let routes = [("robot1", target.address())];
    let stage = Stage::with(
        ServiceOptions::default(),
        &["robot1", "robot2"],
        |service, tunnel| for_routes(service, tunnel, &routes),
    )
    .await;
    // Deny by default is told before anybody asks.
    let told = |line: &str| line.contains("service robot2") && line.contains("no route");
    let line = stage.agent.wait_line(told, LIMIT).await;
    line.expect("SERVICE_IDS are compared with the routes");
    let mut raw = stage.raw(Protocol::V3).await;
    start(&mut raw, 1, "robot1", 1).await;
    let stream = [
        Message::stream_start(5, "robot2", 1),
        Message::data(5, "robot2", 1, "for nobody"),
    ];
    raw.send_many(&stream).await.expect("connected");
    assert_eq!(
        raw.recv(LIMIT).await.expect("an answer"),
        Message::stream_reset(5, "robot2")
    );
    round_trip(&mut raw, 1, "robot1", 1).await;
    stage.end();
}

#[tokio::test]
async fn services_that_are_configured_but_not_declared_do_no_harm() {
    let (one, two) = (echo(), echo());
    let routes = [("robot1", one.address()), ("robot2", two.address())];
    let stage = Stage::with(ServiceOptions::default(), &["robot2"], |service, tunnel| {
        for_routes(service, tunnel, &routes)
    })
    .await;
    let mut raw = stage.raw(Protocol::V3).await;
    start(&mut raw, 1, "robot2", 1).await;
    stage.end();
}

#[tokio::test]
async fn early_data_arrives_in_order() {
    let (stage, mut raw, target) = one_robot(Behaviour::Sink).await;
    let mut messages = vec![Message::stream_start(1, "robot1", 1)];
    let mut whole = Vec::new();
    for number in 0..500 {
        let line = format!("line {number}\r\n");
        whole.extend_from_slice(line.as_bytes());
        messages.push(Message::data(1, "robot1", 1, line));
    }
    raw.send_many(&messages).await.expect("connected");
    let record = target.wait_received(0, whole.len() as u64, LIMIT).await;
    assert_eq!(record.expect("all of it").sha256, sha256(&whole));
    stage.end();
}

#[tokio::test]
async fn an_exclusive_route_refuses_the_second() {
    let target = echo();
    let stage = Stage::with(ServiceOptions::default(), &["robot1"], |service, tunnel| {
        let routes = [("robot1", target.address(), "connections = 1")];
        AgentBuilder::configured(AGENT, service, tunnel, &routes).expect("a folder")
    })
    .await;
    let mut raw = stage.raw(Protocol::V3).await;
    start(&mut raw, 1, "robot1", 1).await;
    raw.send(Message::connection_start(1, "robot1", 2))
        .await
        .expect("connected");
    assert_eq!(
        raw.recv(LIMIT).await.expect("an answer"),
        Message::connection_reset(1, "robot1", 2)
    );
    let told = |line: &str| line.contains("connection 2") && line.contains("exclusive");
    let line = stage.agent.wait_line(told, LIMIT).await;
    line.expect("the log says why");
    round_trip(&mut raw, 1, "robot1", 1).await;
    assert_eq!(target.connections().len(), 1, "it was not even dialled");
    // A new stream takes the place of the old one: the same engineer, again.
    start(&mut raw, 2, "robot1", 1).await;
    let old = target.wait_ended(0, LIMIT).await.expect("an end");
    assert!(old.ended_by_fin(), "{old:?}");
    stage.end();
}

#[tokio::test]
async fn sixty_four_connections_and_no_more() {
    let (stage, mut raw, target) = one_robot(Behaviour::Echo).await;
    start(&mut raw, 1, "robot1", 1).await;
    for connection in 2..=64 {
        raw.send(Message::connection_start(1, "robot1", connection))
            .await
            .expect("connected");
        round_trip(&mut raw, 1, "robot1", connection).await;
    }
    raw.send(Message::connection_start(1, "robot1", 65))
        .await
        .expect("connected");
    assert_eq!(
        raw.recv(LIMIT).await.expect("an answer"),
        Message::connection_reset(1, "robot1", 65)
    );
    assert_eq!(target.connections().len(), 64);
    // One goes, one comes.
    raw.send(Message::connection_reset(1, "robot1", 17))
        .await
        .expect("connected");
    target.wait_ended(16, LIMIT).await.expect("an end");
    raw.send(Message::connection_start(1, "robot1", 66))
        .await
        .expect("connected");
    round_trip(&mut raw, 1, "robot1", 66).await;
    let none = raw.expect(is(Kind::ConnectionReset), std::time::Duration::ZERO);
    assert!(none.await.is_err(), "nothing else was reset");
    stage.end();
}
