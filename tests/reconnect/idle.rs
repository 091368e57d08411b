//! Behind a lost link nothing is asked again and again, whatever the connections waited for when it was lost.

use std::time::Duration;

use cell::journal::Mark;
use cell::pattern::pattern;
use cell::service::{Event, Kill, Protocol, Refusal};
use cell::target::{Behaviour, Target};
use cell::wire::Message;

use crate::BACK;
use crate::stage::{LIMIT, Stage};

/// More than the kernel takes for a slow controller; it needs 2.5 s for them.
const QUEUED: usize = 400_000;

/// How long the agent is watched, from when the controller has all of it.
const WATCHED: Duration = Duration::from_secs(3);

/// What the service answers the next attempt with: longer than the controller and [`WATCHED`] take.
const RETRY_AFTER: &str = "7";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_of_a_connection_ends_with_it() {
    let slow = Behaviour::Slow {
        bytes: 8_000,
        every: Duration::from_millis(50),
    };
    let slow = Target::start(slow).expect("a free port");
    let mut stage = Stage::configured(&[("robot1", slow.address(), "")]).await;
    let mut source = stage.raw(Protocol::V3).await;
    let start = Message::stream_start(1, "robot1", 1);
    source.send(start).await.expect("connected");
    for piece in pattern(3, QUEUED).chunks(50_000) {
        let data = Message::data(1, "robot1", 1, piece.to_vec());
        source.send(data).await.expect("connected");
    }
    let queued = |line: &str| line.contains("first byte to the controller");
    let told = stage.agent.wait_line(queued, LIMIT).await;
    told.expect("the agent has them");
    let wait = Refusal::Status {
        status: 503,
        retry_after: Some(RETRY_AFTER.to_owned()),
        reason: None,
    };
    let destination = &stage.tunnel.destination;
    destination.refuse_next(1, &wait);
    destination.refuse_next(1, &Refusal::status(403));
    destination.kill(Kill::Reset).expect("connected");
    let owed = |line: &str| line.contains("writes out the last");
    let owed = stage.agent.wait_line(owed, LIMIT).await;
    owed.expect("bytes wait for the controller");
    slow.wait_ended(0, LIMIT).await.expect("it ends");
    let rejected = |event: &Event| event.is_rejected(503);
    let refused = stage.service.wait_event_after(Mark::START, rejected, LIMIT);
    refused.await.expect("the agent tries again");

    stage.idles(WATCHED).await;

    // Nor does it keep a tunnel that is over.
    assert_eq!(stage.agent.wait_exit(BACK).await.expect("it exits"), 69);
    stage.end_stopped();
}
