//! The key switch is turned while streams are live.

use std::time::Duration;

use cell::agent::Signal;
use cell::pattern::{Pattern, pattern, sha256};
use cell::service::{Ending, Event, Protocol, ServiceOptions, Tunnel};
use cell::source::RawSource;
use cell::target::{Behaviour, Target};
use cell::wire::{Kind, Message, Mode};
use tokio::time::Instant;

use crate::site::{Plan, Site, connected_after, name_of};
use crate::stage::{LIMIT, is, receive};

/// From the removal of the file to what the source and the service see.
const AT_ONCE: Duration = Duration::from_secs(1);

/// 200 KB/s.
const SLOW: Behaviour = Behaviour::Slow {
    bytes: 10_000,
    every: Duration::from_millis(50),
};

async fn send(source: &mut RawSource, message: Message) {
    source.send(message).await.expect("connected");
}

/// When the agent reset each stream, and when it closed its WebSocket in order.
fn parting(tunnel: &Tunnel) -> (Vec<(i32, Instant)>, Option<Instant>) {
    let mut resets = Vec::new();
    let mut closed = None;
    for entry in tunnel.events() {
        if let Event::Message { stream, .. } = entry.what
            && entry.what.is_message(Mode::Destination, Kind::StreamReset)
        {
            resets.push((stream, entry.at));
        }
        if let Event::Closed {
            mode: Mode::Destination,
            ending: Ending::Client {
                code: Some(1000), ..
            },
            ..
        } = entry.what
        {
            closed = Some(entry.at);
        }
    }
    (resets, closed)
}

async fn closed(tunnel: &Tunnel) {
    tunnel
        .wait_event(|event| event.is_closed(Mode::Destination), LIMIT)
        .await
        .expect("the WebSocket is closed");
}

async fn ends_in_order_and_comes_back(version: Protocol) {
    const QUEUED: usize = 400_000;
    let (c1, c2) = match version {
        Protocol::V3 => (1, 2),
        Protocol::V1 | Protocol::V2 => (0, 0),
    };
    let slow = Target::start(SLOW).expect("a free port");
    let lively = Target::start(Behaviour::Echo).expect("a free port");
    let options = ServiceOptions {
        protocols: vec![version],
        ..ServiceOptions::default()
    };
    let plan = Plan::new(options).await.with_switch("");
    let plan = plan.route("robot1", slow.address(), "");
    let site = plan.route("robot2", lively.address(), "").start().await;
    site.switch_on();
    let tunnel = site.service.open_tunnel(&["robot1", "robot2"]);
    let mark = tunnel.mark();
    site.open(&tunnel).await;
    let client_token = connected_after(&tunnel, mark).await;
    let mut source = site.raw_as(&tunnel, version, version).await;
    let bytes = pattern(6, QUEUED);
    send(&mut source, Message::stream_start(1, "robot1", c1)).await;
    for piece in bytes.chunks(50_000) {
        send(&mut source, Message::data(1, "robot1", c1, piece.to_vec())).await;
    }
    send(&mut source, Message::stream_start(7, "robot2", c1)).await;
    if version == Protocol::V3 {
        send(&mut source, Message::connection_start(7, "robot2", c2)).await;
    }
    send(&mut source, Message::data(7, "robot2", c2, "there?")).await;
    // All that was sent before it has been taken in by the agent then.
    source.expect(is(Kind::Data), LIMIT).await.expect("an echo");
    let taken = slow.connections()[0].received;
    assert!(taken < QUEUED as u64 / 2, "nothing is queued: {taken}");

    let turned = Instant::now();
    site.switch_off();
    let mut reset = Vec::new();
    while reset.len() < 2 {
        let told = source.expect(is(Kind::StreamReset), LIMIT).await;
        let told = told.expect("the source is told").stream_id;
        if !reset.contains(&told) {
            reset.push(told);
        }
    }
    closed(&tunnel).await;
    let (mut resets, at) = parting(&tunnel);
    let at = at.expect("the WebSocket is closed with 1000, by the agent");
    resets.sort_unstable_by_key(|(stream, _)| *stream);
    let streams: Vec<i32> = resets.iter().map(|(stream, _)| *stream).collect();
    assert_eq!(streams, [1, 7], "one reset a stream, by the agent itself");
    for moment in resets.iter().map(|(_, at)| *at).chain([at]) {
        assert!(moment - turned < AT_ONCE, "{:?}", moment - turned);
    }
    // While its last bytes are still written out, nothing more gets through to it.
    site.wait_state("waits for access").await;
    assert_eq!(
        slow.connections()[0].ended,
        None,
        "too early to prove anything"
    );
    send(&mut source, Message::data(1, "robot1", c1, "too late")).await;
    send(&mut source, Message::stream_start(9, "robot2", c1)).await;
    let lost = |event: &Event| {
        matches!(
            event,
            Event::Message {
                stream: 9,
                delivered: false,
                ..
            }
        )
    };
    tunnel
        .wait_event(lost, LIMIT)
        .await
        .expect("it leads nowhere");

    let record = slow.wait_ended(0, LIMIT).await.expect("it ends");
    assert!(record.ended_by_fin(), "{:?}", record.ended);
    assert_eq!(
        (record.received, record.sha256),
        (QUEUED as u64, sha256(&bytes))
    );
    let places = if version == Protocol::V3 { 2 } else { 1 };
    for place in 0..places {
        let record = lively.wait_ended(place, LIMIT).await.expect("it ends");
        assert!(record.ended_by_fin(), "{:?}", record.ended);
    }
    assert_eq!(
        (slow.connections().len(), lively.connections().len()),
        (1, places)
    );

    let mark = tunnel.mark();
    site.switch_on();
    assert_eq!(
        connected_after(&tunnel, mark).await,
        client_token,
        "the same tokens"
    );
    send(&mut source, Message::stream_start(11, "robot2", c1)).await;
    let data = Message::data(11, "robot2", c1, pattern(2, 30_000));
    send(&mut source, data.clone()).await;
    let first = source.expect(is(Kind::Data), LIMIT).await.expect("an echo");
    assert_eq!(first.stream_id, 11);
    let rest = data.payload.len() - first.payload.len();
    let mut back = first.payload.to_vec();
    back.extend(receive(&mut source, &data, rest).await);
    assert!(back == data.payload, "the echo differs");
    audited(&site, &tunnel, places + 1).await;
    site.end(&[&tunnel]);
}

