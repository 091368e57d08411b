//! Tunnel frames lie in WebSocket messages anyhow; and WebSocket messages that no service may send.

use std::time::Duration;

use cell::pattern::pattern;
use cell::service::{
    Ending, Event, Fragments, Glue, Opcode, Protocol, ServiceOptions, Switches, websocket_frame,
};
use cell::target::Target;
use cell::wire::{Kind, MAX_PAYLOAD, MAX_WEBSOCKET_MESSAGE, Message, Mode};

use crate::stage::{LIMIT, Stage, for_routes, is, receive};
use crate::{echo, one_robot, round_trip, start, two_robots};

/// Sends `length` bytes to an echo, in pieces of `piece`, with the service's switches turned, and compares.
async fn travels(length: usize, piece: usize, turn: impl FnOnce(&mut Switches)) -> Stage {
    let (stage, mut raw, target) = one_robot(cell::target::Behaviour::Echo).await;
    stage.tunnel.destination.switch(turn);
    let bytes = pattern(1, length);
    raw.send(Message::stream_start(1, "robot1", 1))
        .await
        .expect("connected");
    let place = Message::data(1, "robot1", 1, "");
    for chunk in bytes.chunks(piece) {
        let data = Message::data(1, "robot1", 1, chunk.to_vec());
        raw.send(data).await.expect("connected");
    }
    assert!(receive(&mut raw, &place, length).await == bytes, "changed");
    let record = &target.connections()[0];
    assert_eq!(record.sha256, cell::pattern::sha256(&bytes));
    stage
}

#[tokio::test]
async fn frames_cut_to_single_bytes() {
    travels(8_000, 700, |s| s.cut = Some(1)).await.end();
}

#[tokio::test]
async fn frames_cut_anywhere() {
    for cut in [2, 3, 127, 1_021, 65_537] {
        let length = cut.clamp(500, 2_000) * 150;
        travels(length, MAX_PAYLOAD, |s| s.cut = Some(cut))
            .await
            .end();
    }
}

#[tokio::test]
async fn frames_glued_as_far_as_a_message_holds_them() {
    let glue = Glue {
        hold: Duration::from_millis(20),
    };
    travels(1_000_000, 400, |s| s.glue = Some(glue)).await.end();
    let glued_and_cut = |s: &mut Switches| {
        s.glue = Some(glue);
        s.cut = Some(50_021);
    };
    travels(1_000_000, MAX_PAYLOAD, glued_and_cut).await.end();
}

#[tokio::test]
async fn a_message_of_exactly_the_largest_size() {
    let (stage, mut raw, target) = one_robot(cell::target::Behaviour::Echo).await;
    start(&mut raw, 1, "robot1", 1).await;
    let known = target.connections()[0].received;

    let largest = Message::data(1, "robot1", 1, pattern(2, MAX_PAYLOAD)).frame();
    let overhead = largest.len() - MAX_PAYLOAD;
    // The third has fewer bytes for the length of its payload; padded until it fits.
    let mut rest = MAX_WEBSOCKET_MESSAGE - 2 * largest.len() - overhead;
    let third = loop {
        let frame = Message::data(1, "robot1", 1, pattern(3, rest)).frame();
        if 2 * largest.len() + frame.len() == MAX_WEBSOCKET_MESSAGE {
            break frame;
        }
        rest += 1;
    };
    let message = [&largest[..], &largest[..], &third[..]].concat();
    assert_eq!(message.len(), MAX_WEBSOCKET_MESSAGE);
    stage.tunnel.destination.send_bytes(message).expect("there");
    let bytes = [
        pattern(2, MAX_PAYLOAD),
        pattern(2, MAX_PAYLOAD),
        pattern(3, rest),
    ]
    .concat();
    let place = Message::data(1, "robot1", 1, "");
    assert!(receive(&mut raw, &place, bytes.len()).await == bytes);
    assert_eq!(target.connections()[0].received, known + bytes.len() as u64);
    assert_eq!(stage.tunnel.destination.traffic().connections, 1);
    stage.end();
}

