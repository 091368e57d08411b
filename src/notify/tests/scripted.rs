//! A broker of bytes, over a pipe, with a virtual clock: every end has its reason, and every wait its end.

use std::rc::Rc;
use std::time::Instant;

use proptest::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::sync::mpsc;

use super::*;
use crate::limits::{MQTT_PACKET_MAX, MQTT_PONG_LIMIT, MQTT_STAGE_LIMIT, MQTT_TAKEN_MAX};
use crate::notify::board::Board;
use crate::notify::ended::Ended;
use crate::notify::inbox::Inbox;
use crate::notify::session::hold;
use crate::notify::topic_of;
use crate::protocol::notification::Notification;
use crate::supervise::heartbeat::Heartbeat;

const CONNACK: &[u8] = &[0x20, 3, 0, 0, 0];
const SUBACK: &[u8] = &[0x90, 4, 0, 1, 0, 1];
const PINGRESP: &[u8] = &[0xd0, 0];

/// A PUBLISH of QoS 1.
fn publish(topic: &str, id: u16, payload: &[u8]) -> Vec<u8> {
    let mut rest = Vec::new();
    rest.extend(u16::try_from(topic.len()).expect("short").to_be_bytes());
    rest.extend(topic.as_bytes());
    rest.extend(id.to_be_bytes());
    rest.push(0);
    rest.extend(payload);
    let mut packet = vec![0x32];
    let mut len = rest.len();
    while len >= 128 {
        packet.push(u8::try_from(len & 0x7f).expect("7 bits") | 0x80);
        len >>= 7;
    }
    packet.push(u8::try_from(len).expect("7 bits"));
    packet.extend(rest);
    packet
}

/// The next packet of the client: its type, and what follows.
async fn packet(stream: &mut DuplexStream) -> (u8, Vec<u8>) {
    let kind = stream.read_u8().await.expect("a packet");
    let mut len = 0;
    for shift in [0, 7, 14] {
        let byte = stream.read_u8().await.expect("a length");
        len |= usize::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            break;
        }
    }
    let mut body = vec![0; len];
    stream.read_exact(&mut body).await.expect("a body");
    (kind >> 4, body)
}

struct Run {
    ended: Ended,
    board: Rc<Board>,
    taken: Vec<Notification>,
}

/// Runs a session against `broker`, until it is over.
async fn against<F: Future<Output = ()>>(broker: impl FnOnce(DuplexStream) -> F) -> Run {
    capture();
    let (ours, theirs) = duplex(1 << 20);
    let (arrivals, mut taken) = mpsc::channel(8);
    let board = Rc::new(Board::new(Instant::now()));
    let mut inbox = Inbox::new(
        topic_of("cell-1"),
        arrivals,
        Rc::clone(&board),
        Heartbeat::new().watch("test"),
    );
    let tell = |_| {};
    let mut all = Vec::new();
    let take = async {
        while let Some(told) = taken.recv().await {
            told.receipt.give();
            all.push(told.notification);
        }
    };
    let session = Box::pin(hold(ours, "cell-1", false, &mut inbox, &tell));
    let both = async { tokio::join!(session, broker(theirs)) };
    let (ended, ()) = tokio::select! {
        done = both => done,
        () = take => panic!("the session has the other end"),
    };
    Run {
        ended,
        board,
        taken: all,
    }
}

/// Lets it log in and subscribe.
async fn welcome(stream: &mut DuplexStream) {
    let (kind, connect) = packet(stream).await;
    assert_eq!(kind, 1);
    assert_eq!(&connect[..7], b"\0\x04MQTT\x05", "MQTT 5");
    assert_eq!(connect[7], 0, "no clean start, no will, no password");
    assert!(
        connect.ends_with(b"\0\x06cell-1"),
        "the thing is the client ID"
    );
    stream.write_all(CONNACK).await.expect("open");
    let (kind, subscribe) = packet(stream).await;
    assert_eq!(kind, 8);
    assert!(
        subscribe.ends_with(b"$aws/things/cell-1/tunnels/notify\x21"),
        "QoS 1, no retained ones"
    );
    stream.write_all(SUBACK).await.expect("open");
}

