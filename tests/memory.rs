//! Bounded memory, file descriptors and threads of the real binary, as the kernel counts them.
//!
//! The promise is about the release binary: with every connection open and every buffer full at most 8 MiB. The
//! binary that cargo builds for tests has five times the code, most of which is resident, so its bound is another.
//! Name a release binary in `CELLGATE_RELEASE`, and that one is measured against the promise.

#[path = "stage/client.rs"]
mod client;
mod stage;

use std::path::PathBuf;
use std::time::Duration;

use cell::agent::{Agent, AgentBuilder};
use cell::pattern::pattern;
use cell::service::{Protocol, ServiceOptions};
use cell::source::{RawSource, RecvError};
use cell::target::{Behaviour, Target};
use cell::wire::Message;
use tokio::time::{sleep, timeout};

use crate::client::{connect, echo, ended};
use crate::stage::{AGENT, LIMIT, Stage};

/// Resident memory with everything full, bytes. Source: the order of the agent.
const RELEASE_MAX: u64 = 8 << 20;

/// The same for a binary without optimisation.
const DEBUG_MAX: u64 = 12 << 20;

/// What everything full may add to the idle agent, bytes, in any build: the buffers that `limits.rs` allows one
/// tunnel and the pool, and the records of the connections.
const GROWTH_MAX: u64 = 4 << 20;

/// What the full pool of 2 MiB adds at least, bytes: of the two blocks that each of 64 connections has, the first is full
/// and the last is full in part, half on average; what nobody wrote to is not resident.
const POOL_LEAST: u64 = 3 << 19;

/// Connections of a tunnel at the same time.
const CONNECTIONS: u32 = 64;

/// The binary to be measured, and its bound.
fn binary() -> (PathBuf, u64) {
    match std::env::var_os("CELLGATE_RELEASE") {
        Some(path) => (path.into(), RELEASE_MAX),
        None => (AGENT.into(), DEBUG_MAX),
    }
}

async fn stage(target: &Target, lines: &str) -> (Stage, u64) {
    let (binary, bound) = binary();
    // The service holds little, so that it is the agent that fills.
    let options = ServiceOptions {
        line_size: 256 << 10,
        ..ServiceOptions::default()
    };
    let routes = [("robot1", target.address(), lines)];
    let stage = Stage::with(options, &["robot1"], |service, tunnel| {
        AgentBuilder::configured(binary, service, tunnel, &routes).expect("a folder")
    })
    .await;
    (stage, bound)
}

/// What the kernel counts.
#[derive(Clone, Copy, Debug)]
struct Count {
    resident: u64,
    anonymous: u64,
    descriptors: usize,
    threads: u64,
}

