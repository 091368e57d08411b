//! The targets do what they say.

use std::io;
use std::time::Duration;

use cell::pattern::{pattern, sha256};
use cell::target::{Behaviour, BlackHole, End, RefusingPort, Target, Then};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use crate::LIMIT;

async fn dial(target: &Target) -> TcpStream {
    TcpStream::connect(target.address())
        .await
        .expect("it listens")
}

#[tokio::test]
async fn echo_sends_back_and_sink_counts() {
    let bytes = pattern(1, 100_000);
    for behaviour in [Behaviour::Echo, Behaviour::Sink] {
        let target = Target::start(behaviour).expect("a free port");
        let (mut reader, mut writer) = dial(&target).await.into_split();
        let write = async {
            writer.write_all(&bytes).await.expect("it reads");
            writer.shutdown().await.expect("FIN");
        };
        let mut back = Vec::new();
        let (_, read) = tokio::join!(write, reader.read_to_end(&mut back));
        read.expect("FIN");
        let record = target.wait_ended(0, LIMIT).await.expect("it ended");
        assert!(record.ended_by_fin(), "{record:?}");
        assert_eq!(
            (record.received, record.sha256.as_str()),
            (100_000, sha256(&bytes).as_str())
        );
        assert_eq!(back == bytes, behaviour == Behaviour::Echo);
    }
}

#[tokio::test]
async fn a_reset_is_told_from_a_fin() {
    for behaviour in [Behaviour::Sink, Behaviour::Silent] {
        let target = Target::start(behaviour).expect("a free port");
        let mut reset = dial(&target).await;
        reset.write_all(b"x").await.expect("written");
        target.wait_open(0, LIMIT).await.expect("accepted");
        reset.set_zero_linger().expect("open");
        drop(reset);
        let record = target.wait_ended(0, LIMIT).await.expect("it ended");
        assert!(
            matches!(record.ended, Some((End::Reset(_), _))),
            "{behaviour:?}: {record:?}"
        );

        let fin = dial(&target).await;
        target.wait_open(1, LIMIT).await.expect("accepted");
        drop(fin);
        let record = target.wait_ended(1, LIMIT).await.expect("it ended");
        assert!(record.ended_by_fin(), "{behaviour:?}: {record:?}");
    }
}

#[tokio::test]
async fn silent_takes_little_and_all_once_resumed() {
    let target = Target::start(Behaviour::Silent).expect("a free port");
    let bytes = pattern(2, 8 << 20);
    let mut stream = dial(&target).await;
    let full = timeout(Duration::from_millis(300), stream.write_all(&bytes)).await;
    assert!(full.is_err(), "8 MiB fit into a target that never reads");
    assert_eq!(target.connections()[0].received, 0);
    drop(stream);

    let mut stream = dial(&target).await;
    target.wait_open(1, LIMIT).await.expect("accepted");
    let write = async {
        stream.write_all(&bytes).await.expect("it reads in the end");
        drop(stream);
    };
    let resume = async { target.resume() };
    tokio::join!(write, resume);
    let record = target.wait_ended(1, LIMIT).await.expect("it ended");
    assert_eq!(record.sha256, sha256(&bytes));
}

#[tokio::test]
async fn slow_takes_its_time() {
    let every = Duration::from_millis(20);
    let target = Target::start(Behaviour::Slow { bytes: 100, every }).expect("a free port");
    let start = Instant::now();
    dial(&target)
        .await
        .write_all(&[0; 1_000])
        .await
        .expect("it fits the buffers");
    target
        .wait_received(0, 1_000, LIMIT)
        .await
        .expect("all in the end");
    assert!(start.elapsed() >= every * 9, "{:?}", start.elapsed());
}

#[tokio::test]
async fn senders_send_their_own_pattern() {
    for then in [Then::Close, Then::Reset, Then::Stay] {
        let target = Target::start(Behaviour::Send {
            bytes: 50_000,
            seed: 10,
            then,
        })
        .expect("a free port");
        for place in 0..2 {
            let mut stream = dial(&target).await;
            let mut received = vec![0; 50_000];
            stream.read_exact(&mut received).await.expect("all of it");
            assert!(
                received == pattern(10 + place, 50_000),
                "connection {place}"
            );
            let end = timeout(Duration::from_millis(200), stream.read(&mut [0])).await;
            match (then, end) {
                (Then::Close, Ok(Ok(0))) | (Then::Stay, Err(_)) => {}
                (Then::Reset, Ok(Err(error))) if error.kind() == io::ErrorKind::ConnectionReset => {
                }
                (_, other) => panic!("{then:?} ended with {other:?}"),
            }
        }
    }
}

#[tokio::test]
async fn closing_and_resetting_come_after_enough_bytes() {
    for (behaviour, reset) in [
        (Behaviour::CloseAfter { bytes: 10 }, false),
        (Behaviour::ResetAfter { bytes: 10 }, true),
    ] {
        let target = Target::start(behaviour).expect("a free port");
        let mut stream = dial(&target).await;
        stream.write_all(&[0; 9]).await.expect("it reads");
        target.wait_received(0, 9, LIMIT).await.expect("nine");
        assert_eq!(target.connections()[0].ended, None);
        stream.write_all(&[0]).await.expect("it reads");
        match stream.read(&mut [0]).await {
            Ok(0) => assert!(!reset),
            Err(error) => assert!(
                reset && error.kind() == io::ErrorKind::ConnectionReset,
                "{error}"
            ),
            Ok(length) => panic!("{length} bytes"),
        }
    }
}

#[tokio::test]
async fn absent_targets_refuse_or_do_not_answer() {
    let refusing = RefusingPort::new().expect("a free port");
    let error = TcpStream::connect(refusing.address())
        .await
        .expect_err("it refuses");
    assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);

    let hole = BlackHole::new().await.expect("a full queue");
    let connect = TcpStream::connect(hole.address());
    timeout(Duration::from_millis(500), connect)
        .await
        .expect_err("nobody answers");
}
