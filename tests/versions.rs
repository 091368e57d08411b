//! The three versions of the protocol: which one is chosen, and what a V1, V2 or V3 source gets for answers.

mod stage;

use std::time::Duration;

use cell::agent::AgentBuilder;
use cell::pattern::{pattern, sha256};
use cell::service::{Event, Protocol, Service, ServiceOptions, Tunnel};
use cell::source::{RawSource, Source, SourceEvent, SourceOptions};
use cell::target::{Behaviour, Target};
use cell::wire::{Kind, Message};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::stage::{AGENT, LIMIT, Stage, for_routes, is, receive};

fn target(behaviour: Behaviour) -> Target {
    Target::start(behaviour).expect("a target")
}

/// A service that supports only these.
fn supporting(protocols: &[Protocol]) -> ServiceOptions {
    ServiceOptions {
        protocols: protocols.to_vec(),
        ..ServiceOptions::default()
    }
}

/// A source on a service that may support only its version.
async fn source(stage: &Stage, version: Protocol) -> Source {
    let mut options = SourceOptions::new(&stage.service, &stage.tunnel, version);
    if options.services.is_empty() {
        // A V1 source listens for one, whatever it is called.
        options.services = vec!["only".to_owned()];
    }
    Source::connect(options).await.expect("a source")
}

/// A tunnel of V1 has no services.
fn services_of(version: Protocol) -> &'static [&'static str] {
    match version {
        Protocol::V1 => &[],
        Protocol::V2 | Protocol::V3 => &["robot1"],
    }
}

/// How a source of a version starts stream 5.
fn start_of(version: Protocol) -> Message {
    match version {
        Protocol::V1 => Message::stream_start(5, "", 0),
        Protocol::V2 => Message::stream_start(5, "robot1", 0),
        Protocol::V3 => Message::stream_start(5, "robot1", 1),
    }
}

async fn chosen(stage: &Stage) -> String {
    let connected = |event: &Event| event.is_connected(cell::wire::Mode::Destination);
    match stage.tunnel.wait_event(connected, LIMIT).await {
        Ok(Event::Connected { protocol, .. }) => protocol,
        other => panic!("not connected: {other:?}"),
    }
}

/// Sends to an echo and compares.
async fn echoes(source: &Source, service: &str, seed: u64) -> TcpStream {
    let mut client = TcpStream::connect(source.address(service))
        .await
        .expect("the source listens");
    let bytes = pattern(seed, 100_000);
    let (mut reader, mut writer) = client.split();
    let mut heard = vec![0; bytes.len()];
    let both = async { tokio::try_join!(writer.write_all(&bytes), reader.read_exact(&mut heard)) };
    let both = tokio::time::timeout(LIMIT, both).await.expect("in time");
    both.expect("an open connection");
    assert!(heard == bytes, "changed on the way");
    client
}

/// Waits for the end of a local connection.
async fn ends(mut client: TcpStream) {
    let mut rest = Vec::new();
    let end = tokio::time::timeout(LIMIT, client.read_to_end(&mut rest)).await;
    end.expect("in time").expect("FIN and not RST");
    assert_eq!(rest, b"");
}

#[tokio::test]
async fn the_newest_version_of_the_service_is_obeyed() {
    use Protocol::{V1, V2, V3};
    let cases: [(&[Protocol], Protocol, &[&str]); 5] = [
        (&[V3, V2, V1], V3, &["robot1"]),
        (&[V2, V1], V2, &["robot1"]),
        (&[V2], V2, &["robot1"]),
        (&[V1], V1, &[]),
        // The service may prefer what it likes.
        (&[V1, V2, V3], V1, &[]),
    ];
    for (supported, expected, services) in cases {
        let echo = target(Behaviour::Echo);
        let routes = [("robot1", echo.address())];
        let stage = Stage::with(supporting(supported), services, |service, tunnel| {
            for_routes(service, tunnel, &routes)
        })
        .await;
        assert_eq!(chosen(&stage).await, expected.name());
        let source = source(&stage, expected).await;
        let service = services.first().unwrap_or(&"only");
        for (place, seed) in (0..3).enumerate() {
            let client = echoes(&source, service, seed).await;
            drop(client);
            let record = echo.wait_ended(place, LIMIT).await;
            let record = record.expect("an end");
            assert!(record.ended_by_fin(), "{record:?}");
            assert_eq!(record.sha256, sha256(&pattern(seed, 100_000)));
        }
        stage.end();
    }
}

