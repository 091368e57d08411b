//! `cellgate close`: which tunnel, and how it ends.

use cell::notification;
use cell::pattern::{pattern, sha256};
use cell::service::{Ending, Event, Protocol, Refusal};
use cell::source::{RawSource, SourceOptions};
use cell::target::{Behaviour, Target};
use cell::wire::{Kind, Message, Mode};
use serde_json::json;

use crate::REFUSED;
use crate::gateway::{Cell, START, dials, name};
use crate::stage::{LIMIT, is};

/// Two tunnels whose names begin alike, and one whose name begins otherwise; all connected.
async fn three(cell: &Cell) -> [cell::service::Tunnel; 3] {
    let first = cell.tunnel();
    let digit = name(&first).remove(0);
    let alike = |tunnel: &cell::service::Tunnel| name(tunnel).starts_with(digit);
    let find = |wanted: bool| std::iter::repeat_with(|| cell.tunnel()).find(|t| alike(t) == wanted);
    let second = find(true).expect("one in sixteen");
    let other = find(false).expect("fifteen in sixteen");
    for tunnel in [&first, &second, &other] {
        let ran = cell.open(&notification::payload(tunnel)).await;
        assert_eq!(ran.code, Some(0), "{ran:?}");
        cell.connected(tunnel).await;
    }
    [first, second, other]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_tunnel_is_named_as_far_as_it_must_be() {
    let cell = Cell::start().await;
    let ran = cell.run(&["close"], b"").await;
    assert_eq!((ran.code, ran.stdout.as_str()), (REFUSED, ""), "{ran:?}");
    assert!(ran.stderr.contains("there is no tunnel"), "{ran:?}");

    let [first, second, other] = three(&cell).await;
    let names = [name(&first), name(&second), name(&other)];
    // Which one is not said, or not clearly: both times nothing is closed, and those in question are listed.
    let ran = cell.run(&["close"], b"").await;
    assert_eq!(ran.code, REFUSED, "{ran:?}");
    for name in &names {
        assert!(ran.stderr.contains(name), "{ran:?}");
    }
    let ran = cell.run(&["close", &names[0][..1]], b"").await;
    assert_eq!(ran.code, REFUSED, "{ran:?}");
    assert!(
        ran.stderr.contains(&names[0]) && ran.stderr.contains(&names[1]),
        "{ran:?}"
    );
    assert!(!ran.stderr.contains(&names[2]), "{ran:?}");
    let nobody = (0..).map(|number| format!("{number:08x}"));
    let mut nobody = nobody.filter(|name| !names.contains(name));
    let nobody = nobody.next().expect("one of many");
    let ran = cell.run(&["close", &nobody], b"").await;
    assert_eq!(ran.code, REFUSED, "{ran:?}");
    assert!(
        ran.stderr.contains(&format!("there is no tunnel {nobody}")),
        "{ran:?}"
    );
    assert_eq!(cell.status().await["places"]["taken"], 3);

    // By its beginning, in capitals as well; and by its whole name.
    let ran = cell
        .run(&["close", &names[2][..1].to_uppercase()], b"")
        .await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!(ran.stdout, format!("tunnel {} is closed\n", names[2]));
    let ran = cell.run(&["close", &names[0]], b"").await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    cell.status_that(|status| status["places"]["taken"] == 1)
        .await;
    cell.carries(&second).await;
    let ran = cell.run(&["close"], b"").await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!(ran.stdout, format!("tunnel {} is closed\n", names[1]));
    cell.status_that(|status| status["places"]["taken"] == 0)
        .await;
    cell.end().await;
}

/// Resets to the source, every queued byte and FIN to the controller, WebSocket close; then nothing is left of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn its_streams_end_in_order_and_nothing_is_left() {
    const QUEUED: usize = 400_000;
    let slow = Behaviour::Slow {
        bytes: 10_000,
        every: std::time::Duration::from_millis(50),
    };
    let lively = Target::start(Behaviour::Echo).expect("a free port");
    let cell = Cell::with(
        slow,
        |file| file.route("robot2", lively.address(), ""),
        |agent| agent,
    )
    .await;
    let tunnel = cell.tunnel_of(&["robot1", "robot2"]);
    let ran = cell.open(&notification::payload(&tunnel)).await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    cell.connected(&tunnel).await;
    assert!(cell.gateway.rejoin().exists(), "no rejoin file");
    let options = SourceOptions::new(&cell.service, &tunnel, Protocol::V3);
    let mut source = RawSource::connect(options).await.expect("a source");
    let bytes = pattern(6, QUEUED);
    let start = Message::stream_start(3, "robot1", 1);
    source.send(start).await.expect("connected");
    for piece in bytes.chunks(50_000) {
        let data = Message::data(3, "robot1", 1, piece.to_vec());
        source.send(data).await.expect("connected");
    }
    let start = Message::stream_start(7, "robot2", 1);
    source.send(start).await.expect("connected");
    let data = Message::data(7, "robot2", 1, "are they there?");
    source.send(data).await.expect("connected");
    source
        .expect(is(Kind::Data), LIMIT)
        .await
        .expect("the echo of robot2: everything before it is at the agent");
    let received = cell.robot.connections()[0].received;
    assert!(received < QUEUED as u64, "nothing is queued");

    let ran = cell.run(&["close", &name(&tunnel)], b"").await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    // While it ends it can neither be closed once more nor be opened again.
    let ran = cell.run(&["close"], b"").await;
    assert_eq!(ran.code, REFUSED, "{ran:?}");
    let ran = cell.open(&notification::payload(&tunnel)).await;
    assert_eq!(ran.code, REFUSED, "{ran:?}");
    assert!(ran.stderr.contains("ends just now"), "{ran:?}");

    for _ in 0..2 {
        source
            .expect(is(Kind::StreamReset), LIMIT)
            .await
            .expect("the resets at the source");
    }
    let record = cell.robot.wait_ended(0, LIMIT).await.expect("it ends");
    assert!(record.ended_by_fin(), "{:?}", record.ended);
    assert_eq!(
        (record.received, record.sha256),
        (QUEUED as u64, sha256(&bytes))
    );
    let record = lively.wait_ended(0, LIMIT).await.expect("it ends");
    assert!(record.ended_by_fin(), "{:?}", record.ended);
    let closed = |event: &Event| event.is_closed(Mode::Destination);
    let closed = tunnel.wait_event(closed, LIMIT).await.expect("it is over");
    let Event::Closed { ending, .. } = closed else {
        panic!("{closed:?}")
    };
    assert!(
        matches!(
            ending,
            Ending::Client {
                code: Some(1000),
                ..
            }
        ),
        "{ending:?}"
    );
    let by_agent = |event: &Event| event.is_message(Mode::Destination, Kind::StreamReset);
    assert_eq!(cell.service.count_events(START, by_agent), 2);

    let status = cell
        .status_that(|status| status["places"]["taken"] == 0)
        .await;
    assert_eq!(status["tunnels"], json!([]));
    assert!(
        !cell.gateway.rejoin().exists(),
        "the tokens are still there"
    );
    let ended = |line: &serde_json::Value| {
        line["tunnel"] == json!(name(&tunnel)) && line.to_string().contains("cellgate close")
    };
    let line = cell.gateway.wait_audit(ended, LIMIT).await;
    line.expect("the audit says who");
    // Its place is free and its task is over: nobody is left who could dial.
    assert_eq!(dials(&tunnel), 1, "{:?}", tunnel.events());
    // Another one comes and goes as well.
    cell.opened().await;
    assert_eq!(dials(&tunnel), 1, "{:?}", tunnel.events());
    cell.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tunnel_that_waits_to_retry_is_closed_at_once() {
    let cell = Cell::start().await;
    let tunnel = cell.tunnel();
    let away = Refusal::Status {
        status: 503,
        retry_after: Some("600".to_owned()),
        reason: None,
    };
    tunnel.destination.refuse_next(100, &away);
    let ran = cell.open(&notification::payload(&tunnel)).await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let waits = |status: &serde_json::Value| status["tunnels"][0]["state"] == "waits to retry";
    let status = cell.status_that(waits).await;
    assert_eq!(status["state"], "trouble");
    let ran = cell.run(&["close"], b"").await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    cell.status_that(|status| status["places"]["taken"] == 0)
        .await;
    assert!(
        !cell.gateway.rejoin().exists(),
        "the tokens are still there"
    );
    assert_eq!(dials(&tunnel), 1);
    cell.end().await;
}

/// A restart comes back to what was live, and not to what was closed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_does_not_come_back_to_a_closed_tunnel() {
    let mut cell = Cell::start().await;
    let closed = cell.opened().await;
    let kept = cell.opened().await;
    let ran = cell.run(&["close", &name(&closed)], b"").await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    cell.status_that(|status| status["places"]["taken"] == 1)
        .await;
    let text = std::fs::read_to_string(cell.gateway.rejoin()).expect("one is live");
    assert!(text.contains(&kept.destination_token));
    assert!(!text.contains(&closed.destination_token));
    cell.agent.kill().await.expect("it runs");
    cell.agent = cell.gateway.start().expect("the agent");
    cell.listens().await;
    cell.connected(&kept).await;
    assert_eq!((dials(&closed), dials(&kept)), (1, 2));
    let status = cell.status().await;
    assert_eq!(status["tunnels"][0]["came"], "rejoined after a restart");
    assert_eq!(status["places"]["taken"], 1);
    cell.end().await;
}

