//! A bulk transfer never stands still while the controller takes bytes.
//!
//! Even a target that reads all the time is full for a moment now and then, and the ring fills and empties. Whoever
//! misses the moment when there is room again waits for a clock, and the transfer creeps: this was once a hundred
//! times slower than the line.

mod stage;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use cell::pattern::{pattern, sha256};
use cell::service::Protocol;
use cell::target::{Behaviour, Target};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use crate::stage::{LIMIT, Stage};

/// Bytes of the transfer.
const LENGTH: usize = 48 << 20;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_does_not_wait_for_clocks() {
    let bytes = pattern(7, LENGTH);
    let beside = Target::start(Behaviour::Sink).expect("a free port");
    let direct = time_to_take(&beside, beside.address(), &bytes).await;

    let target = Target::start(Behaviour::Sink).expect("a free port");
    let stage = Stage::up(&[("robot1", target.address())]).await;
    let source = stage.source(Protocol::V3).await;
    let tunnelled = time_to_take(&target, source.address("robot1"), &bytes).await;

    println!("{LENGTH} bytes: {direct:?} straight, {tunnelled:?} through the tunnel");
    // Debug builds of service, source and agent, with TLS twice, stand against a bare loopback here. Each clock that is
    // waited for in place of a wake-up costs more than a second, and there would be dozens.
    let limit = direct * 10 + Duration::from_secs(2);
    assert!(
        tunnelled <= limit,
        "{tunnelled:?} through the tunnel, at most {limit:?} were expected"
    );
    stage.end();
}

/// How long the target takes for all of it, arrived and right.
async fn time_to_take(target: &Target, way: SocketAddr, bytes: &[u8]) -> Duration {
    let mut socket = TcpStream::connect(way).await.expect("it listens");
    let start = Instant::now();
    socket.write_all(bytes).await.expect("it takes them");
    let taken = target
        .wait_received(0, LENGTH as u64, LIMIT * 3)
        .await
        .expect("all of it");
    let took = start.elapsed();
    assert_eq!(taken.sha256, sha256(bytes));
    took
}