/// A bare source of a version on a service that chooses only that.
async fn only(version: Protocol, services: &[&str], echo: &Target) -> (Stage, RawSource) {
    let name = services.first().unwrap_or(&"robot1");
    let routes = [(*name, echo.address())];
    let stage = Stage::with(supporting(&[version]), services, |service, tunnel| {
        for_routes(service, tunnel, &routes)
    })
    .await;
    let options = SourceOptions::new(&stage.service, &stage.tunnel, version);
    let mut raw = RawSource::connect(options).await.expect("a source");
    if version != Protocol::V1 {
        let first = raw.recv(LIMIT).await.expect("SERVICE_IDS");
        assert_eq!(first.kind(), Ok(Kind::ServiceIds));
    }
    (stage, raw)
}

/// What the destination answers to a source that starts streams as `start` does: the same ids, and a STREAM_RESET
/// at the end of the target.
async fn answers_like(raw: &mut RawSource, start: &Message, connections: usize, target: &Target) {
    let data = Message {
        r#type: Kind::Data.into(),
        payload: "abc".into(),
        ..start.clone()
    };
    raw.send(start.clone()).await.expect("connected");
    raw.send(data.clone()).await.expect("connected");
    assert_eq!(receive(raw, &data, 3).await, b"abc");
    target
        .wait_open(connections, LIMIT)
        .await
        .expect("a connection");
    let reset = Message::stream_reset(start.stream_id, &start.service_id);
    raw.send(reset).await.expect("connected");
    let record = target.wait_ended(connections, LIMIT).await.expect("an end");
    assert!(record.ended_by_fin(), "{record:?}");
}

#[tokio::test]
async fn a_v1_source_gets_no_ids() {
    // On a service that has never heard of another version, and on one of today.
    let echo = target(Behaviour::Echo);
    let (stage, mut raw) = only(Protocol::V1, &[], &echo).await;
    answers_like(&mut raw, &Message::stream_start(1, "", 0), 0, &echo).await;
    answers_like(&mut raw, &Message::stream_start(2, "", 0), 1, &echo).await;
    stage.end();
    for services in [&[][..], &["robot1"]] {
        let echo = target(Behaviour::Echo);
        let (stage, mut raw) = only(Protocol::V3, services, &echo).await;
        answers_like(&mut raw, &Message::stream_start(1, "", 0), 0, &echo).await;
        stage.end();
    }
}

#[tokio::test]
async fn a_v2_source_gets_no_connection_id() {
    for version in [Protocol::V2, Protocol::V3] {
        let echo = target(Behaviour::Echo);
        let (stage, mut raw) = only(version, &["robot1"], &echo).await;
        answers_like(&mut raw, &Message::stream_start(1, "robot1", 0), 0, &echo).await;
        answers_like(&mut raw, &Message::stream_start(2, "robot1", 0), 1, &echo).await;
        stage.end();
    }
}

