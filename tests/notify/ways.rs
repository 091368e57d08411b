//! The two ports of the broker, and what makes a service of the agent.

use cell::journal::Mark;
use cell::mosquitto::Mosquitto;
use cell::notification::{payload, topic};
use cell::proxy::{Event as ProxyEvent, Proxy, ProxyOptions};
use cell::service::Event;

use crate::scene::{LONG, Scene, THING, mosquitto, name, says, skipped, subscribed, up};

/// More than all buffers on the way together.
const LARGE: usize = 3_000_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_notification_opens_a_tunnel() {
    let Some(mosquitto) = mosquitto("a notification by port 8883").await else {
        return;
    };
    let device = mosquitto.device(THING).expect("a certificate");
    let scene = Scene::new(1, |file| file.notify(mosquitto.port(), &device)).await;
    let agent = scene.start().await;
    let tunnel = scene.tunnel(1);
    let sent = mosquitto.publish(&topic(THING), &payload(&tunnel), 1).await;
    sent.expect("published");
    up(&tunnel).await;
    let came = ["came by notification", "region eu-central-1", "robot1"];
    says(&agent, Mark::START, &came).await;
    scene.transfer(&tunnel, 1, LARGE).await;
    let opened = scene.wait_audit("tunnel-opened", &tunnel).await;
    assert_eq!(opened["by"], "notification");
    assert_eq!(opened["region"], "eu-central-1");
    // QoS 1: a message that was taken is acknowledged, or it came again for ever.
    let acknowledged = format!("Received PUBACK from {THING} ");
    let fits = |line: &str| line.contains(&acknowledged);
    let line = mosquitto.wait_line(fits, LONG).await;
    line.expect("the notification is acknowledged");
    scene.end(agent, &[&tunnel]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_notification_comes_by_port_443() {
    const TEST: &str = "a notification by port 443 with ALPN";
    if let Err(why) = Mosquitto::available() {
        return skipped(&format!("{why}: {TEST}"));
    }
    let mosquitto = match Mosquitto::start_on(443).await {
        Ok(mosquitto) => mosquitto,
        Err(why) => return skipped(&format!("port 443 cannot be had ({why}): {TEST}")),
    };
    let device = mosquitto.device(THING).expect("a certificate");
    let scene = Scene::new(1, |file| file.notify_at("localhost:443", &device)).await;
    let agent = scene.start().await;
    let fits = |line: &str| line == "front: a device came by ALPN";
    let line = mosquitto.wait_line(fits, LONG).await;
    line.expect("the agent offers the ALPN name");
    let tunnel = scene.tunnel(1);
    let sent = mosquitto.publish(&topic(THING), &payload(&tunnel), 1).await;
    sent.expect("published");
    up(&tunnel).await;
    scene.transfer(&tunnel, 1, LARGE).await;
    scene.end(agent, &[&tunnel]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_with_token_and_broker_is_a_service() {
    let (scene, broker) = Scene::strict(1, |file| file).await;
    let dead = scene.tunnel(1);
    dead.close();
    let scene = Scene {
        gateway: scene
            .gateway
            .build(|builder| builder.token(&dead.destination_token)),
        ..scene
    };
    let agent = scene.gateway.start().expect("an agent");
    // The token of its environment is dead. Without [notify] this is exit 69.
    let ended = scene.wait_audit("tunnel-ended", &dead).await;
    let reason = ended["reason"].as_str().expect("a reason");
    assert!(reason.contains("HTTP 403"), "{reason}");
    subscribed(&agent, Mark::START).await;
    let tunnel = scene.tunnel(1);
    broker.notify(THING, &payload(&tunnel)).expect("published");
    up(&tunnel).await;
    scene.transfer(&tunnel, 1, 10_000).await;
    scene.end(agent, &[&tunnel, &dead]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_token_ends_its_tunnel_alone() {
    let (scene, broker) = Scene::strict(1, |file| file).await;
    let agent = scene.start().await;
    let (good, dead) = (scene.tunnel(1), scene.tunnel(1));
    broker.notify(THING, &payload(&good)).expect("published");
    up(&good).await;
    dead.close();
    broker.notify(THING, &payload(&dead)).expect("published");
    scene.wait_audit("tunnel-ended", &dead).await;
    let parts = [name(&dead), "HTTP 403".into(), "never tried again".into()];
    says(&agent, Mark::START, &parts.each_ref().map(String::as_str)).await;
    // The other one did not notice, and its end by the service is no end of the agent either.
    scene.transfer(&good, 1, 10_000).await;
    assert_eq!(good.destination.traffic().connections, 1);
    good.close();
    scene.wait_audit("tunnel-ended", &good).await;
    let next = scene.tunnel(1);
    broker.notify(THING, &payload(&next)).expect("published");
    up(&next).await;
    let rejected = |event: &Event| event.is_rejected(403);
    assert_eq!(scene.service.count_events(Mark::START, rejected), 2);
    scene.end(agent, &[&good, &dead, &next]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn broker_and_service_are_reached_by_a_proxy_with_a_login() {
    let options = ProxyOptions {
        login: Some(("robot".to_owned(), "xyzzy-7".to_owned())),
        ..ProxyOptions::default()
    };
    let proxy = Proxy::start(options).await.expect("a free port");
    let lines = format!("url = \"http://robot:xyzzy-7@{}\"", proxy.address());
    let (scene, broker) = Scene::strict(1, |file| file.table("proxy", &lines)).await;
    let agent = scene.start().await;
    let tunnel = scene.tunnel(1);
    broker
        .notify(THING, &payload(&tunnel))
        .expect("the agent has a session");
    up(&tunnel).await;
    scene.transfer(&tunnel, 1, LARGE).await;
    let by = |host: &str| proxy.count(|event| *event == ProxyEvent::Opened(host.to_owned()));
    assert_eq!(by(&format!("localhost:{}", broker.port())), 1, "the broker");
    assert_eq!(by(&scene.service.endpoint()), 1, "the service");
    assert_eq!(proxy.violations(), [""; 0]);
    assert!(
        !agent.log().iter().any(|line| line.contains("xyzzy-7")),
        "the password is in the log"
    );
    scene.end(agent, &[&tunnel]);
}
