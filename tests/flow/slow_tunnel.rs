//! A slow tunnel: controllers are not read, the agent gathers nothing, and all arrives in the end.

use std::time::Duration;

use cell::pattern::{pattern, sha256};
use cell::service::{Protocol, ServiceOptions};
use cell::target::{Behaviour, Target, Then};
use tokio::io::AsyncReadExt as _;
use tokio::time::{Instant, sleep, timeout};

use crate::client::{connect, echo};
use crate::stage::{LIMIT, Stage};

const OFFERED: usize = 50_000_000;

/// What the agent may hold on the way besides what the kernels do, bytes: the budget of one tunnel in `limits.rs`.
const GROWTH: u64 = 1 << 20;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_tunnel_pauses_the_controllers() {
    let bulk = Target::start(Behaviour::Send {
        bytes: OFFERED as u64,
        seed: 5,
        then: Then::Close,
    })
    .expect("a free port");
    let lively = Target::start(Behaviour::Echo).expect("a free port");
    let options = ServiceOptions {
        line_size: 256 << 10,
        receive_buffer: Some(32 << 10),
        ..ServiceOptions::default()
    };
    let stage = Stage::configured_with(
        options,
        &[
            ("robot1", bulk.address(), ""),
            ("robot2", lively.address(), ""),
        ],
    )
    .await;
    let source = stage.source(Protocol::V3).await;
    // So that every buffer that is made once is there already.
    let mut other = connect(&source, "robot2").await;
    echo(&mut other, &pattern(1, 500_000)).await;
    let before = stage.agent.rss_anonymous().expect("it runs");

    stage
        .tunnel
        .destination
        .switch(|switches| switches.bandwidth = Some(200_000));
    let mut client = connect(&source, "robot1").await;
    let mut received = vec![0; OFFERED];
    let mut read = 0;
    let start = Instant::now();
    let mut most = 0;
    while start.elapsed() < Duration::from_secs(3) {
        if let Ok(length) = timeout(
            Duration::from_millis(50),
            client.read(&mut received[read..]),
        )
        .await
        {
            read += length.expect("connected");
        }
        most = most.max(stage.agent.rss_anonymous().expect("it runs"));
    }
    assert!(
        (200_000..2_000_000).contains(&read),
        "{read} bytes came in 3 s at 200 KB/s"
    );

    // Now the service takes nothing at all.
    stage
        .tunnel
        .destination
        .switch(|switches| switches.silence = true);
    sleep(Duration::from_secs(1)).await;
    let paused_at = bulk.connections()[0].sent;
    let cpu = stage.agent.cpu().expect("it runs");
    for _ in 0..30 {
        sleep(Duration::from_millis(100)).await;
        most = most.max(stage.agent.rss_anonymous().expect("it runs"));
    }
    let sent = bulk.connections()[0].sent;
    assert_eq!(sent, paused_at, "a paused controller is not read");
    assert!(
        sent < 10_000_000,
        "{sent} bytes were taken off a controller that nobody could pass on"
    );
    let busy = stage.agent.cpu().expect("it runs").saturating_sub(cpu);
    assert!(
        busy < Duration::from_millis(500),
        "3 s of waiting cost {busy:?} of processor time"
    );
    assert!(
        most < before + GROWTH,
        "resident memory grew from {before} to {most} bytes"
    );

    stage.tunnel.destination.switch(|switches| {
        switches.silence = false;
        switches.bandwidth = None;
    });
    let rest = async {
        client
            .read_exact(&mut received[read..])
            .await
            .expect("all of it comes");
        assert_eq!(client.read(&mut [0]).await.expect("FIN"), 0);
    };
    timeout(Duration::from_secs(60), rest)
        .await
        .expect("all of it comes in time");
    assert_eq!(sha256(&received), sha256(&pattern(5, OFFERED)));
    let after = stage.agent.rss_anonymous().expect("it runs");
    assert!(
        after < before + GROWTH,
        "resident memory grew from {before} to {after} bytes in the bulk"
    );
    let record = bulk
        .wait_ended(0, LIMIT)
        .await
        .expect("the controller has its end");
    assert!(record.ended_by_fin(), "{:?}", record.ended);
    echo(&mut other, b"still here").await;
    stage.end();
}