#[tokio::test]
async fn messages_are_taken_or_have_one_line_and_all_are_acknowledged() {
    let topic = topic_of("cell-1");
    let mode = payload(TOKEN).replace("destination", "source");
    let broken = &payload(TOKEN).into_bytes()[..40];
    let messages: Vec<(&str, Vec<u8>, &str)> = vec![
        (&topic, payload(TOKEN).into_bytes(), ""),
        (&topic, mode.into_bytes(), "clientMode is \"source\""),
        (&topic, broken.to_vec(), "not JSON"),
        (&topic, Vec::new(), "not JSON"),
        (&topic, vec![0xff; 64], "UTF-8"),
        (
            "$aws/things/other/tunnels/notify",
            payload(TOKEN).into_bytes(),
            "things/other",
        ),
        (
            &topic,
            vec![b' '; MQTT_TAKEN_MAX - 200],
            "bytes, expected at most",
        ),
        (&topic, vec![b'S'; 128 * 1024], "131110 bytes"),
        (&topic, payload(TOKEN).into_bytes(), ""),
    ];
    let run = against(|mut stream| async move {
        welcome(&mut stream).await;
        for (id, (topic, payload, _)) in (1u16..).zip(&messages) {
            stream
                .write_all(&publish(topic, id, payload))
                .await
                .expect("open");
            let (kind, body) = packet(&mut stream).await;
            assert_eq!(
                (kind, &body[..2]),
                (4, &id.to_be_bytes()[..]),
                "PUBACK of {id}"
            );
        }
    })
    .await;
    assert_eq!(run.taken.len(), 2);
    assert_eq!(run.taken[0].access_token.expose(), TOKEN);
    assert_eq!((run.board.taken(), run.board.refused()), (2, 7));
    let said = lines("refused");
    assert_eq!(said.len(), 7, "{said:#?}");
    for part in [
        "\"source\"",
        "not JSON",
        "UTF-8",
        "things/other",
        "12088 bytes",
        "131110 bytes",
    ] {
        assert!(
            said.iter().any(|line| line.contains(part)),
            "{part}: {said:#?}"
        );
    }
    assert!(matches!(run.ended, Ended::Closed(_)), "{}", run.ended);
}

#[tokio::test]
async fn a_flood_has_ten_lines() {
    let run = against(|mut stream| async move {
        welcome(&mut stream).await;
        for id in 1..=200 {
            let packet_of = publish(&topic_of("cell-1"), id, b"{}");
            stream.write_all(&packet_of).await.expect("open");
            packet(&mut stream).await;
        }
    })
    .await;
    assert_eq!(run.board.refused(), 200);
    assert_eq!(lines("refused").len(), 10);
}

#[tokio::test]
async fn what_the_broker_says_no_to_is_told() {
    for (reply, parts) in [
        (
            &[0x20u8, 3, 0, 0x87, 0][..],
            ["refused the login", "not authorized (0x87)", "iot:Connect"],
        ),
        (
            &[0x20, 3, 0, 0x85, 0],
            ["refused the login", "client identifier", "`thing`"],
        ),
        (
            &[0x20, 3, 0, 0x84, 0],
            ["refused the login", "MQTT 5", "endpoint"],
        ),
        // A broker of MQTT 3.1.1 alone: no properties, "unacceptable protocol version".
        (&[0x20, 2, 0, 1], ["broke the rules", "MQTT 5", "endpoint"]),
        (
            b"HTTP/1.1 400 Bad Request\r\n\r\n",
            ["broke the rules", "MQTT 5", "endpoint"],
        ),
        (
            &[],
            [
                "closed the connection in the login",
                "certificate active",
                "iot:Connect",
            ],
        ),
    ] {
        let run = against(|mut stream| async move {
            packet(&mut stream).await;
            stream.write_all(reply).await.expect("open");
        })
        .await;
        let said = run.ended.to_string();
        for part in parts {
            assert!(said.contains(part), "{said:?} lacks {part:?}");
        }
    }
    let run = against(|mut stream| async move {
        packet(&mut stream).await;
        stream.write_all(CONNACK).await.expect("open");
        packet(&mut stream).await;
        stream
            .write_all(&[0x90, 4, 0, 1, 0, 0x87])
            .await
            .expect("open");
        let (kind, body) = packet(&mut stream).await;
        assert_eq!(
            (kind, body.as_slice()),
            (14, &[0, 0][..]),
            "DISCONNECT in order"
        );
    })
    .await;
    assert!(matches!(run.ended, Ended::Subscription(_)), "{}", run.ended);
    let taken_over = against(|mut stream| async move {
        welcome(&mut stream).await;
        stream.write_all(&[0xe0, 2, 0x8e, 0]).await.expect("open");
    })
    .await;
    assert!(
        taken_over
            .ended
            .to_string()
            .contains("another client came with the same client ID")
    );
}

