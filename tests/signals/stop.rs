//! SIGTERM and SIGINT.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use cell::agent::Signal;
use cell::journal::Mark;
use cell::pattern::{pattern, sha256};
use cell::service::{Event, Kill, Protocol, Refusal, ServiceOptions, Switches};
use cell::source::RawSource;
use cell::target::{Behaviour, BlackHole, Target};
use cell::wire::{Kind, Message, Mode};
use tokio::io::AsyncWriteExt as _;
use tokio::time::{sleep, timeout};

use crate::client::{connect, from_file};
use crate::stage::{LIMIT, Stage, is};

/// From the signal to the exit. Issue and service unit promise it.
const STOP: Duration = Duration::from_secs(3);

/// Sends a signal, and checks that the agent exits with 0 in time.
async fn stops(stage: &mut Stage, signal: Signal) {
    let start = Instant::now();
    stage.agent.signal(signal).expect("it runs");
    let code = stage.agent.wait_exit(2 * STOP).await.expect("it exits");
    let took = start.elapsed();
    assert_eq!(code, 0);
    assert!(took < STOP, "the exit took {took:?}");
}

async fn send(source: &mut RawSource, message: Message) {
    source.send(message).await.expect("connected");
}

/// Resets to the source, every queued byte and FIN to the controllers, WebSocket close 1000, exit 0.
async fn stops_in_order(signal: Signal) {
    const QUEUED: usize = 400_000;
    let slow = Behaviour::Slow {
        bytes: 10_000,
        every: Duration::from_millis(50),
    };
    let slow = Target::start(slow).expect("a free port");
    let lively = Target::start(Behaviour::Echo).expect("a free port");
    let routes = [
        ("robot1", slow.address(), ""),
        ("robot2", lively.address(), ""),
    ];
    let mut stage = Stage::configured(&routes).await;
    let mut source = stage.raw(Protocol::V3).await;
    let bytes = pattern(6, QUEUED);
    send(&mut source, Message::stream_start(1, "robot1", 1)).await;
    for piece in bytes.chunks(50_000) {
        send(&mut source, Message::data(1, "robot1", 1, piece.to_vec())).await;
    }
    send(&mut source, Message::stream_start(7, "robot2", 1)).await;
    send(&mut source, Message::connection_start(7, "robot2", 2)).await;
    send(
        &mut source,
        Message::data(7, "robot2", 2, "are they there?"),
    )
    .await;
    source
        .expect(is(Kind::Data), LIMIT)
        .await
        .expect("the echo of robot2");
    assert!(
        slow.connections()[0].received < QUEUED as u64,
        "nothing is queued"
    );

    stops(&mut stage, signal).await;

    let record = slow.wait_ended(0, LIMIT).await.expect("it ends");
    assert!(record.ended_by_fin(), "{:?}", record.ended);
    assert_eq!(
        (record.received, record.sha256),
        (QUEUED as u64, sha256(&bytes))
    );
    for place in 0..2 {
        let record = lively.wait_ended(place, LIMIT).await.expect("it ends");
        assert!(record.ended_by_fin(), "{:?}", record.ended);
    }
    closed_with_1000(&stage).await;
    // Every stream is reset, by the agent and not by the service in its place.
    for (stream, service) in [(1, "robot1"), (7, "robot2")] {
        let reset = |event: &Event| {
            event.is_message(Mode::Destination, Kind::StreamReset)
                && matches!(event, Event::Message { stream: at, service: of, .. } if *at == stream && of == service)
        };
        assert_eq!(
            stage.service.count_events(Mark::START, reset),
            1,
            "{service}"
        );
    }
    stage.end_stopped();
}