fn count(agent: &Agent) -> Count {
    Count {
        resident: agent.rss().expect("it runs"),
        anonymous: agent.rss_anonymous().expect("it runs"),
        descriptors: agent.fds().expect("it runs"),
        threads: agent.threads().expect("it runs"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_full_stays_within_the_bound() {
    let silent = Target::start(Behaviour::Silent).expect("a free port");
    let (stage, bound) = stage(&silent, "stall = \"1h\"").await;
    let idle = count(&stage.agent);
    let mut source = stage.raw(Protocol::V3).await;
    for number in 1..=CONNECTIONS {
        let start = match number {
            1 => Message::stream_start(1, "robot1", 1),
            _ => Message::connection_start(1, "robot1", number),
        };
        source.send(start).await.expect("connected");
    }
    let all = |records: &[cell::target::Record]| records.len() == CONNECTIONS as usize;
    silent
        .wait(all, LIMIT)
        .await
        .expect("every connection is there");
    let open = count(&stage.agent);

    // To all in turn, so that every one of them has its part of the pool, until nothing goes out any more.
    let full = fill(&mut source).await;
    // What is still on its way to the agent.
    sleep(Duration::from_secs(1)).await;
    let most = count(&stage.agent);
    let peak = stage.agent.peak_rss().expect("it runs");
    println!(
        "idle {idle:?}\n64 connections {open:?}\nfull after {full} bytes {most:?}, peak {peak}, bound {bound}"
    );
    assert!(
        full > 8 << 20,
        "only {full} bytes went out: the pool cannot be full"
    );
    assert!(most.resident <= peak);
    assert!(
        peak <= bound,
        "{peak} bytes resident with everything full, at most {bound} were promised"
    );
    let growth = most.anonymous - idle.anonymous;
    assert!(growth <= GROWTH_MAX, "{growth} bytes more than idle");
    assert!(
        growth > POOL_LEAST,
        "the pool of 2 MiB is not full: {growth} bytes more than idle"
    );
    assert_eq!(most.threads, idle.threads);
    // Nobody is cut, nothing is lost: the first byte and the last are still to come.
    assert!(
        silent
            .connections()
            .iter()
            .all(|record| record.ended.is_none())
    );
    silent.resume();
    // More than the agent and the kernels hold for one.
    let taken =
        |records: &[cell::target::Record]| records.iter().all(|record| record.received > 150_000);
    silent
        .wait(taken, LIMIT)
        .await
        .expect("all of them take bytes again");
    stage.end();
}

/// Sends in turn to every connection until the way is full; gives the count of bytes.
async fn fill(source: &mut RawSource) -> usize {
    let piece = pattern(1, 16_000);
    let mut sent = 0;
    loop {
        for number in 1..=CONNECTIONS {
            let data = Message::data(1, "robot1", number, piece.clone());
            // A send that is given up may have sent a part; nothing is sent behind it.
            match timeout(Duration::from_secs(3), source.send(data)).await {
                Ok(Ok(())) => sent += piece.len(),
                Ok(Err(RecvError::Lost(why))) => panic!("the link is lost: {why}"),
                Ok(Err(other)) => panic!("{other}"),
                Err(_) => return sent,
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn short_connections_leave_nothing_behind() {
    let robot = Target::start(Behaviour::Echo).expect("a free port");
    let (stage, _) = stage(&robot, "").await;
    let source = stage.source(Protocol::V3).await;
    // Whatever is made once is there behind these.
    for _ in 0..200 {
        short(&source).await;
    }
    let before = settled(&stage, &robot, 200).await;
    for _ in 0..2_000 {
        short(&source).await;
    }
    let after = settled(&stage, &robot, 2_200).await;
    println!("behind 200 connections {before:?}\nbehind 2200 connections {after:?}");
    assert_eq!(after.descriptors, before.descriptors);
    assert_eq!(after.threads, before.threads);
    let growth = after.anonymous.saturating_sub(before.anonymous);
    assert!(
        growth <= 128 << 10,
        "2000 connections left {growth} bytes behind"
    );
    stage.end();
}

async fn short(source: &cell::source::Source) {
    let mut client = connect(source, "robot1").await;
    echo(&mut client, b"a few words").await;
    tokio::io::AsyncWriteExt::shutdown(&mut client)
        .await
        .expect("connected");
    ended(&mut client).await;
}

/// The count when every connection so far is over for the agent too.
async fn settled(stage: &Stage, robot: &Target, connections: usize) -> Count {
    let over = |records: &[cell::target::Record]| {
        records.len() == connections && records.iter().all(|record| record.ended.is_some())
    };
    robot
        .wait(over, LIMIT)
        .await
        .expect("every connection ends");
    // The agent closes its sockets when it sees the FIN of the robot: soon, but there is no event to wait for.
    let mut now = count(&stage.agent);
    for _ in 0..40 {
        sleep(Duration::from_millis(50)).await;
        let next = count(&stage.agent);
        if next.descriptors == now.descriptors && next.descriptors < 20 {
            return next;
        }
        now = next;
    }
    panic!("{} file descriptors stay open", now.descriptors);
}
