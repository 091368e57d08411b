//! A day of a gateway that nobody visits: one agent, one broker, one fault after the other, and after each of them
//! an engineer who wants to work. At the end the agent is the same process with the memory, the threads and the
//! descriptors of the morning, it broke no rule, and nothing that it wrote holds a secret.
//!
//! What each fault means is tested on its own elsewhere; here they come together.

#[path = "../stage/client.rs"]
mod client;
#[path = "../stage/mod.rs"]
mod stage;

mod gateway;
mod secrets;

use std::time::Duration;

use cell::broker::Event as Told;
use cell::notification;
use cell::service::{Kill, Refusal};
use serde_json::json;

use crate::gateway::{Cell, THING};

/// A tunnel that is opened gets its engineer to work within this, whatever happened before.
const SOON: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread")]
async fn a_day_of_faults() {
    let mut cell = Cell::start().await;
    let morning = cell.works("the first tunnel").await;
    let at_first = cell.footprint();

    // The broker goes away and comes back, twice; what is told meanwhile is not lost.
    for _ in 0..2 {
        cell.broker.stop().await;
        let told_meanwhile = cell.open();
        let mark = cell.broker.mark();
        cell.broker.start_again().expect("its port is free");
        cell.subscribed_after(mark).await;
        cell.notify(&told_meanwhile);
        cell.carries(&told_meanwhile, "after a restart of the broker")
            .await;
        cell.close(told_meanwhile).await;
    }

    // A storm of 503: the service is there, and cannot.
    let stormy = cell.open();
    stormy.destination.refuse_next(4, &Refusal::status(503));
    cell.notify(&stormy);
    cell.carries(&stormy, "after a storm of 503").await;

    // Links that die in each way, with an engineer at work.
    for how in [Kill::Reset, Kill::Fin] {
        let mark = stormy.mark();
        stormy.destination.kill(how).expect("it is connected");
        cell.connected_after(&stormy, mark).await;
        cell.carries(&stormy, "after a dead link").await;
    }
    cell.close(stormy).await;

    // The service itself is away for a while.
    let mark = morning.mark();
    cell.service
        .stop_listening()
        .await
        .expect("it was listening");
    morning
        .destination
        .kill(Kill::Reset)
        .expect("it is connected");
    cell.logs("not reached").await;
    cell.service.listen_again().await.expect("its port is free");
    cell.connected_after(&morning, mark).await;
    cell.carries(&morning, "after the service was away").await;

    // Hostile notifications: a line each and nothing else.
    let mark = cell.agent.mark();
    for hostile in [
        b"".to_vec(),
        b"{".to_vec(),
        vec![b'['; 4000],
        json!({"clientMode": "source"}).to_string().into_bytes(),
        json!({"clientMode": "destination", "clientAccessToken": "a b", "region": "eu-central-1"})
            .to_string()
            .into_bytes(),
        vec![0xff; 60_000],
    ] {
        cell.broker.notify(THING, &hostile).expect("a session");
    }
    let after = cell.open();
    cell.notify(&after);
    cell.carries(&after, "after hostile notifications").await;
    let lines = cell.lines_after(mark, "mqtt: ");
    assert!(
        (6..=10).contains(&lines.len()),
        "a line for each hostile notification: {lines:#?}"
    );
    cell.close(after).await;

    // Ten notifications in a second; one place is taken by the morning's tunnel, which stays.
    let many: Vec<_> = (0..10).map(|_| cell.open()).collect();
    let mark = cell.agent.mark();
    for tunnel in &many {
        cell.notify(tunnel);
    }
    cell.logs_times(mark, "refused: all 4 places are taken", 7)
        .await;
    cell.carries(&morning, "while all places are taken").await;
    for tunnel in &many {
        // Those that got no place are closed as well.
        tunnel.close();
    }
    cell.waits_for_places(1).await;

    // Whoever was in the cell all day sees a gateway as in the morning.
    cell.carries(&morning, "in the evening").await;
    cell.holds(&at_first);
    let said = cell
        .gateway
        .run(&["status"], b"")
        .await
        .expect("the command runs");
    assert_eq!(said.code, Some(0), "{said:?}");

    let secrets = cell.secrets();
    secrets::nowhere(&cell, &secrets);
    cell.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_in_mid_session_it_is_back_in_five_seconds() {
    let mut cell = Cell::start().await;
    let tunnel = cell.works("the tunnel").await;
    let mut engineer = cell.engineer(&tunnel).await;
    engineer.asks(b"before").await;
    let mark = tunnel.mark();
    cell.agent.kill().await.expect("it runs");
    let started = std::time::Instant::now();
    cell.agent = cell.gateway.start().expect("the agent");
    cell.connected_after(&tunnel, mark).await;
    let took = started.elapsed();
    assert!(took < Duration::from_secs(5), "it took {took:?}");
    // The source is told that its stream is gone, so that the engineer's connection does not hang.
    engineer.hears_of_the_end().await;
    cell.carries(&tunnel, "after kill -9").await;
    let subscribed = |event: &Told| matches!(event, Told::Subscribed { .. });
    assert!(
        cell.broker
            .count_events(cell::journal::Mark::START, subscribed)
            >= 2,
        "it subscribes again"
    );
    let again = cell.open();
    cell.broker
        .notify(THING, &notification::payload(&tunnel))
        .expect("a session");
    cell.notify(&again);
    cell.carries(&again, "the next tunnel").await;
    cell.end().await;
}
