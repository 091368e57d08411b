//! Back in the tunnel.

use std::os::unix::fs::MetadataExt as _;
use std::time::{Duration, Instant};

use cell::agent::Signal;
use cell::broker::Broker;
use cell::journal::Mark;
use cell::notification::payload;
use cell::service::{Event, Protocol, ResetOn, ServiceOptions, Tunnel};
use cell::source::{RawSource, SourceOptions};
use cell::wire::{Kind, Message, Mode};
use serde_json::Value;

use crate::file::{gone, wait};
use crate::scene::{Scene, THING, name, says, up, up_after};
use crate::stage::{LIMIT, is, receive};

/// From the start of the agent to the WebSocket. Issue 3 promises it.
const BACK: Duration = Duration::from_secs(5);

/// A service that tells the source nothing when the agent goes and comes: what the source hears is of the agent.
pub(crate) async fn quiet(robots: usize) -> (Scene, Broker) {
    let broker = Broker::start().expect("a broker");
    let device = broker.device(THING).expect("a certificate");
    let options = ServiceOptions {
        reset_on: ResetOn::Never,
        ..ServiceOptions::default()
    };
    let port = broker.port();
    let scene = Scene::with(options, robots, |file| file.notify(port, &device)).await;
    (scene, broker)
}

fn client_token(event: &Event) -> Option<&str> {
    let Event::Connected { client_token, .. } = event else {
        return None;
    };
    client_token.as_deref()
}

pub(crate) async fn source(scene: &Scene, tunnel: &Tunnel) -> RawSource {
    let options = SourceOptions::new(&scene.service, tunnel, Protocol::V3);
    let mut source = RawSource::connect(options).await.expect("a source");
    let first = source.recv(LIMIT).await.expect("SERVICE_IDS");
    assert_eq!(first.kind(), Ok(Kind::ServiceIds));
    source
}

/// Starts a stream, and has it echo.
pub(crate) async fn start(source: &mut RawSource, stream: i32, service: &str) {
    let data = Message::data(stream, service, 1, "READY?");
    let both = [Message::stream_start(stream, service, 1), data.clone()];
    source.send_many(&both).await.expect("connected");
    assert_eq!(receive(source, &data, 6).await, b"READY?");
}

/// The streams of the first tunnel in the file.
fn streams(file: Option<&Value>) -> usize {
    let streams = file.and_then(|file| file["tunnels"][0]["streams"].as_array());
    streams.map_or(0, Vec::len)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_agent_is_back_within_seconds() {
    let (scene, broker) = quiet(2).await;
    let mut agent = scene.start().await;
    let tunnel = scene.service.open_tunnel(&["robot1", "robot2"]);
    broker.notify(THING, &payload(&tunnel)).expect("published");
    let first = up(&tunnel).await;
    let mut source = source(&scene, &tunnel).await;
    start(&mut source, 5, "robot1").await;
    start(&mut source, -7, "robot2").await;
    let path = scene.gateway.rejoin();
    wait(&path, |file| streams(file) == 2).await;
    let mode = std::fs::metadata(&path).expect("a file").mode();
    assert_eq!(mode & 0o7777, 0o600, "others can read tokens");

    agent.kill().await.expect("it ran");
    for robot in &scene.robots {
        robot
            .wait_ended(0, LIMIT)
            .await
            .expect("the system ends it");
    }
    let mark = tunnel.mark();
    let began = Instant::now();
    let agent = scene.gateway.start().expect("an agent");
    let again = up_after(&tunnel, mark).await;
    let took = began.elapsed();
    assert!(took < BACK, "back after {took:?}");
    assert!(client_token(&first).is_some());
    assert_eq!(client_token(&again), client_token(&first));
    let mut resets = Vec::new();
    for _ in 0..2 {
        let reset = source.recv(LIMIT).await.expect("STREAM_RESET");
        assert_eq!(reset.kind(), Ok(Kind::StreamReset), "{reset:?}");
        resets.push((reset.stream_id, reset.service_id));
    }
    resets.sort();
    let of = |stream, service: &str| (stream, service.to_owned());
    assert_eq!(resets, [of(-7, "robot2"), of(5, "robot1")]);
    // New streams work, one of them with a number that was used before.
    start(&mut source, 8, "robot1").await;
    start(&mut source, 9, "robot2").await;
    assert_eq!(tunnel.destination.traffic().connections, 2);
    let opened = scene.wait_audit("tunnel-opened", &tunnel).await;
    assert_eq!(opened["by"], "notification");
    let by: Vec<Value> = scene.audit("tunnel-opened");
    assert_eq!(by[1]["by"], "rejoined after a restart");

    // The notification, delivered once more, is no second tunnel; a new one is.
    broker.notify(THING, &payload(&tunnel)).expect("published");
    let next = scene.tunnel(1);
    broker.notify(THING, &payload(&next)).expect("published");
    up(&next).await;
    assert_eq!(tunnel.destination.traffic().connections, 2);
    assert_eq!(scene.audit("tunnel-opened").len(), 3);

    // A tunnel that is over is in the file no more, and behind the last there is no file.
    tunnel.close();
    scene.wait_audit("tunnel-ended", &tunnel).await;
    let only = |file: Option<&Value>| {
        file.is_some_and(|file| {
            let tunnels = file["tunnels"].as_array().expect("a list");
            tunnels.len() == 1 && tunnels[0]["access_token"] == next.destination_token.as_str()
        })
    };
    wait(&path, only).await;
    next.close();
    gone(&path).await;
    let left = std::fs::read_dir(scene.gateway.runtime()).expect("a folder");
    for file in left {
        let bytes = std::fs::read(file.expect("a file").path()).unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes);
        assert!(!text.contains(&tunnel.destination_token));
        assert!(!text.contains(&next.destination_token));
    }
    scene.end(agent, &[&tunnel, &next]);
}