#[tokio::test(start_paused = true)]
async fn every_stage_has_its_end() {
    for stage in 0..4 {
        let began = tokio::time::Instant::now();
        let run = against(|mut stream| async move {
            match stage {
                0 => {}
                1 => stream.write_all(CONNACK).await.expect("open"),
                2 => {
                    welcome(&mut stream).await;
                    // Half a message.
                    stream.write_all(&[0x32, 100, 0, 9]).await.expect("open");
                }
                _ => {
                    welcome(&mut stream).await;
                    assert_eq!(packet(&mut stream).await.0, 12, "PINGREQ");
                    stream.write_all(PINGRESP).await.expect("open");
                    assert_eq!(packet(&mut stream).await.0, 12, "PINGREQ");
                }
            }
            let mut rest = Vec::new();
            let _ = stream.read_to_end(&mut rest).await;
        })
        .await;
        let (ended, after) = (run.ended.to_string(), began.elapsed());
        match stage {
            0 => assert!(
                ended.contains("the login did not end") && after == MQTT_STAGE_LIMIT,
                "{ended}"
            ),
            1 => assert!(ended.contains("the subscription did not end"), "{ended}"),
            2 => assert!(ended.contains("a packet did not end"), "{ended}"),
            _ => assert!(
                ended.contains("no answer to a ping") && after > MQTT_PONG_LIMIT,
                "{ended}"
            ),
        }
    }
}

#[tokio::test]
async fn more_than_was_agreed_ends_it_in_order() {
    let run = against(|mut stream| async move {
        welcome(&mut stream).await;
        let len = MQTT_PACKET_MAX + 1;
        let byte = |shift: u32| u8::try_from(len >> shift & 0x7f).expect("7 bits");
        stream
            .write_all(&[0x32, byte(0) | 0x80, byte(7) | 0x80, byte(14)])
            .await
            .expect("open");
        let (kind, body) = packet(&mut stream).await;
        assert_eq!((kind, body[0]), (14, 0x95), "DISCONNECT, packet too large");
    })
    .await;
    assert!(run.ended.spoils_session(), "{}", run.ended);
    // Memory that no packet may take: an answer to the login with texts of 60 KiB.
    let run = against(|mut stream| async move {
        packet(&mut stream).await;
        let text = vec![b'x'; 60_000];
        let mut reply = vec![0, 0, 0xe3, 0xd4, 3, 0x1f, 0xea, 0x60];
        reply.extend(&text);
        stream
            .write_all(&[0x20, 0xe8, 0xd4, 3])
            .await
            .expect("open");
        stream.write_all(&reply).await.expect("open");
    })
    .await;
    assert!(matches!(run.ended, Ended::Rules), "{}", run.ended);
}

#[tokio::test(start_paused = true)]
async fn a_length_beyond_the_end_of_its_packet_ends_the_connection() {
    // SUBACK whose user property is longer than the packet; what follows must not be read as a part of it.
    let run = against(|mut stream| async move {
        welcome(&mut stream).await;
        let mut bytes = vec![0x90, 9, 0, 1, 1, 38, 0xff, 0xff, 0, 0, 0];
        bytes.extend(std::iter::repeat_n(0xd0, 100));
        stream.write_all(&bytes).await.expect("open");
    })
    .await;
    let said = run.ended.to_string();
    assert!(said.contains("longer inside than it says"), "{said}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    #[test]
    fn no_bytes_of_a_broker_panic(
        welcomed in any::<bool>(),
        kind in prop_oneof![Just(0x20u8), Just(0x30), Just(0x32), Just(0x34), Just(0x40), Just(0x50), Just(0x62), Just(0x70), Just(0x90), Just(0xb0), Just(0xd0), Just(0xe0), Just(0xf0), any::<u8>()],
        len in any::<Option<u8>>(),
        bytes in proptest::collection::vec(any::<u8>(), 0..100),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().expect("one");
        runtime.block_on(against(|mut stream| async move {
            if welcomed {
                welcome(&mut stream).await;
            } else {
                packet(&mut stream).await;
            }
            let len = len.unwrap_or(u8::try_from(bytes.len()).expect("100"));
            stream.write_all(&[kind, len & 0x7f]).await.expect("open");
            let _ = stream.write_all(&bytes).await;
        }));
    }
}