async fn closed_with_1000(stage: &Stage) {
    let closed = |event: &Event| event.is_closed(Mode::Destination);
    let event = stage
        .tunnel
        .wait_event(closed, LIMIT)
        .await
        .expect("its WebSocket is over");
    let Event::Closed { ending, .. } = event else {
        panic!("{event:?}")
    };
    assert!(
        matches!(
            ending,
            cell::service::Ending::Client {
                code: Some(1000),
                ..
            }
        ),
        "the WebSocket ended with {ending:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sigterm_stops_in_order() {
    stops_in_order(Signal::SIGTERM).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sigint_stops_in_order() {
    stops_in_order(Signal::SIGINT).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sigterm_while_idle() {
    let robot = Target::start(Behaviour::Echo).expect("a free port");
    let mut stage = Stage::configured(&[("robot1", robot.address(), "")]).await;
    stops(&mut stage, Signal::SIGTERM).await;
    closed_with_1000(&stage).await;
    stage.end_stopped();
}

async fn refused(count: usize, refusal: &Refusal, robot: SocketAddr) -> Stage {
    Stage::started(ServiceOptions::default(), &["robot1"], |service, tunnel| {
        tunnel.destination.refuse_next(count, refusal);
        from_file(service, tunnel, &[("robot1", robot, "")])
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sigterm_while_dialling() {
    let robot = Target::start(Behaviour::Echo).expect("a free port");
    let mut stage = refused(1, &Refusal::Hang, robot.address()).await;
    stage
        .tunnel
        .wait_event(|event| event.is_rejected(0), LIMIT)
        .await
        .expect("it asked");
    stops(&mut stage, Signal::SIGTERM).await;
    stage.end_stopped();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sigterm_in_the_backoff() {
    let robot = Target::start(Behaviour::Echo).expect("a free port");
    let mut stage = refused(100, &Refusal::status(503), robot.address()).await;
    let waits = |line: &str| line.contains("next attempt (number 4)");
    stage.agent.wait_line(waits, LIMIT).await.expect("it waits");
    stops(&mut stage, Signal::SIGTERM).await;
    stage.end_stopped();
}

/// The service is just letting it in: what it then takes for a tunnel that is up is closed as such.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sigterm_while_the_service_lets_it_in() {
    let robot = Target::start(Behaviour::Echo).expect("a free port");
    let mut stage = Stage::started(ServiceOptions::default(), &["robot1"], |service, tunnel| {
        let slow = |switches: &mut Switches| switches.delay = Duration::from_millis(250);
        tunnel.destination.switch(slow);
        from_file(service, tunnel, &[("robot1", robot.address(), "")])
    })
    .await;
    stage
        .tunnel
        .wait_event(|event| matches!(event, Event::Admitted { .. }), LIMIT)
        .await
        .expect("it asked");
    let fast = |switches: &mut Switches| switches.delay = Duration::ZERO;
    stage.tunnel.destination.switch(fast);
    stops(&mut stage, Signal::SIGTERM).await;
    stage.connected_after(Mark::START).await;
    closed_with_1000(&stage).await;
    stage.end_stopped();
}

/// A service that stands still for longer than the agent waits for its answer, and has much on its way then. It must
/// still get to read all that the agent said: a socket that is closed by then, or closed with unread bytes, resets the
/// connection.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sigterm_while_the_service_stands_still() {
    // Between the end of that wait and the end of the whole stop.
    const STILL: Duration = Duration::from_millis(1_300);
    let robot = Target::start(Behaviour::Sink).expect("a free port");
    let mut stage = Stage::configured(&[("robot1", robot.address(), "")]).await;
    let mut source = stage.raw(Protocol::V3).await;
    send(&mut source, Message::stream_start(1, "robot1", 1)).await;
    stage
        .agent
        .wait_line(|line| line.contains("started by the source"), LIMIT)
        .await
        .expect("it is started");
    let destination = stage.tunnel.destination.clone();
    destination.switch(|switches| switches.silence = true);
    let piece = Message::data(1, "robot1", 1, pattern(3, 50_000));
    for _ in 0..100 {
        destination.send(&piece).expect("connected");
    }
    tokio::spawn(async move {
        sleep(STILL).await;
        destination.switch(|switches| switches.silence = false);
    });
    stops(&mut stage, Signal::SIGTERM).await;
    closed_with_1000(&stage).await;
    let reset = |event: &Event| event.is_message(Mode::Destination, Kind::StreamReset);
    assert_eq!(stage.service.count_events(Mark::START, reset), 1);
    stage
        .agent
        .wait_line(|line| line.contains("did not answer our close"), LIMIT)
        .await
        .expect("the answer came in time: nothing was tested");
    stage.end_stopped();
}

/// A controller that takes nothing cannot hold the end up, and what it loses by that is told.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sigterm_while_a_target_stands_still() {
    let silent = Target::start(Behaviour::Silent).expect("a free port");
    let mut stage = Stage::configured(&[("robot1", silent.address(), "stall = \"1h\"")]).await;
    let source = stage.source(Protocol::V3).await;
    let mut client = connect(&source, "robot1").await;
    let push = tokio::spawn(async move {
        let _ = client.write_all(&pattern(1, 12 << 20)).await;
        client
    });
    // The way is full when nothing more comes out of the source for a while.
    let quiet = async {
        let mut before = 0;
        loop {
            sleep(Duration::from_millis(300)).await;
            let data = |event: &Event| event.is_message(Mode::Source, Kind::Data);
            let now = stage.service.count_events(Mark::START, data);
            if now > 0 && now == before {
                return;
            }
            before = now;
        }
    };
    timeout(LIMIT, quiet).await.expect("the way is full");
    stops(&mut stage, Signal::SIGTERM).await;
    closed_with_1000(&stage).await;
    let told = |line: &str| line.contains("stopped before the controllers took everything");
    stage
        .agent
        .wait_line(told, LIMIT)
        .await
        .expect("the log says so");
    push.abort();
    stage.end_stopped();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sigterm_while_a_target_is_dialled() {
    let hole = BlackHole::new().await.expect("a free port");
    let mut stage = Stage::configured(&[("robot1", hole.address(), "")]).await;
    let mut source = stage.raw(Protocol::V3).await;
    send(&mut source, Message::stream_start(1, "robot1", 1)).await;
    send(&mut source, Message::data(1, "robot1", 1, "early")).await;
    stage
        .agent
        .wait_line(|line| line.contains("started by the source"), LIMIT)
        .await
        .expect("it dials");
    stops(&mut stage, Signal::SIGTERM).await;
    closed_with_1000(&stage).await;
    stage.end_stopped();
}

/// The token is dead, and the agent only writes out what is queued before it exits with 69: for a controller that
/// stands still that can take long, and nobody may be made to wait for it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sigterm_while_the_last_bytes_of_a_dead_tunnel_go_out() {
    let silent = Target::start(Behaviour::Silent).expect("a free port");
    let mut stage = Stage::configured(&[("robot1", silent.address(), "stall = \"1h\"")]).await;
    let mut source = stage.raw(Protocol::V3).await;
    send(&mut source, Message::stream_start(1, "robot1", 1)).await;
    // More than the kernel holds for it; the rest fits into its share of the pool, so that the tunnel does not wait.
    for piece in pattern(6, 250_000).chunks(50_000) {
        send(&mut source, Message::data(1, "robot1", 1, piece.to_vec())).await;
    }
    stage
        .agent
        .wait_line(|line| line.contains("first byte to the controller"), LIMIT)
        .await
        .expect("it sends");
    sleep(Duration::from_millis(300)).await;
    stage
        .tunnel
        .destination
        .refuse_next(1, &Refusal::status(403));
    stage.tunnel.destination.kill(Kill::Fin).expect("connected");
    stage
        .agent
        .wait_line(|line| line.contains("HTTP 403"), LIMIT)
        .await
        .expect("it is refused");
    assert!(
        stage.agent.is_running().expect("the system knows"),
        "nothing was queued"
    );
    let start = Instant::now();
    stage.agent.signal(Signal::SIGTERM).expect("it runs");
    let code = stage.agent.wait_exit(2 * STOP).await.expect("it exits");
    // Both are true: it was told to stop, and its token is dead.
    assert!([0, 69].contains(&code), "{code}");
    assert!(
        start.elapsed() < STOP,
        "the exit took {:?}",
        start.elapsed()
    );
    stage.end_stopped();
}