#[tokio::test]
async fn a_v1_or_v2_stream_has_one_connection() {
    for (version, service) in [
        (Protocol::V1, ""),
        (Protocol::V2, "robot1"),
        (Protocol::V3, ""),
        (Protocol::V3, "robot1"),
    ] {
        let services = services_of(version);
        let echo = target(Behaviour::Echo);
        let (stage, mut raw) = only(version, services, &echo).await;
        let start = Message::stream_start(1, service, 0);
        let data = Message::data(1, service, 0, "one");
        raw.send_many(&[start, data.clone()])
            .await
            .expect("connected");
        assert_eq!(receive(&mut raw, &data, 3).await, b"one");
        // A second start replaces the first.
        let start = Message::stream_start(2, service, 0);
        let data = Message::data(2, service, 0, "two");
        raw.send_many(&[start, data.clone()])
            .await
            .expect("connected");
        assert_eq!(receive(&mut raw, &data, 3).await, b"two");
        let old = echo.wait_ended(0, LIMIT).await.expect("an end");
        assert!(old.ended_by_fin(), "{old:?}");
        assert_eq!(old.received, 3);
        // And the words of the first are stale.
        raw.send_many(&[
            Message::data(1, service, 0, "stale"),
            Message::stream_reset(1, service),
            data.clone(),
        ])
        .await
        .expect("connected");
        assert_eq!(receive(&mut raw, &data, 3).await, b"two");
        stage.end();
    }
}

#[tokio::test]
async fn an_end_at_the_target_resets_the_stream_or_the_connection() {
    for (version, reset) in [
        (Protocol::V1, Message::stream_reset(5, "")),
        (Protocol::V2, Message::stream_reset(5, "robot1")),
        (Protocol::V3, Message::connection_reset(5, "robot1", 1)),
    ] {
        let services = services_of(version);
        let closing = target(Behaviour::CloseAfter { bytes: 0 });
        let (stage, mut raw) = only(version, services, &closing).await;
        raw.send(start_of(version)).await.expect("connected");
        assert_eq!(raw.recv(LIMIT).await.expect("a reset"), reset);
        stage.end();
    }
}

#[tokio::test]
async fn a_target_that_cannot_be_reached_resets_the_stream_in_every_version() {
    let case = async |version, reset| {
        let services = services_of(version);
        let port = cell::target::RefusingPort::new().expect("a port");
        let routes = [("robot1", port.address())];
        let stage = Stage::with(supporting(&[version]), services, |service, tunnel| {
            for_routes(service, tunnel, &routes)
        })
        .await;
        let options = SourceOptions::new(&stage.service, &stage.tunnel, version);
        let mut raw = RawSource::connect(options).await.expect("a source");
        raw.send(start_of(version)).await.expect("connected");
        let came = raw.expect(is(Kind::StreamReset), Duration::from_secs(10));
        assert_eq!(came.await.expect("a reset in time"), reset);
        stage.end();
    };
    tokio::join!(
        case(Protocol::V1, Message::stream_reset(5, "")),
        case(Protocol::V2, Message::stream_reset(5, "robot1")),
        case(Protocol::V3, Message::stream_reset(5, "robot1")),
    );
}

/// An agent with two routes, of which `default` is the one for a source that names no service.
fn with_default(
    service: &Service,
    tunnel: &Tunnel,
    one: &Target,
    two: &Target,
    default: &str,
) -> AgentBuilder {
    let builder = AgentBuilder::new(AGENT).expect("a folder");
    let builder = builder.file("ca.pem", service.ca_pem()).expect("a file");
    let ca = builder.folder().join("ca.pem");
    let text = format!(
        "{default}\n[tunnel]\nendpoint = \"{}\"\nca = \"{}\"\n\
         [routes.robot1]\ntarget = \"{}\"\n[routes.robot2]\ntarget = \"{}\"\n",
        service.endpoint(),
        ca.display(),
        one.address(),
        two.address()
    );
    builder
        .config(&text)
        .expect("a file")
        .token(&tunnel.destination_token)
}