/// While the closed one still ends, the next one has the word of its place, once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_place_of_one_that_ends_goes_to_the_next_token_however_often_it_comes() {
    let silent = Behaviour::Silent;
    let cell = Cell::with(
        silent,
        |file| file.table("places", "tunnels = 1"),
        |agent| agent,
    )
    .await;
    let first = cell.opened().await;
    let options = SourceOptions::new(&cell.service, &first, Protocol::V3);
    let mut source = RawSource::connect(options).await.expect("a source");
    let start = Message::stream_start(1, "robot1", 1);
    source.send(start).await.expect("connected");
    // More than the kernel takes for a robot that does not read: the end takes as long as it may.
    for piece in pattern(2, 400_000).chunks(50_000) {
        let data = Message::data(1, "robot1", 1, piece.to_vec());
        source.send(data).await.expect("connected");
    }
    cell.status_that(|status| {
        status["tunnels"][0]["streams"][0]["down_bytes"].as_u64() > Some(50_000)
    })
    .await;
    let ran = cell.run(&["close"], b"").await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let next = cell.tunnel();
    for time in ["the first time", "again"] {
        let ran = cell.open(&notification::payload(&next)).await;
        assert_eq!(ran.code, Some(0), "{time}: {ran:?}");
        let promised = format!("tunnel {} gets the place of one that ends\n", name(&next));
        assert_eq!(ran.stdout, promised, "{time}");
    }
    cell.connected(&next).await;
    let status = cell.status().await;
    assert_eq!(status["places"], json!({"taken": 1, "all": 1}));
    assert_eq!(dials(&next), 1);
    cell.end().await;
}