#[tokio::test]
async fn start_and_data_glued_to_service_ids() {
    let target = echo();
    let routes = [("robot1", target.address())];
    let stage = Stage::with(ServiceOptions::default(), &["robot1"], |service, tunnel| {
        // Long enough that the two messages below are sure to lie in one with SERVICE_IDS.
        tunnel.destination.switch(|s| {
            s.glue = Some(Glue {
                hold: Duration::from_millis(500),
            });
        });
        for_routes(service, tunnel, &routes)
    })
    .await;
    let mut raw = {
        let glued = [
            Message::stream_start(7, "robot1", 1),
            Message::data(7, "robot1", 1, "early"),
        ];
        stage.tunnel.destination.send_many(&glued).expect("there");
        // Nobody had a place to send to before.
        let first = target.wait_received(0, 5, LIMIT).await.expect("bytes");
        assert_eq!(first.sha256, cell::pattern::sha256(b"early"));
        // The echo of it is for nobody: it is to be there before the source is.
        let echoed = |event: &Event| event.is_message(Mode::Destination, Kind::Data);
        let waited = stage.tunnel.wait_event(echoed, LIMIT).await;
        waited.expect("an echo");
        stage.tunnel.destination.switch(|s| s.glue = None);
        stage.raw(Protocol::V3).await
    };
    start(&mut raw, 8, "robot1", 1).await;

    // And again where there is no doubt: SERVICE_IDS, start and data in one message of our own.
    let glued = [
        Message::service_ids(&["robot1"]),
        Message::stream_start(9, "robot1", 1),
        Message::data(9, "robot1", 1, "early"),
    ];
    stage.tunnel.destination.send_many(&glued).expect("there");
    let data = Message::data(9, "robot1", 1, "");
    assert_eq!(receive(&mut raw, &data, 5).await, b"early");
    stage.end();
}

#[tokio::test]
async fn several_starts_and_data_in_one_message() {
    let (stage, mut raw, targets) = two_robots().await;
    let together = [
        Message::stream_start(1, "robot1", 1),
        Message::data(1, "robot1", 1, "one-one "),
        Message::stream_start(1, "robot2", 4),
        Message::connection_start(1, "robot1", 2),
        Message::data(1, "robot2", 4, "two-four "),
        Message::data(1, "robot1", 2, "one-two "),
        Message::data(1, "robot1", 1, "again"),
        Message::data(1, "robot2", 4, "again"),
    ];
    raw.send_many(&together).await.expect("connected");
    let mut heard = std::collections::BTreeMap::<(String, u32), Vec<u8>>::new();
    while heard.values().map(Vec::len).sum::<usize>() < 35 {
        let data = raw.expect(is(Kind::Data), LIMIT).await.expect("an echo");
        let place = (data.service_id, data.connection_id);
        heard.entry(place).or_default().extend(&data.payload);
    }
    let said = |service: &str, connection| {
        let bytes = heard.get(&(service.to_owned(), connection));
        String::from_utf8_lossy(bytes.expect("a place that was heard")).into_owned()
    };
    assert_eq!(said("robot1", 1), "one-one again");
    assert_eq!(said("robot1", 2), "one-two ");
    assert_eq!(said("robot2", 4), "two-four again");
    assert_eq!(targets.each_ref().map(|t| t.connections().len()), [2, 1]);
    stage.end();
}

#[tokio::test]
async fn fragments_with_a_ping_in_between() {
    let fragments = Some(Fragments {
        size: 1_000,
        ping_between: true,
    });
    let stage = travels(300_000, 20_000, |s| s.fragments = fragments).await;
    let answered = |event: &Event| matches!(event, Event::Pong { payload, .. } if payload == b"between fragments");
    let pong = stage.tunnel.wait_event(answered, LIMIT).await;
    pong.expect("a pong with the payload of the ping");
    stage.end();
}

