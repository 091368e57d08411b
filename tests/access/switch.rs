//! The key switch while no stream is live: what waits, and for how long.

use std::time::Duration;

use cell::journal::Mark;
use cell::pattern::pattern;
use cell::service::{Event, Refusal, ServiceOptions};
use cell::target::{Behaviour, Target};
use cell::wire::{Kind, Message, Mode};
use tokio::time::Instant;

use crate::site::{Plan, connected_after, connections};
use crate::stage::{LIMIT, is, receive};

/// From a turn of the switch to what the service sees of it; without the kernel's word it would be up to 2 s.
const AT_ONCE: Duration = Duration::from_secs(1);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn off_at_the_start_nothing_is_dialled() {
    let robot = Target::start(Behaviour::Echo).expect("a free port");
    let plan = Plan::new(ServiceOptions::default()).await;
    let plan = plan.with_switch("").route("robot1", robot.address(), "");
    let site = plan.start().await;
    site.wait_log(&["access: off: the key switch ", "remote-enabled is off"])
        .await;
    let tunnel = site.service.open_tunnel(&["robot1"]);
    site.open(&tunnel).await;
    site.wait_log(&["waits until the cell lets people in"])
        .await;
    let status = site.wait_state("waits for access").await;
    assert_eq!(status["access"]["on"], false, "{status}");
    assert_eq!(status["state"], "closed", "{status}");
    assert_eq!(status["tunnels"][0]["failures"], 0, "{status}");
    assert_eq!(status["places"]["taken"], 1, "it keeps its place");

    let turned = Instant::now();
    site.switch_on();
    connected_after(&tunnel, Mark::START).await;
    let events = site.service.events();
    assert!(
        events.iter().all(|entry| entry.at >= turned),
        "something reached the service while the switch was off: {events:?}"
    );
    assert!(events[0].at - turned < AT_ONCE, "it dialled late");
    let status = site.wait_state("up").await;
    assert_eq!(status["access"]["on"], true, "{status}");
    site.end(&[&tunnel]);
}

/// Off and on again faster than anything ends: one WebSocket at a time, and at the end the tunnel works.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_switch_that_bounces_leaves_the_tunnel_as_it_stands_last() {
    let robot = Target::start(Behaviour::Echo).expect("a free port");
    let plan = Plan::new(ServiceOptions::default()).await;
    let plan = plan.with_switch("").route("robot1", robot.address(), "");
    let site = plan.start().await;
    let tunnel = site.service.open_tunnel(&["robot1"]);
    site.switch_on();
    site.open_up(&tunnel).await;
    for _ in 0..20 {
        site.switch_off();
        site.switch_on();
    }
    site.switch_off();
    let closed = |event: &Event| event.is_closed(Mode::Destination);
    tunnel
        .wait_event(closed, LIMIT)
        .await
        .expect("it is off at the end");
    site.wait_state("waits for access").await;
    assert!(!tunnel.destination.is_connected());
    for _ in 0..20 {
        site.switch_on();
        site.switch_off();
    }
    let mark = tunnel.mark();
    site.switch_on();
    connected_after(&tunnel, mark).await;
    site.wait_state("up").await;
    let mut source = site.raw(&tunnel).await;
    let start = Message::stream_start(1, "robot1", 1);
    source.send(start).await.expect("connected");
    let bytes = pattern(1, 1_000);
    let data = Message::data(1, "robot1", 1, bytes.clone());
    source.send(data.clone()).await.expect("connected");
    assert_eq!(receive(&mut source, &data, bytes.len()).await, bytes);
    site.end(&[&tunnel]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn off_in_the_middle_of_a_handshake_ends_the_attempt() {
    let site = Plan::new(ServiceOptions::default()).await;
    let site = site
        .with_switch("")
        .table("routes.robot1", "target = \"127.0.0.1:9\"");
    let site = site.start().await;
    site.switch_on();
    let tunnel = site.service.open_tunnel(&["robot1"]);
    tunnel.destination.refuse_next(1, &Refusal::Hang);
    site.open(&tunnel).await;
    tunnel
        .wait_event(|event| event.is_rejected(0), LIMIT)
        .await
        .expect("it asked");
    site.switch_off();
    let status = site.wait_state("waits for access").await;
    assert_eq!(status["tunnels"][0]["failures"], 0, "no failure of the way");
    assert_eq!(connections(&tunnel), 0);
    let turned = Instant::now();
    site.switch_on();
    connected_after(&tunnel, Mark::START).await;
    assert!(turned.elapsed() < AT_ONCE, "{:?}", turned.elapsed());
    site.end(&[&tunnel]);
}

/// The wait before the next attempt is interrupted by off, and after on nothing is waited for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn off_in_the_backoff_and_on_dials_at_once() {
    let site = Plan::new(ServiceOptions::default()).await;
    let site = site
        .with_switch("")
        .table("routes.robot1", "target = \"127.0.0.1:9\"");
    let site = site.start().await;
    site.switch_on();
    let tunnel = site.service.open_tunnel(&["robot1"]);
    let refusal = Refusal::Status {
        status: 503,
        retry_after: Some("600".to_owned()),
        reason: None,
    };
    tunnel.destination.refuse_next(1, &refusal);
    site.open(&tunnel).await;
    site.wait_state("waits to retry").await;
    site.switch_off();
    site.wait_state("waits for access").await;
    site.switch_on();
    connected_after(&tunnel, Mark::START).await;
    site.end(&[&tunnel]);
}

/// The source hears nothing of a tunnel that waits: a start is not answered by a reset that nobody sent.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_source_is_not_served_while_the_switch_is_off() {
    let robot = Target::start(Behaviour::Echo).expect("a free port");
    let plan = Plan::new(ServiceOptions::default()).await;
    let plan = plan.with_switch("").route("robot1", robot.address(), "");
    let site = plan.start().await;
    let tunnel = site.service.open_tunnel(&["robot1"]);
    site.open(&tunnel).await;
    site.wait_state("waits for access").await;
    let mut source = site.raw(&tunnel).await;
    let start = Message::stream_start(1, "robot1", 1);
    source.send(start).await.expect("connected");
    let started = |event: &Event| event.is_message(Mode::Source, Kind::StreamStart);
    tunnel.wait_event(started, LIMIT).await.expect("it arrives");
    site.switch_on();
    connected_after(&tunnel, Mark::START).await;
    // What was started before is gone, and what is started now works.
    source
        .send_many(&[
            Message::stream_start(2, "robot1", 1),
            Message::data(2, "robot1", 1, "now?"),
        ])
        .await
        .expect("connected");
    let answer = source.expect(is(Kind::Data), LIMIT).await.expect("an echo");
    assert_eq!((answer.stream_id, &answer.payload[..]), (2, &b"now?"[..]));
    assert_eq!(robot.connections().len(), 1);
    site.end(&[&tunnel]);
}
