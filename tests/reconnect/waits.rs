//! Between two attempts: how long the agent waits, and when it never tries again.

use std::time::Duration;

use cell::journal::Mark;
use cell::service::{Event, Kill, Refusal, ServiceOptions};
use cell::target::{Behaviour, Target};
use cell::wire::Mode;
use tokio::time::Instant;

use crate::BACK;
use crate::client::from_file;
use crate::stage::{LIMIT, Stage};

/// The waits before attempt 2, 3, … may be anything up to 0.5 s, 1 s, 2 s …; several agents, so that chance is seen.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_waits_are_capped_and_jittered() {
    let tasks: Vec<_> = (0..4).map(|_| tokio::spawn(gaps())).collect();
    let mut shares = Vec::new();
    for task in tasks {
        shares.extend(task.await.expect("no panic"));
    }
    shares.sort_by(f64::total_cmp);
    let spread = shares[shares.len() - 1] - shares[0];
    // 16 even draws lie within 0.3 of each other once in a million runs.
    assert!(spread > 0.3, "no jitter: parts of the cap {shares:.2?}");
}

/// Has an agent rejected with 503 four times; gives each wait as a part of its cap.
async fn gaps() -> Vec<f64> {
    const REJECTED: usize = 4;
    let robot = Target::start(Behaviour::Echo).expect("a free port");
    let stage = Stage::with(ServiceOptions::default(), &["robot1"], |service, tunnel| {
        tunnel
            .destination
            .refuse_next(REJECTED, &Refusal::status(503));
        from_file(service, tunnel, &[("robot1", robot.address(), "")])
    })
    .await;
    let events = stage.service.events();
    let attempts: Vec<Instant> = events
        .iter()
        .filter(|entry| entry.what.is_rejected(503) || entry.what.is_connected(Mode::Destination))
        .map(|entry| entry.at)
        .collect();
    assert_eq!(attempts.len(), REJECTED + 1);
    let mut shares = Vec::new();
    for (number, pair) in attempts.windows(2).enumerate() {
        let cap = Duration::from_millis(500) * (1 << number);
        let gap = pair[1].duration_since(pair[0]);
        // An attempt takes its time too: TCP, TLS and a request, beside other tests.
        assert!(
            gap <= cap + Duration::from_millis(750),
            "wait {number} took {gap:?}, its cap is {cap:?}"
        );
        shares.push(gap.as_secs_f64() / cap.as_secs_f64());
    }
    let waits = stage
        .agent
        .log()
        .iter()
        .filter(|line| line.contains("next attempt"))
        .count();
    assert_eq!(waits, REJECTED);
    let reason = |line: &str| line.contains("HTTP 503");
    stage
        .agent
        .wait_line(reason, LIMIT)
        .await
        .expect("the log has the status");
    stage.end();
    shares
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_behind_a_lost_link_is_final() {
    let robot = Target::start(Behaviour::Echo).expect("a free port");
    let mut stage = Stage::configured(&[("robot1", robot.address(), "")]).await;
    let refusal = Refusal::Status {
        status: 403,
        retry_after: None,
        reason: Some("Tunnel is over for good".to_owned()),
    };
    stage.tunnel.destination.refuse_next(1, &refusal);
    stage
        .tunnel
        .destination
        .kill(Kill::Reset)
        .expect("connected");
    assert_eq!(stage.agent.wait_exit(BACK).await.expect("it exits"), 69);
    let line = stage
        .agent
        .wait_line(|line| line.contains("HTTP 403"), LIMIT)
        .await
        .expect("the log says why");
    for part in [
        "tunnel ",
        "Tunnel is over for good",
        &stage.service.endpoint(),
    ] {
        assert!(line.contains(part), "{part:?} is missing in {line:?}");
    }
    let rejected = |event: &Event| event.is_rejected(403);
    assert_eq!(
        stage.service.count_events(Mark::START, rejected),
        1,
        "a dead token was tried again"
    );
    stage.end_stopped();
}
