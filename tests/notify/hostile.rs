//! Payloads that AWS never writes: each is one line of the log without a word of it, and nothing else.

use cell::broker::Event;
use cell::journal::Mark;
use cell::notification::{notification, payload};
use serde_json::{Value, json};

use crate::scene::{LONG, Scene, THING, says, up};

/// Stands in every hostile payload where a token would.
const SECRET: &str = "AQGAAXhostilesecret";

/// The notification that AWS would write, for a token that must not be seen anywhere.
fn good() -> Value {
    json!({
        "clientAccessToken": SECRET,
        "clientMode": "destination",
        "region": "eu-central-1",
        "services": ["robot1"],
    })
}

/// The same with one field changed.
fn with(field: &str, value: Value) -> Vec<u8> {
    let mut payload = good();
    payload[field] = value;
    payload.to_string().into_bytes()
}

fn without(field: &str) -> Vec<u8> {
    let mut payload = good();
    payload.as_object_mut().expect("an object").remove(field);
    payload.to_string().into_bytes()
}

/// The same with this text before its closing brace.
fn and(text: &str) -> Vec<u8> {
    let whole = good().to_string();
    let open = whole.strip_suffix('}').expect("an object");
    format!("{open},{text}}}").into_bytes()
}

/// Publishes each, expects its line, and then a good one. No more than have lines within a minute.
async fn refuses(payloads: Vec<(Vec<u8>, &str)>) {
    let (scene, broker) = Scene::strict(1, |file| file).await;
    let scene = Scene {
        gateway: scene.gateway.build(|builder| builder.args(["-v", "5"])),
        ..scene
    };
    let agent = scene.start().await;
    let mut mark = agent.mark();
    let count = payloads.len();
    assert!(count <= 10, "further ones have no line");
    for (payload, why) in payloads {
        let acknowledged = broker.mark();
        broker.notify(THING, &payload).expect("published");
        let (line, next) = says(&agent, mark, &["mqtt: a message was refused: "]).await;
        assert!(line.contains(why), "{line:?} lacks {why:?}");
        assert!(line.contains("WARN"), "{line:?}");
        let acknowledged = broker.wait_event_after(acknowledged, |e| e.is_puback(THING), LONG);
        acknowledged.await.expect("it is acknowledged");
        mark = next;
    }
    let tunnel = scene.tunnel(1);
    broker.notify(THING, &payload(&tunnel)).expect("published");
    up(&tunnel).await;
    scene.transfer(&tunnel, 1, 10_000).await;
    let log = agent.log();
    let refused = log.iter().filter(|line| line.contains("was refused"));
    assert_eq!(refused.count(), count, "one line each");
    for line in &log {
        assert!(!line.contains("hostile"), "a secret in the log: {line}");
    }
    let connected = |event: &Event| event.is_connected(THING);
    assert_eq!(broker.count_events(Mark::START, connected), 1);
    assert_eq!(broker.violations(), []);
    assert_eq!(scene.audit("tunnel-opened").len(), 1);
    scene.end(agent, &[&tunnel]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_json_of_ours_is_refused() {
    // Passed over without a stack that grows with it; what is not closed in it is still no JSON.
    let deep = format!("\"deep\":{}1{}", "[".repeat(3_000), "]".repeat(2_999));
    let services: Vec<String> = (0..4_000).map(|n| format!("service{n}")).collect();
    let spaced = format!("{}{}", good(), " ".repeat(9_000));
    let half = good().to_string();
    refuses(vec![
        (format!("not JSON, {SECRET}").into_bytes(), "not JSON"),
        (Vec::new(), "not JSON"),
        (half.as_bytes()[..half.len() / 2].to_vec(), "not JSON"),
        (json!([good()]).to_string().into_bytes(), "not an object"),
        (b"\xff\xfe hostile".to_vec(), "not UTF-8"),
        (and(&deep), "not JSON"),
        (spaced.into_bytes(), "expected at most 8192"),
        (vec![b'x'; 100_000], "passed over unread"),
        (with("services", json!(services)), "passed over unread"),
        ([b"\0".as_slice(), &without("x")].concat(), "not JSON"),
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fields_that_are_not_ours_are_refused() {
    let odd = format!("{SECRET}\u{0}");
    let deep = format!("\"services\":{}1{}", "[".repeat(3_000), "]".repeat(3_000));
    let deep = good()
        .to_string()
        .replace("\"services\":[\"robot1\"]", &deep);
    refuses(vec![
        (with("clientMode", json!("source")), "\"source\""),
        (without("clientAccessToken"), "clientAccessToken is missing"),
        (
            with("clientAccessToken", json!(odd)),
            "the access token has",
        ),
        (
            with("clientAccessToken", json!(format!("{SECRET} \r\nx"))),
            "the access token has",
        ),
        (with("region", json!("evil.example/")), "region is not"),
        (deep.into_bytes(), "service 1 is no service ID"),
        (with("clientAccessToken", json!([SECRET])), "is a list"),
        (
            with("services", json!({"hostile": 1})),
            "services is an object",
        ),
        (
            with("services", json!(["robot1", "hostile\nservice"])),
            "service 2 is no service ID",
        ),
        (
            and(&format!("\"clientAccessToken\":\"{SECRET}2\"")),
            "clientAccessToken stands there twice",
        ),
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_bad_ones_does_not_fill_the_log() {
    const FLOOD: usize = 200;
    let (scene, broker) = Scene::strict(1, |file| file).await;
    let agent = scene.start().await;
    let before = agent.log().len();
    for number in 0..FLOOD {
        let bad = with("clientMode", json!(format!("hostile {number}")));
        broker.notify(THING, &bad).expect("published");
    }
    let tunnel = scene.tunnel(1);
    let mut last = notification(&tunnel);
    last["new field of AWS"] = json!({"a": [1, null, {}]});
    let deep = format!(",\"deep\":{}1{}}}", "[".repeat(2_000), "]".repeat(2_000));
    let last = last.to_string();
    let last = last.strip_suffix('}').expect("an object").to_owned() + &deep;
    let last = last.into_bytes();
    broker.notify(THING, &last).expect("published");
    up(&tunnel).await;
    // In the order in which they came, so the good one is the last.
    let mut mark = Mark::START;
    for _ in 0..=FLOOD {
        let puback = broker.wait_event_after(mark, |event| event.is_puback(THING), LONG);
        mark = puback.await.expect("each is acknowledged").1;
    }
    scene.transfer(&tunnel, 1, 10_000).await;
    let log = agent.log();
    let refused = log.iter().filter(|line| line.contains("was refused"));
    assert_eq!(refused.count(), 10);
    assert!(log.len() - before < 30, "{log:#?}");
    let last = "further ones of this minute are counted";
    assert_eq!(log.iter().filter(|line| line.contains(last)).count(), 1);
    // The status counts what the log does not tell.
    let counted = |status: &Value| status["mqtt"]["refused"] == FLOOD;
    let status = scene.gateway.wait_status(counted, LONG).await;
    status.expect("the status counts them");
    scene.end(agent, &[&tunnel]);
}
