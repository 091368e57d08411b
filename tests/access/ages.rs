//! The greatest age of a connection, and its greatest idle time.

use std::time::Duration;

use cell::pattern::{pattern, sha256};
use cell::service::{Event, ServiceOptions};
use cell::source::RawSource;
use cell::target::{Behaviour, Target};
use cell::wire::{Kind, Message, Mode};
use serde_json::Value;
use tokio::time::{Instant, interval};

use crate::site::{Plan, Site};
use crate::stage::{LIMIT, is};

async fn start(source: &mut RawSource, stream: i32, service: &str) {
    source
        .send_many(&[
            Message::stream_start(stream, service, 1),
            Message::data(stream, service, 1, "hello"),
        ])
        .await
        .expect("connected");
    let echo = source.expect(is(Kind::Data), LIMIT).await.expect("an echo");
    assert_eq!(echo.stream_id, stream);
}

fn reset_of(stream: i32) -> impl Fn(&Message) -> bool {
    move |message| {
        message.stream_id == stream
            && matches!(
                message.kind(),
                Ok(Kind::ConnectionReset | Kind::StreamReset)
            )
    }
}

async fn audited(site: &Site, service: &str) -> Value {
    let ended = |line: &Value| line["event"] == "stream-ended" && line["service"] == service;
    site.gateway
        .wait_audit(ended, LIMIT)
        .await
        .expect("it is audited")
}

/// The session of `[access]` holds for routes without one of their own; no traffic prolongs it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_ends_a_connection_at_its_age() {
    const SESSION: Duration = Duration::from_secs(2);
    let robot = Target::start(Behaviour::Echo).expect("a free port");
    let other = Target::start(Behaviour::Echo).expect("a free port");
    let plan = Plan::new(ServiceOptions::default()).await;
    let plan = plan.table("access", "session = \"2s\"");
    let plan = plan.route("robot1", robot.address(), "");
    let plan = plan.route("robot2", other.address(), "session = \"1h\"");
    let site = plan.start().await;
    let tunnel = site.service.open_tunnel(&["robot1", "robot2"]);
    site.open_up(&tunnel).await;
    let mut source = site.raw(&tunnel).await;
    start(&mut source, 2, "robot2").await;
    let began = Instant::now();
    start(&mut source, 1, "robot1").await;
    let mut tick = interval(Duration::from_millis(200));
    loop {
        tick.tick().await;
        source
            .send(Message::data(1, "robot1", 1, "on"))
            .await
            .expect("connected");
        let message = source.recv(LIMIT).await.expect("an echo or the end");
        if reset_of(1)(&message) {
            break;
        }
        assert_eq!(message.kind(), Ok(Kind::Data));
        assert!(began.elapsed() < LIMIT, "it has no end");
    }
    let age = began.elapsed();
    assert!(
        age >= SESSION && age < SESSION + Duration::from_secs(1),
        "{age:?}"
    );
    let record = robot.wait_ended(0, LIMIT).await.expect("it ends");
    assert!(record.ended_by_fin(), "{:?}", record.ended);
    let reason = "it lasted 2s, the longest session that the configuration allows";
    assert_eq!(audited(&site, "robot1").await["reason"], reason);
    site.wait_log(&["service robot1", "ended: ", reason]).await;
    source
        .send(Message::data(2, "robot2", 1, "still?"))
        .await
        .expect("connected");
    let echo = source
        .expect(is(Kind::Data), LIMIT)
        .await
        .expect("the other route has its own");
    assert_eq!(echo.stream_id, 2);
    // The next connection to the robot has an age of its own.
    start(&mut source, 3, "robot1").await;
    site.end(&[&tunnel]);
}

/// At the end of its session a slow controller still gets what was queued for it, and FIN.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_that_ends_loses_no_queued_byte() {
    let slow = Behaviour::Slow {
        bytes: 5_000,
        every: Duration::from_millis(50),
    };
    let slow = Target::start(slow).expect("a free port");
    let plan = Plan::new(ServiceOptions::default()).await;
    let site = plan
        .route("robot1", slow.address(), "session = \"1s\"")
        .start()
        .await;
    let tunnel = site.service.open_tunnel(&["robot1"]);
    site.open_up(&tunnel).await;
    let mut source = site.raw(&tunnel).await;
    source
        .send(Message::stream_start(1, "robot1", 1))
        .await
        .expect("connected");
    let bytes = pattern(4, 300_000);
    for piece in bytes.chunks(50_000) {
        let data = Message::data(1, "robot1", 1, piece.to_vec());
        source.send(data).await.expect("connected");
    }
    source
        .expect(reset_of(1), LIMIT)
        .await
        .expect("its session is over");
    assert!(
        slow.connections()[0].received < 200_000,
        "nothing was queued"
    );
    let record = slow.wait_ended(0, LIMIT).await.expect("it ends");
    assert!(record.ended_by_fin(), "{:?}", record.ended);
    assert_eq!((record.received, record.sha256), (300_000, sha256(&bytes)));
    assert_eq!(audited(&site, "robot1").await["down"], 300_000);
    site.end(&[&tunnel]);
}

/// Idle is counted for each route, and a byte either way begins it anew.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_connection_ends_and_a_busy_one_stays() {
    let robot = Target::start(Behaviour::Echo).expect("a free port");
    let other = Target::start(Behaviour::Echo).expect("a free port");
    let plan = Plan::new(ServiceOptions::default()).await;
    let plan = plan.route("robot1", robot.address(), "idle = \"1s\"");
    let plan = plan.route("robot2", other.address(), "");
    let site = plan.start().await;
    let tunnel = site.service.open_tunnel(&["robot1", "robot2"]);
    site.open_up(&tunnel).await;
    let mut source = site.raw(&tunnel).await;
    start(&mut source, 2, "robot2").await;
    start(&mut source, 1, "robot1").await;
    let began = Instant::now();
    let mut tick = interval(Duration::from_millis(250));
    while began.elapsed() < Duration::from_millis(2_500) {
        tick.tick().await;
        source
            .send(Message::data(1, "robot1", 1, "on"))
            .await
            .expect("connected");
        let message = source.recv(LIMIT).await.expect("an echo");
        assert_eq!(message.kind(), Ok(Kind::Data), "a busy connection ended");
    }
    let last = Instant::now();
    source.expect(reset_of(1), LIMIT).await.expect("it is idle");
    let idle = last.elapsed();
    assert!(idle < Duration::from_secs(2), "{idle:?}");
    assert!(idle > Duration::from_millis(500), "{idle:?}");
    let record = robot.wait_ended(0, LIMIT).await.expect("it ends");
    assert!(record.ended_by_fin(), "{:?}", record.ended);
    let reason = "no byte either way for 1s, the route's idle time";
    assert_eq!(audited(&site, "robot1").await["reason"], reason);
    source
        .send(Message::data(2, "robot2", 1, "still?"))
        .await
        .expect("connected");
    source
        .expect(is(Kind::Data), LIMIT)
        .await
        .expect("the other route has no idle time");
    let reset = |event: &Event| {
        event.is_message(Mode::Destination, Kind::ConnectionReset)
            || event.is_message(Mode::Destination, Kind::StreamReset)
    };
    assert_eq!(
        tunnel
            .events()
            .iter()
            .filter(|entry| reset(&entry.what))
            .count(),
        1
    );
    site.end(&[&tunnel]);
}
