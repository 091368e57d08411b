//! What waits costs nothing: no wait of the agent is a loop that asks again and again.

use std::time::Duration;

use cell::service::Protocol;
use cell::target::BlackHole;
use cell::wire::Message;

use crate::stage::Stage;

/// How long the agent is watched. Less than it tries to reach a target.
const WATCHED: Duration = Duration::from_secs(5);

/// Early data for a target that does not answer, and then the end of it: the bytes wait for the target to be written
/// out, and nobody waits for them.
async fn waits_idly_behind(reset: Message) {
    let target = BlackHole::new().await.expect("a target");
    let stage = Stage::up(&[("robot1", target.address())]).await;
    let mut raw = stage.raw(Protocol::V3).await;
    raw.send_many(&[
        Message::stream_start(1, "robot1", 1),
        Message::data(1, "robot1", 1, vec![7; 10_000]),
        reset,
    ])
    .await
    .expect("connected");
    stage.idles(WATCHED).await;
    stage.end();
}

#[tokio::test]
async fn a_connection_reset_while_connecting_costs_no_processor_time() {
    waits_idly_behind(Message::connection_reset(1, "robot1", 1)).await;
}

#[tokio::test]
async fn a_stream_reset_while_connecting_costs_no_processor_time() {
    waits_idly_behind(Message::stream_reset(1, "robot1")).await;
}