/// A stream that was over before the restart is not told of, and one that is open is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_streams_that_were_open_are_reset() {
    let (scene, broker) = quiet(2).await;
    let mut agent = scene.start().await;
    let tunnel = scene.service.open_tunnel(&["robot1", "robot2"]);
    broker.notify(THING, &payload(&tunnel)).expect("published");
    up(&tunnel).await;
    let mut source = source(&scene, &tunnel).await;
    start(&mut source, 1, "robot1").await;
    start(&mut source, 2, "robot2").await;
    let reset = Message::stream_reset(1, "robot1");
    source.send(reset).await.expect("connected");
    scene.robots[0].wait_ended(0, LIMIT).await.expect("it ends");
    let one = |file: Option<&Value>| {
        streams(file) == 1 && file.is_some_and(|f| f["tunnels"][0]["streams"][0]["stream"] == 2)
    };
    wait(&scene.gateway.rejoin(), one).await;
    let mark = tunnel.mark();
    agent.kill().await.expect("it ran");
    let agent = scene.gateway.start().expect("an agent");
    up_after(&tunnel, mark).await;
    let reset = source.expect(is(Kind::StreamReset), LIMIT).await;
    let reset = reset.expect("STREAM_RESET");
    assert_eq!((reset.stream_id, reset.service_id.as_str()), (2, "robot2"));
    start(&mut source, 3, "robot1").await;
    let resets = |event: &Event| event.is_message(Mode::Destination, Kind::StreamReset);
    let events = tunnel.events();
    let resets = events.iter().filter(|entry| resets(&entry.what)).count();
    assert_eq!(resets, 1);
    scene.end(agent, &[&tunnel]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stopped_agent_comes_back_too() {
    let (scene, broker) = quiet(2).await;
    let mut agent = scene.start().await;
    let tunnels = [scene.tunnel(1), scene.tunnel(2)];
    let mut tokens = Vec::new();
    for tunnel in &tunnels {
        broker.notify(THING, &payload(tunnel)).expect("published");
        tokens.push(up(tunnel).await);
    }
    scene.transfer(&tunnels[0], 1, 10_000).await;
    agent.signal(Signal::SIGTERM).expect("it runs");
    assert_eq!(agent.wait_exit(LIMIT).await.expect("it exits"), 0);
    let path = scene.gateway.rejoin();
    assert!(path.exists(), "a stop is no end of a tunnel");
    let mark = scene.service.mark();
    let agent = scene.gateway.start().expect("an agent");
    for (tunnel, first) in tunnels.iter().zip(&tokens) {
        let again = up_after(tunnel, mark).await;
        assert_eq!(client_token(&again), client_token(first));
        says(&agent, Mark::START, &[&name(tunnel), "WebSocket up"]).await;
    }
    assert_ne!(client_token(&tokens[0]), client_token(&tokens[1]));
    scene.transfer(&tunnels[0], 1, 10_000).await;
    scene.transfer(&tunnels[1], 2, 10_000).await;
    scene.end(agent, &[&tunnels[0], &tunnels[1]]);
}

/// A crash behind a crash: what the second agent did not yet reach, the third does.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_that_is_killed_while_it_dials_loses_nothing() {
    let (scene, broker) = quiet(1).await;
    let mut agent = scene.start().await;
    let tunnel = scene.tunnel(1);
    broker.notify(THING, &payload(&tunnel)).expect("published");
    let first = up(&tunnel).await;
    agent.kill().await.expect("it ran");
    scene.service.stop_listening().await.expect("it listened");
    let mut agent = scene.gateway.start().expect("an agent");
    says(&agent, Mark::START, &[&name(&tunnel), "next attempt"]).await;
    agent.kill().await.expect("it ran");
    scene.service.listen_again().await.expect("a free port");
    let mark = tunnel.mark();
    let agent = scene.gateway.start().expect("an agent");
    let again = up_after(&tunnel, mark).await;
    assert_eq!(client_token(&again), client_token(&first));
    scene.end(agent, &[&tunnel]);
}