#[tokio::test]
async fn pings_are_answered_with_their_payload() {
    let (stage, mut raw, _targets) = two_robots().await;
    for payload in [&b""[..], b"are you there?", &[0x5a; 125]] {
        stage.tunnel.destination.ping(payload).expect("there");
        let answered = |event: &Event| matches!(event, Event::Pong { from: Mode::Destination, payload: p, .. } if p == payload);
        let pong = stage.tunnel.wait_event(answered, LIMIT).await;
        pong.expect("a pong");
    }
    start(&mut raw, 1, "robot1", 1).await;
    stage.end();
}

/// Does something to a tunnel with a live stream that costs it the WebSocket: the controller gets FIN and what
/// was sent before, the source a reset, and after the agent has come back everything works again.
async fn costs_the_websocket(what: &str, act: impl FnOnce(&Stage)) -> Event {
    let (stage, mut raw, targets) = two_robots().await;
    start(&mut raw, 1, "robot1", 1).await;
    start(&mut raw, 1, "robot2", 1).await;
    let mark = stage.tunnel.mark();
    act(&stage);
    let closed = |event: &Event| event.is_closed(Mode::Destination);
    let closed = stage.tunnel.wait_event_after(mark, closed, LIMIT).await;
    let (closed, _) = closed.unwrap_or_else(|why| panic!("{what}: {why}"));
    for target in &targets {
        let record = target.wait_ended(0, LIMIT).await.expect("an end");
        assert!(record.ended_by_fin(), "{what}: {record:?}");
    }
    let again = stage.connected_after(mark).await;
    let first = stage
        .tunnel
        .wait_event(|e| e.is_connected(Mode::Destination), LIMIT);
    assert_eq!(
        client_token(&first.await.expect("it was connected")),
        client_token(&again),
        "{what}: the same client token"
    );
    // The service resets what was lost.
    let reset = raw.expect(|m| *m == Message::stream_reset(1, "robot1"), LIMIT);
    reset.await.unwrap_or_else(|why| panic!("{what}: {why}"));
    stage
        .agent
        .wait_line(|line| line.contains("WebSocket lost"), LIMIT)
        .await
        .expect("the log says so");
    raw.send(Message::stream_start(2, "robot1", 1))
        .await
        .expect("connected");
    let data = Message::data(2, "robot1", 1, "back");
    raw.send(data).await.expect("connected");
    let echoed = raw.expect(|m| is(Kind::Data)(m) && m.stream_id == 2, LIMIT);
    assert_eq!(echoed.await.expect("an echo").payload, "back");
    stage.end();
    closed
}

fn client_token(event: &Event) -> String {
    let Event::Connected {
        client_token: Some(token),
        ..
    } = event
    else {
        panic!("no client token in {event:?}");
    };
    token.clone()
}

#[tokio::test]
async fn a_text_message_closes_the_websocket() {
    let closed = costs_the_websocket("text", |stage| {
        stage.tunnel.destination.text("hello").expect("there");
    });
    let closed = closed.await;
    let by_agent = |event: &Event| {
        matches!(
            event,
            Event::Closed {
                ending: Ending::Client { .. } | Ending::AbruptEnd,
                ..
            }
        )
    };
    assert!(by_agent(&closed), "{closed:?}");
}

#[tokio::test]
async fn a_close_by_the_service_is_answered() {
    for code in [1000, 1001, 1008] {
        let closed = costs_the_websocket("close", |stage| {
            let sent = stage.tunnel.destination.close(code, "for a test");
            sent.expect("there");
        });
        // RFC 6455, 5.5.1: who receives a close must send one.
        let Event::Closed { ending, .. } = closed.await else {
            panic!("it waits for nothing else");
        };
        let answered = true;
        assert_eq!(ending, Ending::Service { code, answered });
    }
}