/// Off stands in the audit before what it ended, and each end says why.
async fn audited(site: &Site, tunnel: &Tunnel, ended: usize) {
    let lines = site.gateway.audit().expect("JSON");
    let place = |event: &str| lines.iter().position(|line| line["event"] == event);
    let off = place("access-off").expect("it is audited");
    let down = place("tunnel-down").expect("it is audited");
    assert!(off < down);
    assert_eq!(lines[down]["tunnel"], name_of(tunnel));
    let ends: Vec<_> = lines
        .iter()
        .enumerate()
        .filter(|(_, line)| line["event"] == "stream-ended")
        .collect();
    assert_eq!(ends.len(), ended, "{lines:?}");
    for (at, line) in ends {
        assert!(at > off);
        assert_eq!(
            line["reason"],
            "the cell lets nobody in any more ([access])"
        );
    }
    assert_eq!(place("tunnel-ended"), None, "it keeps its place");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn off_ends_streams_of_v3_in_order() {
    ends_in_order_and_comes_back(Protocol::V3).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn off_ends_streams_of_v2_in_order() {
    ends_in_order_and_comes_back(Protocol::V2).await;
}

/// In the middle of an upload that fills every buffer on the way: the agent reads the WebSocket no more, and the
/// resets go out all the same. What it took, the controller gets.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn off_while_a_slow_controller_holds_the_tunnel() {
    const SEED: u64 = 3;
    let slow = Target::start(SLOW).expect("a free port");
    let plan = Plan::new(ServiceOptions::default()).await.with_switch("");
    let site = plan.route("robot1", slow.address(), "").start().await;
    site.switch_on();
    let tunnel = site.service.open_tunnel(&["robot1"]);
    site.open_up(&tunnel).await;
    let mut source = site.raw(&tunnel).await;
    send(&mut source, Message::stream_start(1, "robot1", 1)).await;
    // 12 MB: the agent, both kernels and the service's line hold less.
    let all = pattern(SEED, 12_000_000);
    for piece in all.chunks(60_000) {
        if tokio::time::timeout(
            AT_ONCE,
            source.send(Message::data(1, "robot1", 1, piece.to_vec())),
        )
        .await
        .is_err()
        {
            break;
        }
    }
    let received = slow
        .wait_received(0, 100_000, LIMIT)
        .await
        .expect("it moves");
    assert!(received.received < 6_000_000, "too fast to prove anything");

    let turned = Instant::now();
    site.switch_off();
    closed(&tunnel).await;
    let (resets, at) = parting(&tunnel);
    assert_eq!(resets.len(), 1, "{resets:?}");
    assert!(resets[0].1 - turned < AT_ONCE, "{:?}", resets[0].1 - turned);
    let at = at.expect("the WebSocket is closed with 1000, by the agent");
    assert!(at - turned < AT_ONCE, "{:?}", at - turned);
    let record = slow.wait_ended(0, LIMIT).await.expect("it ends");
    assert!(record.ended_by_fin(), "{:?}", record.ended);
    // A prefix of what was sent: nothing is missing in between.
    let mut prefix = vec![0; usize::try_from(record.received).expect("it fits")];
    Pattern::new(SEED).fill(&mut prefix);
    assert_eq!(record.sha256, sha256(&prefix));
    let ended = site
        .gateway
        .wait_audit(|line| line["event"] == "stream-ended", LIMIT)
        .await
        .expect("it is audited");
    assert_eq!(
        ended["down"], record.received,
        "every byte that was taken in"
    );
    for line in site.agent.log() {
        assert!(!line.contains("lost"), "{line}");
    }
    site.end(&[&tunnel]);
}

/// SIGTERM ends an agent whose tunnel waits.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sigterm_while_the_switch_is_off() {
    let plan = Plan::new(ServiceOptions::default()).await.with_switch("");
    let plan = plan.table("routes.robot1", "target = \"127.0.0.1:9\"");
    let mut site = plan.start().await;
    let tunnel = site.service.open_tunnel(&["robot1"]);
    site.open(&tunnel).await;
    site.wait_state("waits for access").await;
    site.agent.signal(Signal::SIGTERM).expect("it runs");
    let code = site.agent.wait_exit(Duration::from_secs(3)).await;
    assert_eq!(code.expect("it exits"), 0);
    assert_eq!(tunnel.events().len(), 0, "nothing was dialled");
}
