//! A bulk transfer of one robot leaves the round trips of another near what they were alone.

use std::time::{Duration, Instant};

use cell::pattern::pattern;
use cell::service::{Protocol, ServiceOptions};
use cell::target::{Behaviour, Target, Then};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::interval;

use crate::client::{connect, echo};
use crate::stage::{LIMIT, Stage};

/// Round trips measured each time.
const ROUNDS: usize = 300;

/// What the bulk may cost: this many times the round trip alone, ...
const FACTOR: u32 = 10;

/// ... or this, which nobody notices, ...
const ANYWAY: Duration = Duration::from_millis(5);

/// ... or what so many bytes take at the rate of the bulk: the buffers on the way of the agent, of two kernels and of
/// the service, which are full when the link is. With a queue of its own for the bulk the agent would be above it.
const AHEAD: f64 = 512.0 * 1024.0;

/// Bytes a second of the bulk towards the controller. Not more than the controller takes: what waits for a slow one
/// is another test.
const DOWN: f64 = 5e6;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bulk_transfer_leaves_the_round_trips_of_others_alone() {
    let endless = Behaviour::Send {
        bytes: u64::MAX,
        seed: 1,
        then: Then::Stay,
    };
    let bulk = Target::start(endless).expect("a free port");
    let terminal = Target::start(Behaviour::Echo).expect("a free port");
    // The link is what the bulk fills, and what the service holds itself must be little: that queue is not the agent's.
    let options = ServiceOptions {
        line_size: 64 << 10,
        receive_buffer: Some(16 << 10),
        ..ServiceOptions::default()
    };
    let stage = Stage::configured_with(
        options,
        &[
            ("robot1", bulk.address(), ""),
            ("robot2", terminal.address(), ""),
        ],
    )
    .await;
    let source = stage.source(Protocol::V3).await;
    let mut client = connect(&source, "robot2").await;
    round_trip(&mut client).await;
    let alone = round_trip(&mut client).await;

    let transfer = tokio::spawn(both_ways(connect(&source, "robot1").await));
    bulk.wait(
        |all| all.first().is_some_and(|record| record.sent > 4 << 20),
        LIMIT,
    )
    .await
    .expect("the bulk runs");
    let before = bulk.connections()[0].clone();
    let start = Instant::now();
    let beside = round_trip(&mut client).await;
    let took = start.elapsed().as_secs_f64();
    let after = bulk.connections()[0].clone();
    assert!(
        !transfer.is_finished(),
        "the bulk ended before the measurement"
    );
    let up = (after.sent - before.sent) as f64 / took;
    let down = (after.received - before.received) as f64 / took;
    println!(
        "512 bytes there and back: {alone:?} alone, {beside:?} beside {:.1} MB/s up and {:.1} MB/s down (medians of {ROUNDS})",
        up / 1e6,
        down / 1e6
    );
    assert!(
        up > 500_000.0 && down > 500_000.0,
        "there was hardly a bulk: {up} and {down} bytes a second"
    );
    let limit = ANYWAY
        .max(alone * FACTOR)
        .max(Duration::from_secs_f64(AHEAD / up));
    assert!(
        beside <= limit,
        "{beside:?} beside a bulk transfer, {alone:?} alone; at most {limit:?} were expected"
    );
    transfer.abort();
    stage.end();
}

/// The median of many round trips of 512 bytes.
async fn round_trip(client: &mut TcpStream) -> Duration {
    let block = pattern(1, 512);
    let mut times = Vec::with_capacity(ROUNDS);
    for _ in 0..ROUNDS {
        let start = Instant::now();
        echo(client, &block).await;
        times.push(start.elapsed());
    }
    times.sort();
    times[ROUNDS / 2]
}

/// Sends at a pace, and takes what comes, for as long as it is let.
async fn both_ways(socket: TcpStream) {
    let (mut reader, mut writer) = socket.into_split();
    let down = async {
        let piece = pattern(2, 16_384);
        let mut turn = interval(Duration::from_secs_f64(piece.len() as f64 / DOWN));
        loop {
            turn.tick().await;
            writer.write_all(&piece).await.expect("connected");
        }
    };
    let up = async {
        let mut piece = vec![0; 65_536];
        while matches!(reader.read(&mut piece).await, Ok(1..)) {}
    };
    tokio::join!(down, up);
}
