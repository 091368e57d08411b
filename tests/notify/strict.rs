//! What only a broker of the test's own can do: take a session over, refuse, hang, and deliver twice.

use std::time::{Duration, Instant};

use cell::broker::{Broker, Event, Switches};
use cell::journal::Mark;
use cell::notification::payload;

use crate::scene::{LONG, Scene, THING, name, says, subscribed, up};

/// The log's `next attempt in 61.5 s` in seconds.
fn next_attempt(line: &str) -> f64 {
    let rest = line.split_once("next attempt in ").expect("a wait").1;
    let number = rest.split_once(" s").expect("seconds").0;
    number.parse().expect("a number")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_that_is_taken_over_is_named_and_not_fought_for() {
    let (scene, broker) = Scene::strict(1, |file| file).await;
    let agent = scene.start().await;
    let device = broker.device(THING).expect("a certificate");
    let twin = Scene::new(1, |file| file.notify(broker.port(), &device)).await;
    let second = twin.start().await;
    let parts = ["session taken over (0x8e)", "second gateway"];
    let (line, _) = says(&agent, Mark::START, &parts).await;
    assert!(next_attempt(&line) >= 60.0, "a fight: {line}");
    // The one that came later has it.
    let tunnel = twin.tunnel(1);
    broker.notify(THING, &payload(&tunnel)).expect("published");
    up(&tunnel).await;
    let connected = |event: &Event| event.is_connected(THING);
    assert_eq!(broker.count_events(Mark::START, connected), 2);
    assert_eq!(broker.violations(), []);
    twin.end(second, &[&tunnel]);
    scene.end(agent, &[]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refusals_are_named_with_what_to_do() {
    for (switch, parts) in [
        (
            Switches {
                refuse_connect: Some(0x87),
                ..Switches::default()
            },
            ["refused the login", "not authorized (0x87)", "iot:Connect"],
        ),
        (
            Switches {
                refuse_subscribe: Some(0x87),
                ..Switches::default()
            },
            [
                "refused the subscription",
                "not authorized (0x87)",
                "iot:Subscribe",
            ],
        ),
    ] {
        let (scene, broker) = Scene::strict(1, |file| file).await;
        broker.switch(|now| *now = switch);
        let agent = scene.gateway.start().expect("an agent");
        let (line, _) = says(&agent, Mark::START, &parts).await;
        // A person has to put it right.
        assert!(next_attempt(&line) >= 30.0, "{line}");
        scene.end(agent, &[]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_busy_broker_is_tried_again_soon() {
    let (scene, broker) = Scene::strict(1, |file| file).await;
    broker.switch(|now| now.refuse_connect = Some(0x88));
    let agent = scene.gateway.start().expect("an agent");
    let (line, mark) = says(&agent, Mark::START, &["server unavailable (0x88)"]).await;
    assert!(next_attempt(&line) <= 2.0, "{line}");
    broker.switch(|now| now.refuse_connect = None);
    subscribed(&agent, mark).await;
    let tunnel = scene.tunnel(1);
    broker.notify(THING, &payload(&tunnel)).expect("published");
    up(&tunnel).await;
    scene.end(agent, &[&tunnel]);
}

/// The broker hangs at one stage from the start of the agent, which finds out within its limit, says where, and comes
/// back when the broker does.
async fn hangs(switch: Switches, stage: &str, limit: Duration) {
    let (scene, broker) = Scene::strict(1, |file| file).await;
    let hang_tls = switch.hang_tls;
    broker.switch(|now| *now = switch);
    let start = Instant::now();
    let agent = scene.gateway.start().expect("an agent");
    let (_, mark) = says(&agent, Mark::START, &["mqtt: ", stage]).await;
    let took = start.elapsed();
    let slack = Duration::from_secs(6);
    assert!(took >= limit, "{stage}: given up after {took:?}");
    assert!(took < limit + slack, "{stage}: found after {took:?}");
    broker.switch(|now| *now = Switches::default());
    // What hangs in the accepting of TLS hangs for good; the next connection does not.
    assert!(!hang_tls || !broker.is_connected(THING));
    subscribed(&agent, mark).await;
    let tunnel = scene.tunnel(1);
    broker.notify(THING, &payload(&tunnel)).expect("published");
    up(&tunnel).await;
    scene.end(agent, &[&tunnel]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_hangs_is_found_out() {
    let stage = Duration::from_secs(20);
    let off = Switches::default;
    let tls = Switches {
        hang_tls: true,
        ..off()
    };
    let login = Switches {
        hang_connect: true,
        ..off()
    };
    let subscription = Switches {
        hang_subscribe: true,
        ..off()
    };
    // A ping every 15 s, and 15 s for its answer.
    let pong = Switches {
        no_pingresp: true,
        keep_alive: Some(30),
        ..off()
    };
    tokio::join!(
        hangs(tls, "the TLS handshake did not end within 20 s", stage),
        hangs(login, "the login did not end within 20 s", stage),
        hangs(
            subscription,
            "the subscription did not end within 20 s",
            stage
        ),
        hangs(
            pong,
            "no answer to a ping within 15 s",
            Duration::from_secs(30)
        ),
    );
}

/// Waits until the broker has seen this, behind a mark.
async fn saw(broker: &Broker, mark: Mark, fits: impl Fn(&Event) -> bool) {
    let event = broker.wait_event_after(mark, fits, LONG).await;
    event.expect("the broker sees it");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_delivered_twice_opens_one_tunnel() {
    let (scene, broker) = Scene::strict(1, |file| file).await;
    let scene = Scene {
        gateway: scene.gateway.build(|builder| builder.args(["-v", "5"])),
        ..scene
    };
    let agent = scene.start().await;
    // The acknowledgement is lost with the connection, so that QoS 1 delivers again.
    broker.switch(|now| now.silence = true);
    let tunnel = scene.tunnel(1);
    broker.notify(THING, &payload(&tunnel)).expect("published");
    up(&tunnel).await;
    let (sent, said) = (broker.mark(), agent.mark());
    broker.kill(THING).expect("connected");
    saw(&broker, sent, |event| event.is_disconnected(THING)).await;
    broker.switch(|now| now.silence = false);
    saw(&broker, sent, |event| {
        matches!(event, Event::Sent { dup: true, .. })
    })
    .await;
    saw(&broker, sent, |event| event.is_puback(THING)).await;
    says(&agent, said, &[&name(&tunnel), "its token came again"]).await;

    // As a new message it is no new tunnel either, and not even when the tunnel is over.
    let said = agent.mark();
    broker.notify(THING, &payload(&tunnel)).expect("published");
    says(&agent, said, &[&name(&tunnel), "its token came again"]).await;
    scene.transfer(&tunnel, 1, 10_000).await;
    assert_eq!(tunnel.destination.traffic().connections, 1);
    tunnel.close();
    scene.wait_audit("tunnel-ended", &tunnel).await;
    let said = agent.mark();
    broker.notify(THING, &payload(&tunnel)).expect("published");
    says(&agent, said, &[&name(&tunnel), "came again, after its end"]).await;
    assert_eq!(scene.audit("tunnel-opened").len(), 1);
    assert_eq!(scene.audit("tunnel-refused").len(), 0);
    let again = tunnel.clone();
    let tunnel = scene.tunnel(1);
    broker.notify(THING, &payload(&tunnel)).expect("published");
    up(&tunnel).await;
    assert_eq!(again.destination.traffic().connections, 1);
    assert_eq!(broker.violations(), []);
    scene.end(agent, &[&tunnel, &again]);
}