#[tokio::test]
async fn a_message_too_large_closes_the_websocket() {
    costs_the_websocket("one frame", |stage| {
        let message = websocket_frame(Opcode::Binary, true, &[0; MAX_WEBSOCKET_MESSAGE + 1]);
        stage
            .tunnel
            .destination
            .send_socket_bytes(message)
            .expect("there");
    })
    .await;
    costs_the_websocket("fragments", |stage| {
        let half = vec![0; MAX_WEBSOCKET_MESSAGE / 2 + 1];
        let begin = websocket_frame(Opcode::Binary, false, &half);
        let end = websocket_frame(Opcode::Continuation, true, &half);
        let message = [begin, end].concat();
        stage
            .tunnel
            .destination
            .send_socket_bytes(message)
            .expect("there");
    })
    .await;
}

#[tokio::test]
async fn bytes_that_do_not_parse_close_the_websocket() {
    for garbage in [
        &b"\x00\x03\xff\xff\xff"[..],
        b"\x00\x02\x22\x7f",
        b"GET / HTTP/1.1\r\n\r\nGET / HTTP/1.1\r\n\r\n and as much as the length asks for",
    ] {
        let mut garbage = garbage.to_vec();
        if garbage.len() > 60 {
            // "GE" is the length of a frame of 18,245 bytes.
            garbage.resize(18_245 + 2, b'.');
        }
        costs_the_websocket("garbage", |stage| {
            stage.tunnel.destination.send_bytes(garbage).expect("there");
        })
        .await;
    }
}

#[tokio::test]
async fn bytes_that_are_no_websocket_close_it() {
    costs_the_websocket("no WebSocket", |stage| {
        // A reserved opcode.
        let frame = vec![0x83, 0x01, 0x00];
        stage
            .tunnel
            .destination
            .send_socket_bytes(frame)
            .expect("there");
    })
    .await;
    costs_the_websocket("a masked frame", |stage| {
        let frame = vec![0x82, 0x81, 1, 2, 3, 4, 5];
        stage
            .tunnel
            .destination
            .send_socket_bytes(frame)
            .expect("there");
    })
    .await;
}

#[tokio::test]
async fn what_was_sent_before_garbage_arrives() {
    let (stage, mut raw, target) = one_robot(cell::target::Behaviour::Sink).await;
    raw.send(Message::stream_start(1, "robot1", 1))
        .await
        .expect("connected");
    target.wait_open(0, LIMIT).await.expect("a connection");
    let words = pattern(5, 50_000);
    let mut message = Message::data(1, "robot1", 1, words.clone())
        .frame()
        .to_vec();
    message.extend_from_slice(b"\x00\x03\xff\xff\xff");
    stage.tunnel.destination.send_bytes(message).expect("there");
    let record = target.wait_ended(0, LIMIT).await.expect("an end");
    assert_eq!(record.sha256, cell::pattern::sha256(&words));
    assert!(record.ended_by_fin(), "{record:?}");
    stage.end();
}

/// A round trip after a frame whose two bytes of length lie in two messages.
#[tokio::test]
async fn a_length_cut_in_two() {
    let (stage, mut raw, _target): (_, _, Target) = one_robot(cell::target::Behaviour::Echo).await;
    start(&mut raw, 1, "robot1", 1).await;
    let frame = Message::data(1, "robot1", 1, "half").frame();
    let (one, rest) = frame.split_at(1);
    for part in [one, rest] {
        stage
            .tunnel
            .destination
            .send_bytes(part.to_vec())
            .expect("there");
        // A ping between, so that the two can not be taken for one.
        stage.tunnel.destination.ping(part).expect("there");
        let answered =
            |event: &Event| matches!(event, Event::Pong { payload, .. } if payload == part);
        let pong = stage.tunnel.wait_event(answered, LIMIT).await;
        pong.expect("a pong");
    }
    let data = Message::data(1, "robot1", 1, "");
    assert_eq!(receive(&mut raw, &data, 4).await, b"half");
    round_trip(&mut raw, 1, "robot1", 1).await;
    stage.end();
}
