//! The source with its ports, against a scripted destination.

use std::collections::BTreeMap;

use cell::pattern::pattern;
use cell::service::{Kill, Protocol, Service, Tunnel};
use cell::source::{RawSource, RecvError, Source, SourceEvent, SourceOptions};
use cell::wire::{Kind, Message, Mode};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::{LIMIT, SERVICES, client, service};

async fn connect(service: &Service, tunnel: &Tunnel, version: Protocol) -> Source {
    Source::connect(SourceOptions::new(service, tunnel, version))
        .await
        .expect("the service lets it in")
}

async fn dial(source: &Source, service: &str) -> TcpStream {
    TcpStream::connect(source.address(service))
        .await
        .expect("the source listens")
}

async fn read_to_end(stream: &mut TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    timeout(LIMIT, stream.read_to_end(&mut bytes))
        .await
        .expect("an end in time")
        .expect("FIN, not RST");
    bytes
}

/// Sends back every payload until the WebSocket is over.
async fn echo(mut destination: RawSource) {
    loop {
        match destination.recv(LIMIT).await {
            Ok(message) if message.kind() == Ok(Kind::Data) => {
                destination.send(message).await.expect("connected");
            }
            Ok(_) => {}
            Err(RecvError::Closed(..) | RecvError::Lost(_)) => return,
            Err(error) => panic!("{error}"),
        }
    }
}

#[tokio::test]
async fn each_version_makes_a_round_trip() {
    let service = service().await;
    for (version, names) in [
        (Protocol::V1, &SERVICES[..1]),
        (Protocol::V2, &SERVICES[..]),
        (Protocol::V3, &SERVICES[..]),
    ] {
        let tunnel = service.open_tunnel(names);
        let options = crate::options(&service, &tunnel, Mode::Destination);
        let destination = RawSource::connect_as(Mode::Destination, options)
            .await
            .expect("let in");
        let echoing = tokio::spawn(echo(destination));
        let source = connect(&service, &tunnel, version).await;
        let mut transfers = Vec::new();
        // V3 has several connections a service.
        let connections = if version == Protocol::V3 { 3 } else { 1 };
        for (seed, name) in names
            .iter()
            .cycle()
            .take(names.len() * connections)
            .enumerate()
        {
            let stream = dial(&source, name).await;
            transfers.push(tokio::spawn(async move {
                let sent = pattern(seed as u64, 1_000_000);
                let mut received = vec![0; sent.len()];
                let (mut reader, mut writer) = stream.into_split();
                let write = async { writer.write_all(&sent).await };
                let (wrote, read) = tokio::join!(write, reader.read_exact(&mut received));
                wrote.expect("the source reads");
                read.expect("all comes back");
                assert!(received == sent, "the bytes differ");
            }));
        }
        for transfer in transfers {
            timeout(LIMIT, transfer)
                .await
                .expect("in time")
                .expect("no byte was lost");
        }
        assert_eq!(tunnel.violations(), [], "{version:?}");
        drop(source);
        tunnel.close();
        echoing.await.expect("the destination ended");
    }
}

#[tokio::test]
async fn v3_starts_resets_and_starts_again() {
    let service = service().await;
    let tunnel = service.open_tunnel(&SERVICES);
    let mut destination = client(&service, &tunnel, Mode::Destination).await;
    let source = connect(&service, &tunnel, Protocol::V3).await;

    let mut first = dial(&source, "robot1").await;
    first.write_all(b"one").await.expect("the source reads");
    assert_eq!(
        destination.recv(LIMIT).await,
        Ok(Message::stream_start(1, "robot1", 1))
    );
    assert_eq!(
        destination.recv(LIMIT).await,
        Ok(Message::data(1, "robot1", 1, "one"))
    );
    let mut second = dial(&source, "robot1").await;
    assert_eq!(
        destination.recv(LIMIT).await,
        Ok(Message::connection_start(1, "robot1", 2))
    );

    // Bytes and the reset behind them in one WebSocket message: the bytes come first, then FIN.
    destination
        .send_many(&[
            Message::data(1, "robot1", 1, "bye"),
            Message::connection_reset(1, "robot1", 1),
        ])
        .await
        .expect("connected");
    assert_eq!(read_to_end(&mut first).await, b"bye");
    drop(first);

    // A local end.
    second.write_all(b"two").await.expect("the source reads");
    drop(second);
    assert_eq!(
        destination.recv(LIMIT).await,
        Ok(Message::data(1, "robot1", 2, "two"))
    );
    assert_eq!(
        destination.recv(LIMIT).await,
        Ok(Message::connection_reset(1, "robot1", 2))
    );

    // The stream lives on until it is reset.
    let mut third = dial(&source, "robot1").await;
    assert_eq!(
        destination.recv(LIMIT).await,
        Ok(Message::connection_start(1, "robot1", 3))
    );
    destination
        .send(Message::stream_reset(1, "robot1"))
        .await
        .expect("connected");
    assert_eq!(read_to_end(&mut third).await, b"");
    let _fourth = dial(&source, "robot1").await;
    assert_eq!(
        destination.recv(LIMIT).await,
        Ok(Message::stream_start(2, "robot1", 1))
    );
    assert_eq!(tunnel.violations(), []);
}

