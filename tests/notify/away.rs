//! What is published while one of both is away arrives, and the agent comes back to its broker.

use cell::agent::Agent;
use cell::journal::Mark;
use cell::mosquitto::Mosquitto;
use cell::notification::{payload, topic};
use cell::service::Tunnel;

use crate::scene::{LONG, Scene, THING, mosquitto, says, subscribed, up};

async fn publish(mosquitto: &Mosquitto, tunnel: &Tunnel) {
    let sent = mosquitto.publish(&topic(THING), &payload(tunnel), 1).await;
    sent.expect("published");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_came_while_the_agent_was_away_arrives() {
    let Some(mut mosquitto) = mosquitto("a notification while the agent is away").await else {
        return;
    };
    let device = mosquitto.device(THING).expect("a certificate");
    let scene = Scene::new(1, |file| file.notify(mosquitto.port(), &device)).await;
    let mut agent = scene.start().await;
    says(&agent, Mark::START, &["the broker began a new session"]).await;
    agent.kill().await.expect("it ran");

    let first = scene.tunnel(1);
    publish(&mosquitto, &first).await;
    let mut agent = scene.start().await;
    says(&agent, Mark::START, &["the broker kept its session"]).await;
    up(&first).await;
    scene.transfer(&first, 1, 10_000).await;

    // Once more, with a broker that is restarted before the agent is back.
    agent.kill().await.expect("it ran");
    let second = scene.tunnel(1);
    publish(&mosquitto, &second).await;
    mosquitto.restart().await.expect("mosquitto comes back");
    let agent = scene.start().await;
    up(&second).await;
    scene.transfer(&second, 1, 10_000).await;
    scene.end(agent, &[&first, &second]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_agent_waits_for_a_broker_that_is_down() {
    let Some(mut mosquitto) = mosquitto("an agent that starts without its broker").await else {
        return;
    };
    let device = mosquitto.device(THING).expect("a certificate");
    let scene = Scene::new(1, |file| file.notify(mosquitto.port(), &device)).await;
    // By SIGKILL: one that has only just started can miss a SIGTERM.
    mosquitto.kill().await.expect("it ran");
    let agent = scene.gateway.start().expect("an agent");
    let port = mosquitto.port().to_string();
    says(
        &agent,
        Mark::START,
        &["mqtt: ", &port, "refused", "next attempt"],
    )
    .await;
    mosquitto.start_again().await.expect("mosquitto comes back");
    subscribed(&agent, Mark::START).await;
    let tunnel = scene.tunnel(1);
    publish(&mosquitto, &tunnel).await;
    up(&tunnel).await;
    scene.end(agent, &[&tunnel]);
}

/// The next notification after a restart opens a tunnel; the one before is still there.
async fn works(scene: &Scene, mosquitto: &Mosquitto, agent: &Agent, mark: Mark) -> Tunnel {
    subscribed(agent, mark).await;
    let tunnel = scene.tunnel(1);
    publish(mosquitto, &tunnel).await;
    up(&tunnel).await;
    scene.transfer(&tunnel, 1, 10_000).await;
    tunnel
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_of_the_broker_is_survived_and_its_reason_told() {
    let Some(mut mosquitto) = mosquitto("a restart of the broker").await else {
        return;
    };
    let device = mosquitto.device(THING).expect("a certificate");
    let scene = Scene::new(1, |file| file.notify(mosquitto.port(), &device)).await;
    let agent = scene.start().await;
    let first = works(&scene, &mosquitto, &agent, Mark::START).await;

    // In order: some versions say why, others only close.
    let (mark, subscriptions) = (agent.mark(), mosquitto.mark());
    mosquitto.restart().await.expect("mosquitto comes back");
    let why = |line: &str| {
        let told = line.contains("server shutting down (0x8b");
        let closed = line.contains("it closed the connection in the wait for notifications");
        line.contains("mqtt: ") && (told || closed) && line.contains("next attempt in")
    };
    let line = agent.wait_line_after(mark, why, LONG).await;
    line.expect("the log says why");
    let again = mosquitto.wait_subscribed(subscriptions, THING, LONG);
    again.await.expect("the agent subscribes again");
    let second = works(&scene, &mosquitto, &agent, mark).await;

    // By SIGKILL: it says nothing.
    let mark = agent.mark();
    mosquitto.kill().await.expect("it ran");
    let why = [
        "mqtt: ",
        "connection",
        "the wait for notifications",
        "next attempt in",
    ];
    says(&agent, mark, &why).await;
    mosquitto.start_again().await.expect("mosquitto comes back");
    let third = works(&scene, &mosquitto, &agent, mark).await;

    // None of this touched the tunnels.
    for tunnel in [&first, &second, &third] {
        assert_eq!(tunnel.destination.traffic().connections, 1);
        assert!(tunnel.destination.is_connected());
    }
    scene.end(agent, &[&first, &second, &third]);
}
