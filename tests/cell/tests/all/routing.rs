//! What goes through a tunnel, and what ends it.

use cell::service::{Ending, Event, Kill};
use cell::source::RecvError;
use cell::wire::{Kind, MAX_PAYLOAD, MAX_WEBSOCKET_MESSAGE, Message, Mode, Violation};
use tokio_tungstenite::tungstenite;

use crate::{LIMIT, SERVICES, client, pair, pair_with_stream, service};

#[tokio::test]
async fn messages_pass_both_ways_as_they_are() {
    let service = service().await;
    let (tunnel, mut source, mut destination) = pair_with_stream(&service).await;
    let down = [
        Message::stream_start(-5, "robot2", 0),
        Message::data(-5, "robot2", 0, "early"),
        Message::connection_start(1, "robot1", 2),
        Message::data(1, "robot1", 2, vec![1; MAX_PAYLOAD]),
    ];
    source.send_many(&down).await.expect("connected");
    for message in down {
        assert_eq!(destination.recv(LIMIT).await, Ok(message));
    }
    // They came together, so they went on together.
    assert_eq!(destination.sizes().len(), 3);
    let up = Message::data(1, "robot1", 2, "answer");
    for byte in up.frame() {
        destination.send_raw(vec![byte]).await.expect("connected");
    }
    assert_eq!(source.recv(LIMIT).await, Ok(up));
    assert_eq!(tunnel.violations(), []);
    assert_eq!(tunnel.destination.traffic().largest, 1);
}

#[tokio::test]
async fn tunnels_do_not_mix() {
    let service = service().await;
    let (_, mut first_source, _first) = pair(&service).await;
    let (_, mut second_source, mut second) = pair(&service).await;
    first_source
        .send(Message::stream_start(1, "robot1", 1))
        .await
        .expect("connected");
    second_source
        .send(Message::stream_start(2, "robot1", 1))
        .await
        .expect("connected");
    assert_eq!(
        second.recv(LIMIT).await.map(|message| message.stream_id),
        Ok(2)
    );
}

#[tokio::test]
async fn each_violation_closes_the_websocket() {
    let start = Message::stream_start(1, "robot1", 1);
    let cases: [(Vec<u8>, Violation); 8] = [
        (
            start.frame().to_vec(),
            Violation::OnlyFromSource(Kind::StreamStart),
        ),
        (
            Message::session_reset().frame().to_vec(),
            Violation::OnlyFromService(Kind::SessionReset),
        ),
        (
            Message::data(0, "robot1", 1, "x").frame().to_vec(),
            Violation::ZeroStream(Kind::Data),
        ),
        (
            Message::data(1, "robot3", 1, "x").frame().to_vec(),
            Violation::UndeclaredService("robot3".to_owned()),
        ),
        (
            Message::data(1, "robot2", 1, "x").frame().to_vec(),
            Violation::ServiceNotStarted("robot2".to_owned()),
        ),
        (
            Message::data(1, "robot1", 1, vec![0; MAX_PAYLOAD + 1])
                .frame()
                .to_vec(),
            Violation::PayloadTooLarge(MAX_PAYLOAD + 1),
        ),
        (
            vec![0, 6, 0x08, 1, 0x10, 1, 0x40, 1],
            Violation::UnknownField(8),
        ),
        (vec![0, 0], Violation::UnknownType(0)),
    ];
    let service = service().await;
    for (bytes, violation) in cases {
        let (tunnel, _source, mut destination) = pair_with_stream(&service).await;
        destination.send_raw(bytes).await.expect("connected");
        let expected = Event::Violation {
            tunnel: tunnel.id,
            mode: Mode::Destination,
            what: violation,
        };
        tunnel
            .wait_event(|event| *event == expected, LIMIT)
            .await
            .expect("the violation");
        let over = destination.recv_end(LIMIT).await.expect("it is closed");
        assert!(matches!(over, RecvError::Closed(Some(1008), _)), "{over:?}");
        let closed = |event: &Event| {
            matches!(
                event,
                Event::Closed {
                    ending: Ending::Service {
                        code: 1008,
                        answered: true
                    },
                    ..
                }
            )
        };
        tunnel
            .wait_event(closed, LIMIT)
            .await
            .expect("the close was answered");
    }
}

#[tokio::test]
async fn what_was_sent_before_a_violation_arrives() {
    let service = service().await;
    let (_tunnel, mut source, mut destination) = pair_with_stream(&service).await;
    let last = Message::data(1, "robot1", 1, "last words");
    destination
        .send_many(&[last.clone(), Message::session_reset()])
        .await
        .expect("connected");
    assert_eq!(source.recv(LIMIT).await, Ok(last));
    assert_eq!(
        source.recv(LIMIT).await,
        Ok(Message::stream_reset(1, "robot1"))
    );
}

#[tokio::test]
async fn violations_below_the_tunnel_have_their_own_codes() {
    let service = service().await;
    let cases = [
        (tungstenite::Message::Text("hello".into()), 1003),
        (
            tungstenite::Message::Binary(vec![0; MAX_WEBSOCKET_MESSAGE + 1].into()),
            1009,
        ),
    ];
    for (message, code) in cases {
        let (tunnel, _source, mut destination) = pair_with_stream(&service).await;
        destination
            .send_websocket(message)
            .await
            .expect("connected");
        let over = destination.recv_end(LIMIT).await.expect("it is closed");
        assert!(
            matches!(over, RecvError::Closed(Some(was), _) if was == code),
            "{over:?}"
        );
        assert_eq!(tunnel.violations().len(), 1);
    }
}