#[tokio::test]
async fn v2_replaces_and_v1_names_nothing() {
    let service = service().await;
    let tunnel = service.open_tunnel(&SERVICES);
    let mut destination = client(&service, &tunnel, Mode::Destination).await;
    let source = connect(&service, &tunnel, Protocol::V2).await;
    let mut first = dial(&source, "robot2").await;
    assert_eq!(
        destination.recv(LIMIT).await,
        Ok(Message::stream_start(1, "robot2", 0))
    );
    let second = dial(&source, "robot2").await;
    assert_eq!(
        destination.recv(LIMIT).await,
        Ok(Message::stream_start(2, "robot2", 0))
    );
    assert_eq!(read_to_end(&mut first).await, b"");
    drop(second);
    assert_eq!(
        destination.recv(LIMIT).await,
        Ok(Message::stream_reset(2, "robot2"))
    );

    let tunnel = service.open_tunnel(&SERVICES[..1]);
    let options = crate::options(&service, &tunnel, Mode::Destination);
    let mut destination = RawSource::connect_as(Mode::Destination, options)
        .await
        .expect("let in");
    destination.recv(LIMIT).await.expect("SERVICE_IDS");
    // A V1 source that offers 3.0.
    let options = SourceOptions {
        subprotocol: Protocol::V3,
        ..SourceOptions::new(&service, &tunnel, Protocol::V1)
    };
    let source = Source::connect(options).await.expect("let in");
    let mut stream = dial(&source, "robot1").await;
    stream.write_all(b"x").await.expect("the source reads");
    assert_eq!(
        destination.recv(LIMIT).await,
        Ok(Message::stream_start(1, "", 0))
    );
    assert_eq!(
        destination.recv(LIMIT).await,
        Ok(Message::data(1, "", 0, "x"))
    );
    assert_eq!(tunnel.violations(), []);
}

#[tokio::test]
async fn it_connects_again_and_its_connections_end() {
    let service = service().await;
    let tunnel = service.open_tunnel(&SERVICES);
    let mut destination = client(&service, &tunnel, Mode::Destination).await;
    let options = SourceOptions {
        reconnect: true,
        ..SourceOptions::new(&service, &tunnel, Protocol::V3)
    };
    let source = Source::connect(options).await.expect("let in");
    let mut stream = dial(&source, "robot1").await;
    destination.recv(LIMIT).await.expect("the start");
    let mark = source.mark();
    tunnel.source.kill(Kill::Reset).expect("connected");
    assert_eq!(read_to_end(&mut stream).await, b"");
    // The destination is told by the service.
    assert_eq!(
        destination.recv(LIMIT).await,
        Ok(Message::stream_reset(1, "robot1"))
    );
    source
        .wait_event_after(mark, |event| *event == SourceEvent::Connected, LIMIT)
        .await
        .expect("it connects again");
    let _stream = dial(&source, "robot1").await;
    assert_eq!(
        destination.recv(LIMIT).await,
        Ok(Message::stream_start(2, "robot1", 1))
    );
}

#[tokio::test]
async fn a_local_connection_that_takes_nothing_loses_nothing() {
    let service = service().await;
    let tunnel = service.open_tunnel(&SERVICES);
    let mut destination = client(&service, &tunnel, Mode::Destination).await;
    let source = connect(&service, &tunnel, Protocol::V3).await;
    let mut stream = dial(&source, "robot1").await;
    destination.recv(LIMIT).await.expect("the start");
    // More than all buffers on the way hold together.
    let total = 40 << 20;
    let sent = pattern(1, total);
    let mut digests = BTreeMap::new();
    digests.insert("sent", cell::pattern::sha256(&sent));
    let send = async {
        for piece in sent.chunks(60_000) {
            let data = Message::data(1, "robot1", 1, piece.to_vec());
            destination.send(data).await.expect("connected");
        }
        destination
            .send(Message::connection_reset(1, "robot1", 1))
            .await
            .expect("connected");
    };
    let receive = async {
        // The other direction still works while this one is full.
        stream
            .write_all(b"still here")
            .await
            .expect("the source reads");
        let up = |event: &cell::service::Event| event.is_message(Mode::Source, Kind::Data);
        tunnel.wait_event(up, LIMIT).await.expect("it came up");
        let mut received = Vec::with_capacity(total);
        stream
            .read_to_end(&mut received)
            .await
            .expect("FIN, not RST");
        cell::pattern::sha256(&received)
    };
    let (_, received) = timeout(LIMIT * 3, async { tokio::join!(send, receive) })
        .await
        .expect("in time");
    assert_eq!(Some(&received), digests.get("sent"));
}
