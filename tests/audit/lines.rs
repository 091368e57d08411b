//! One session from its beginning to its end, line by line.

use cell::pattern::{hex, pattern};
use cell::service::ServiceOptions;
use cell::target::{Behaviour, Target, Then};
use cell::wire::{Kind, Message};
use serde_json::{Value, json};

use crate::site::{Plan, connected_after, name_of};
use crate::stage::{LIMIT, is};
use crate::tape::{agreed, fields};

/// Something that is found wherever it is.
const PAYLOAD: &str = "LOAD very-secret-program.as";

/// The fields of `line` that are no times, as they must be.
fn is_line(line: &Value, expected: &Value) {
    let mut told = line.clone();
    let object = told.as_object_mut().expect("an object");
    for name in ["time", "seconds", "milliseconds"] {
        object.remove(name);
    }
    assert_eq!(&told, expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_is_written_down_line_by_line() {
    const SENT: u64 = 100_000;
    let robot = Target::start(Behaviour::Echo).expect("a free port");
    let sender = Behaviour::Send {
        bytes: SENT,
        seed: 1,
        then: Then::Close,
    };
    let sender = Target::start(sender).expect("a free port");
    let plan = Plan::new(ServiceOptions::default()).await;
    let plan = plan.route("robot1", robot.address(), "");
    let site = plan.route("robot2", sender.address(), "").start().await;
    let tunnel = site.service.open_tunnel(&["robot1", "robot2"]);
    let mark = tunnel.mark();
    site.open(&tunnel).await;
    let client_token = connected_after(&tunnel, mark).await;
    let mut source = site.raw(&tunnel).await;

    // One that the source ends.
    source
        .send_many(&[
            Message::stream_start(1, "robot1", 1),
            Message::data(1, "robot1", 1, PAYLOAD),
        ])
        .await
        .expect("connected");
    source.expect(is(Kind::Data), LIMIT).await.expect("an echo");
    let reset = Message::stream_reset(1, "robot1");
    source.send(reset).await.expect("connected");
    robot.wait_ended(0, LIMIT).await.expect("it ends");
    let ended = |service: &'static str| {
        move |line: &Value| line["event"] == "stream-ended" && line["service"] == service
    };
    site.gateway
        .wait_audit(ended("robot1"), LIMIT)
        .await
        .expect("it is audited");
    // One that the controller ends.
    let start = Message::stream_start(-7, "robot2", 3);
    source.send(start).await.expect("connected");
    site.gateway
        .wait_audit(ended("robot2"), LIMIT)
        .await
        .expect("it is audited");
    tunnel.close();
    let over = |line: &Value| line["event"] == "tunnel-ended";
    site.gateway
        .wait_audit(over, LIMIT)
        .await
        .expect("it is audited");

    let lines = agreed(&site).await;
    let name = name_of(&tunnel);
    let (one, two) = (robot.address().to_string(), sender.address().to_string());
    let bytes = PAYLOAD.len();
    let endpoint = site.service.endpoint();
    let expected = [
        json!({"event": "tunnel-opened", "tunnel": name, "by": "cellgate open", "region": "eu-central-1"}),
        json!({"event": "tunnel-up", "tunnel": name, "service": endpoint}),
        json!({"event": "stream-opened", "tunnel": name, "service": "robot1", "stream": 1, "connection": 1, "target": one}),
        json!({"event": "first-byte", "tunnel": name, "service": "robot1", "stream": 1, "connection": 1, "way": "down"}),
        json!({"event": "first-byte", "tunnel": name, "service": "robot1", "stream": 1, "connection": 1, "way": "up"}),
        json!({"event": "stream-ended", "tunnel": name, "service": "robot1", "stream": 1, "connection": 1, "target": one,
            "down": bytes, "up": bytes, "reason": "the source closed it"}),
        json!({"event": "stream-opened", "tunnel": name, "service": "robot2", "stream": -7, "connection": 3, "target": two}),
        json!({"event": "first-byte", "tunnel": name, "service": "robot2", "stream": -7, "connection": 3, "way": "up"}),
        json!({"event": "stream-ended", "tunnel": name, "service": "robot2", "stream": -7, "connection": 3, "target": two,
            "down": 0, "up": SENT, "reason": "the controller closed the connection"}),
    ];
    assert_eq!(lines.len(), expected.len() + 2, "{lines:#?}");
    for (line, expected) in lines.iter().zip(&expected) {
        is_line(line, expected);
    }
    let down = &lines[lines.len() - 2];
    assert_eq!(fields(down), ["event", "reason", "time", "tunnel"]);
    assert_eq!(down["event"], "tunnel-down");
    let last = &lines[lines.len() - 1];
    let reason = last["reason"].as_str().unwrap_or_default();
    assert!(
        reason.starts_with("the service refused the token: "),
        "{reason}"
    );
    is_line(
        last,
        &json!({"event": "tunnel-ended", "tunnel": name, "streams": 2, "down": bytes, "up": SENT + bytes as u64,
            "reason": reason}),
    );
    assert!(lines[5]["seconds"].is_f64() && lines[3]["milliseconds"].is_u64());
    assert!(last["seconds"].is_u64());

    // What must never be anywhere.
    let mut texts = site.agent.log();
    texts.extend(site.gateway.audit_lines().expect("a file"));
    let status = site.gateway.status().expect("JSON").expect("a file");
    texts.push(status.to_string());
    let sent = pattern(1, 64);
    let secrets = [
        tunnel.destination_token.as_str(),
        &tunnel.destination_token[..40],
        &tunnel.source_token[..40],
        &client_token,
        "very-secret",
        &hex(b"very-secret"),
        &hex(&sent[..16]),
    ];
    for text in &texts {
        for secret in secrets {
            assert!(!text.contains(secret), "{secret} in {text}");
        }
    }
    site.end(&[&tunnel]);
}

/// Off, its reason, what it ended; then on, and up again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_key_switch_is_written_down() {
    let robot = Target::start(Behaviour::Echo).expect("a free port");
    let plan = Plan::new(ServiceOptions::default()).await.with_switch("");
    let site = plan.route("robot1", robot.address(), "").start().await;
    site.switch_on();
    let tunnel = site.service.open_tunnel(&["robot1"]);
    site.open_up(&tunnel).await;
    let mut source = site.raw(&tunnel).await;
    source
        .send_many(&[
            Message::stream_start(1, "robot1", 1),
            Message::data(1, "robot1", 1, "hello"),
        ])
        .await
        .expect("connected");
    source.expect(is(Kind::Data), LIMIT).await.expect("an echo");
    site.switch_off();
    robot.wait_ended(0, LIMIT).await.expect("it ends");
    site.wait_state("waits for access").await;
    let mark = tunnel.mark();
    site.switch_on();
    connected_after(&tunnel, mark).await;
    site.wait_state("up").await;
    let lines = agreed(&site).await;
    let of = |event: &str| {
        let found = lines.iter().filter(|line| line["event"] == event);
        found.collect::<Vec<_>>()
    };
    // The agent began with the switch off; that is the first line.
    let (off, on) = (of("access-off"), of("access-on"));
    assert_eq!((off.len(), on.len()), (2, 2), "{lines:#?}");
    for line in &off {
        let reason = line["reason"].as_str().unwrap_or_default();
        assert!(reason.ends_with("remote-enabled is off"), "{reason}");
        assert_eq!(fields(line), ["event", "reason", "time"]);
    }
    for line in &on {
        let reason = line["reason"].as_str().unwrap_or_default();
        assert!(reason.ends_with("remote-enabled is on"), "{reason}");
    }
    let events: Vec<&str> = lines
        .iter()
        .map(|line| line["event"].as_str().expect("a name"))
        .filter(|event| *event != "first-byte")
        .collect();
    let ups = events.iter().filter(|event| **event == "tunnel-up").count();
    assert_eq!(ups, 2, "{events:?}");
    assert_eq!(of("tunnel-opened").len(), 1, "it kept its place");
    assert_eq!(of("tunnel-ended").len(), 0, "it kept its place");
    let ended = of("stream-ended");
    assert_eq!(ended.len(), 1);
    assert_eq!((&ended[0]["down"], &ended[0]["up"]), (&json!(5), &json!(5)));
    site.end(&[&tunnel]);
}
