//! The faults that can be turned on do what they say, and nothing else.

use std::time::Duration;

use cell::pattern::pattern;
use cell::service::{Event, Fragments, Glue, Service, Switches};
use cell::source::{RawSource, RecvError};
use cell::wire::{MAX_WEBSOCKET_MESSAGE, Message, Mode};
use tokio::time::Instant;
use tokio_tungstenite::tungstenite;

use crate::{LIMIT, SERVICES, pair, pair_with_stream, service};

/// Sends `total` bytes down in payloads of `piece`, and checks that they arrive. Gives the sizes of the WebSocket
/// messages in which they did.
async fn transfer(
    service: &Service,
    turn: impl FnOnce(&mut Switches),
    total: usize,
    piece: usize,
) -> Vec<usize> {
    let (tunnel, mut source, mut destination) = pair_with_stream(service).await;
    tunnel.destination.switch(turn);
    let before = destination.sizes().len();
    let bytes = pattern(3, total);
    let expected = bytes.clone();
    let send = async move {
        for piece in bytes.chunks(piece) {
            let data = Message::data(1, "robot1", 1, piece.to_vec());
            source.send(data).await.expect("connected");
        }
        source
    };
    let receive = async {
        let mut received = Vec::new();
        while received.len() < total {
            received.extend_from_slice(&destination.recv(LIMIT).await.expect("data").payload);
        }
        received
    };
    let (_source, received) = tokio::join!(send, receive);
    assert!(received == expected, "the bytes differ");
    destination.sizes()[before..].to_vec()
}

#[tokio::test]
async fn cut_messages_are_small() {
    let service = service().await;
    for cut in [1, 2, 3, 1_000] {
        let sizes = transfer(&service, |switches| switches.cut = Some(cut), 20_000, 5_000).await;
        assert_eq!(sizes.iter().max(), Some(&cut), "cut to {cut}");
    }
}

#[tokio::test]
async fn glued_messages_are_few_and_never_too_large() {
    let service = service().await;
    let hold = Duration::from_millis(300);
    let sizes = transfer(
        &service,
        |switches| switches.glue = Some(Glue { hold }),
        400_000,
        1_000,
    )
    .await;
    let largest = sizes.iter().max().copied().unwrap_or_default();
    assert!(largest <= MAX_WEBSOCKET_MESSAGE, "{sizes:?}");
    assert!(
        largest > MAX_WEBSOCKET_MESSAGE - 1_100,
        "the first messages waited for more: {sizes:?}"
    );
}

#[tokio::test]
async fn fragments_are_one_message() {
    let service = service().await;
    let fragments = Some(Fragments {
        size: 100,
        ping_between: true,
    });
    let sizes = transfer(
        &service,
        |switches| switches.fragments = fragments,
        20_000,
        5_000,
    )
    .await;
    assert_eq!(sizes.len(), 4, "{sizes:?}");
}

#[tokio::test]
async fn delay_adds_latency_and_does_not_serialise() {
    let service = service().await;
    let (tunnel, mut source, mut destination) = pair_with_stream(&service).await;
    let delay = Duration::from_millis(150);
    tunnel.destination.switch(|switches| switches.delay = delay);
    let start = Instant::now();
    for number in 0..50_u8 {
        source
            .send(Message::data(1, "robot1", 1, vec![number]))
            .await
            .expect("connected");
    }
    for number in 0..50_u8 {
        let message = destination.recv(LIMIT).await.expect("data");
        assert_eq!(message.payload.as_ref(), [number]);
        assert!(
            start.elapsed() >= delay,
            "message {number} came after {:?}",
            start.elapsed()
        );
    }
    assert!(
        start.elapsed() < delay * 20,
        "50 messages took {:?}",
        start.elapsed()
    );
    // There and back.
    let start = Instant::now();
    source
        .send(Message::data(1, "robot1", 1, "?"))
        .await
        .expect("connected");
    destination.recv(LIMIT).await.expect("data");
    destination
        .send(Message::data(1, "robot1", 1, "!"))
        .await
        .expect("connected");
    source.recv(LIMIT).await.expect("the answer");
    assert!(start.elapsed() >= delay * 2, "{:?}", start.elapsed());
}

#[tokio::test]
async fn bandwidth_is_kept_each_way() {
    let service = service().await;
    let start = Instant::now();
    transfer(
        &service,
        |switches| switches.bandwidth = Some(100_000),
        50_000,
        1_000,
    )
    .await;
    assert!(
        start.elapsed() >= Duration::from_millis(490),
        "{:?}",
        start.elapsed()
    );
    assert!(
        start.elapsed() < Duration::from_secs(3),
        "{:?}",
        start.elapsed()
    );

    let (tunnel, mut source, mut destination) = pair_with_stream(&service).await;
    tunnel
        .destination
        .switch(|switches| switches.bandwidth = Some(100_000));
    let start = Instant::now();
    destination
        .send(Message::data(1, "robot1", 1, vec![0; 50_000]))
        .await
        .expect("connected");
    source.recv(LIMIT).await.expect("data");
    assert!(
        start.elapsed() >= Duration::from_millis(490),
        "{:?}",
        start.elapsed()
    );
}