#[tokio::test]
async fn the_other_side_is_told_by_resets() {
    let service = service().await;
    let (tunnel, mut source, destination) = pair_with_stream(&service).await;
    source
        .send(Message::stream_start(7, "robot2", 1))
        .await
        .expect("connected");
    tunnel
        .wait_event(
            |event| matches!(event, Event::Message { stream: 7, .. }),
            LIMIT,
        )
        .await
        .expect("the start");
    destination.close(LIMIT).await.expect("an orderly close");
    let ended = |event: &Event| {
        matches!(
            event,
            Event::Closed {
                mode: Mode::Destination,
                ending: Ending::Client {
                    code: Some(1000),
                    ..
                },
                ..
            }
        )
    };
    tunnel
        .wait_event(ended, LIMIT)
        .await
        .expect("closed by the client");
    assert_eq!(
        source.recv(LIMIT).await,
        Ok(Message::stream_reset(1, "robot1"))
    );
    assert_eq!(
        source.recv(LIMIT).await,
        Ok(Message::stream_reset(7, "robot2"))
    );
}

#[tokio::test]
async fn a_second_connection_replaces_the_first() {
    let service = service().await;
    let tunnel = service.open_tunnel(&SERVICES);
    let options = crate::options(&service, &tunnel, Mode::Destination);
    let connect = || cell::source::RawSource::connect_as(Mode::Destination, options.clone());
    let mut first = connect().await.expect("let in");
    let mut second = connect().await.expect("let in again");
    let over = first.recv_end(LIMIT).await.expect("replaced");
    assert!(matches!(over, RecvError::Closed(Some(1000), _)), "{over:?}");
    assert_eq!(
        second.recv(LIMIT).await,
        Ok(Message::service_ids(&SERVICES))
    );
    let ended = |event: &Event| event.is_closed(Mode::Destination);
    tunnel
        .wait_event(ended, LIMIT)
        .await
        .expect("the first ended");
    assert!(tunnel.destination.is_connected(), "the second sits there");
    tunnel.destination.session_reset().expect("connected");
    assert_eq!(second.recv(LIMIT).await, Ok(Message::session_reset()));
    assert_eq!(tunnel.destination.traffic().connections, 2);
}

#[tokio::test]
async fn abrupt_ends_are_told_apart() {
    let service = service().await;
    let (tunnel, _source, destination) = pair(&service).await;
    drop(destination);
    let ended = |event: &Event| {
        matches!(
            event,
            Event::Closed {
                ending: Ending::AbruptEnd | Ending::AbruptError(_),
                ..
            }
        )
    };
    tunnel
        .wait_event(ended, LIMIT)
        .await
        .expect("an abrupt end");

    for (kill, words) in [(Kill::Reset, "reset"), (Kill::Fin, "eof")] {
        let (tunnel, _source, mut destination) = pair(&service).await;
        tunnel.destination.kill(kill).expect("connected");
        match destination.recv_end(LIMIT).await {
            Ok(RecvError::Lost(error)) => {
                assert!(error.to_lowercase().contains(words), "{kill:?}: {error}")
            }
            other => panic!("{kill:?}: {other:?}"),
        }
        let killed = |event: &Event| {
            matches!(
                event,
                Event::Closed {
                    ending: Ending::Killed,
                    ..
                }
            )
        };
        drop(destination);
        tunnel.wait_event(killed, LIMIT).await.expect("killed");
    }
}

#[tokio::test]
async fn pings_are_answered_and_recorded_both_ways() {
    let service = service().await;
    let (tunnel, _source, mut destination) = pair(&service).await;
    tunnel
        .destination
        .ping(b"from the service")
        .expect("connected");
    destination
        .send_websocket(tungstenite::Message::Ping("from the client".into()))
        .await
        .expect("connected");
    // Reading answers the ping.
    tunnel.destination.session_reset().expect("connected");
    destination.recv(LIMIT).await.expect("a message");
    let pong = |event: &Event| matches!(event, Event::Pong { payload, .. } if payload == b"from the service");
    let ping = |event: &Event| matches!(event, Event::Ping { payload, .. } if payload == b"from the client");
    tunnel.wait_event(pong, LIMIT).await.expect("a pong");
    tunnel.wait_event(ping, LIMIT).await.expect("a ping");
}

#[tokio::test]
async fn a_closed_tunnel_closes_both_sides() {
    let service = service().await;
    let (tunnel, mut source, mut destination) = pair(&service).await;
    tunnel.close();
    for side in [&mut source, &mut destination] {
        let over = side.recv_end(LIMIT).await.expect("closed");
        assert_eq!(
            over,
            RecvError::Closed(Some(1000), "Tunnel is closed".to_owned())
        );
    }
}

#[tokio::test]
async fn without_the_other_side_messages_are_marked_undelivered() {
    let service = service().await;
    let tunnel = service.open_tunnel(&SERVICES);
    let mut source = client(&service, &tunnel, Mode::Source).await;
    source
        .send(Message::stream_start(3, "robot1", 1))
        .await
        .expect("connected");
    let lost = |event: &Event| {
        matches!(
            event,
            Event::Message {
                stream: 3,
                delivered: false,
                ..
            }
        )
    };
    tunnel.wait_event(lost, LIMIT).await.expect("recorded");
    // Who comes now finds the streams of before gone, and the source learns it.
    let _destination = client(&service, &tunnel, Mode::Destination).await;
    assert_eq!(
        source.recv(LIMIT).await,
        Ok(Message::stream_reset(3, "robot1"))
    );
}