#[tokio::test]
async fn a_source_without_service_reaches_the_default_route() {
    for version in [Protocol::V1, Protocol::V3] {
        let (one, two) = (target(Behaviour::Echo), target(Behaviour::Echo));
        let stage = Stage::with(supporting(&[version]), &[], |service, tunnel| {
            with_default(service, tunnel, &one, &two, "default = \"robot2\"")
        })
        .await;
        let options = SourceOptions::new(&stage.service, &stage.tunnel, Protocol::V1);
        let options = SourceOptions {
            subprotocol: version,
            ..options
        };
        let mut raw = RawSource::connect(options).await.expect("a source");
        if version == Protocol::V3 {
            raw.recv(LIMIT).await.expect("SERVICE_IDS");
        }
        answers_like(&mut raw, &Message::stream_start(1, "", 0), 0, &two).await;
        assert_eq!(one.connections().len(), 0);
        stage.end();
    }
}

#[tokio::test]
async fn without_a_default_among_several_routes_a_nameless_stream_is_reset() {
    let (one, two) = (target(Behaviour::Echo), target(Behaviour::Echo));
    let stage = Stage::with(supporting(&[Protocol::V1]), &[], |service, tunnel| {
        with_default(service, tunnel, &one, &two, "")
    })
    .await;
    let options = SourceOptions::new(&stage.service, &stage.tunnel, Protocol::V1);
    let mut raw = RawSource::connect(options).await.expect("a source");
    raw.send(Message::stream_start(1, "", 0))
        .await
        .expect("connected");
    assert_eq!(
        raw.recv(LIMIT).await.expect("an answer"),
        Message::stream_reset(1, "")
    );
    let told = |line: &str| line.contains("set `default`");
    let line = stage.agent.wait_line(told, LIMIT).await;
    line.expect("the log says what to set");
    assert_eq!(one.connections().len() + two.connections().len(), 0);
    stage.end();
}

#[tokio::test]
async fn sources_of_every_version_use_a_tunnel_of_today() {
    for version in [Protocol::V1, Protocol::V2, Protocol::V3] {
        let echo = target(Behaviour::Echo);
        let stage = Stage::up(&[("robot1", echo.address())]).await;
        let source = stage.source(version).await;
        for (place, seed) in (0..3).enumerate() {
            let client = echoes(&source, "robot1", seed).await;
            drop(client);
            let record = echo.wait_ended(place, LIMIT).await;
            assert!(record.expect("an end").ended_by_fin());
        }
        stage.end();
    }
}

#[tokio::test]
async fn an_end_at_the_target_ends_the_client_in_every_version() {
    for (version, expected) in [
        (Protocol::V1, Kind::StreamReset),
        (Protocol::V2, Kind::StreamReset),
        (Protocol::V3, Kind::ConnectionReset),
    ] {
        let closing = target(Behaviour::CloseAfter { bytes: 4 });
        let stage = Stage::up(&[("robot1", closing.address())]).await;
        let source = stage.source(version).await;
        let mut client = TcpStream::connect(source.address("robot1"))
            .await
            .expect("the source listens");
        client.write_all(b"quit").await.expect("open");
        ends(client).await;
        let reset = |event: &SourceEvent| matches!(event, SourceEvent::Message(m) if m.kind() == Ok(expected));
        let came = source.wait_event(reset, LIMIT).await;
        came.expect("the reset of its version");
        stage.end();
    }
}

#[tokio::test]
async fn a_v3_source_has_several_connections_at_once() {
    let echo = target(Behaviour::Echo);
    let stage = Stage::up(&[("robot1", echo.address())]).await;
    let source = stage.source(Protocol::V3).await;
    let mut clients = Vec::new();
    for seed in 0..5 {
        clients.push(echoes(&source, "robot1", seed).await);
    }
    assert_eq!(echo.connections().len(), 5);
    assert!(echo.connections().iter().all(|r| r.ended.is_none()));
    // The first ends, the others stay.
    drop(clients.remove(0));
    let first = echo.wait_ended(0, LIMIT).await.expect("an end");
    assert!(first.ended_by_fin(), "{first:?}");
    for client in &mut clients {
        client.write_all(b"still here").await.expect("open");
        let mut heard = [0; 10];
        client.read_exact(&mut heard).await.expect("an echo");
        assert_eq!(&heard, b"still here");
    }
    stage.end();
}