/// Sends a ping and a message up, and a message down; none of them may get through.
async fn is_silent(
    tunnel: &cell::service::Tunnel,
    source: &mut RawSource,
    destination: &mut RawSource,
) {
    let mark = tunnel.mark();
    let ping = tungstenite::Message::Ping("anybody there".into());
    destination.send_websocket(ping).await.expect("TCP stays");
    let up = Message::data(1, "robot1", 1, "up");
    destination.send(up.clone()).await.expect("TCP stays");
    tunnel.destination.session_reset().expect("connected");
    let quiet = Duration::from_millis(200);
    let nothing = Err(RecvError::Timeout {
        instead: Vec::new(),
    });
    assert_eq!(destination.recv(quiet).await, nothing);
    assert_eq!(source.recv(quiet).await, nothing);
    let ping = |event: &Event| matches!(event, Event::Ping { .. });
    tunnel
        .wait_event_after(mark, ping, Duration::ZERO)
        .await
        .expect_err("a silent service hears nothing");
}

#[tokio::test]
async fn silence_holds_everything_until_it_ends() {
    let service = service().await;
    let (tunnel, mut source, mut destination) = pair_with_stream(&service).await;
    tunnel
        .destination
        .switch(|switches| switches.silence = true);
    is_silent(&tunnel, &mut source, &mut destination).await;
    tunnel
        .destination
        .switch(|switches| switches.silence = false);
    assert_eq!(destination.recv(LIMIT).await, Ok(Message::session_reset()));
    assert_eq!(
        source.recv(LIMIT).await.map(|message| message.payload),
        Ok("up".into())
    );
}

#[tokio::test]
async fn hush_silences_one_connection_only() {
    let service = service().await;
    let tunnel = service.open_tunnel(&SERVICES);
    let mut source = crate::client(&service, &tunnel, Mode::Source).await;
    let options = crate::options(&service, &tunnel, Mode::Destination);
    let connect = || RawSource::connect_as(Mode::Destination, options.clone());
    let mut first = connect().await.expect("let in");
    first.recv(LIMIT).await.expect("SERVICE_IDS");
    source
        .send(Message::stream_start(1, "robot1", 1))
        .await
        .expect("connected");
    first.recv(LIMIT).await.expect("the start");
    tunnel.destination.hush().expect("connected");
    is_silent(&tunnel, &mut source, &mut first).await;
    let mut second = connect().await.expect("let in");
    assert_eq!(
        second.recv(LIMIT).await,
        Ok(Message::service_ids(&SERVICES))
    );
    // The first is replaced; that it cannot be told does not keep it.
    let over = first.recv_end(LIMIT).await.expect("it is over");
    assert!(matches!(over, RecvError::Lost(_)), "{over:?}");
}

#[tokio::test]
async fn no_pong_withholds_only_the_pong() {
    let service = service().await;
    let (tunnel, mut source, mut destination) = pair_with_stream(&service).await;
    tunnel
        .destination
        .switch(|switches| switches.no_pong = true);
    destination
        .send_websocket(tungstenite::Message::Ping("?".into()))
        .await
        .expect("connected");
    let ping = |event: &Event| matches!(event, Event::Ping { .. });
    tunnel.wait_event(ping, LIMIT).await.expect("it is heard");
    source
        .send(Message::data(1, "robot1", 1, "x"))
        .await
        .expect("connected");
    destination.recv(LIMIT).await.expect("data still passes");
}

#[tokio::test]
async fn anything_can_be_sent_to_a_side() {
    let service = service().await;
    let (tunnel, _source, mut destination) = pair(&service).await;
    // Messages that no source could send.
    let odd = Message {
        r#type: 42,
        ignorable: true,
        ..Message::stream_reset(0, "robot9")
    };
    tunnel.destination.send(&odd).expect("connected");
    assert_eq!(destination.recv(LIMIT).await, Ok(odd));
    // A start of the test's own counts as one.
    tunnel
        .destination
        .send(&Message::stream_start(9, "robot2", 1))
        .expect("connected");
    destination.recv(LIMIT).await.expect("the start");
    destination
        .send(Message::data(9, "robot2", 1, "x"))
        .await
        .expect("connected");
    let heard = |event: &Event| {
        matches!(
            event,
            Event::Message {
                from: Mode::Destination,
                ..
            }
        )
    };
    tunnel.wait_event(heard, LIMIT).await.expect("no violation");
    tunnel
        .destination
        .send_bytes(&b"\x00\x02\xff\xff"[..])
        .expect("connected");
    let error = destination
        .recv(LIMIT)
        .await
        .expect_err("that is no message");
    assert!(matches!(error, RecvError::Unparsable(_)), "{error}");
    tunnel.destination.text("hello").expect("connected");
    tunnel
        .destination
        .close(1001, "going away")
        .expect("connected");
    let over = destination.recv_end(LIMIT).await.expect("closed");
    assert_eq!(over, RecvError::Closed(Some(1001), "going away".to_owned()));
}
