//! `cellgate status --json`: what stands in it, and that it is true.

use std::time::{Duration, Instant};

use cell::service::{Protocol, Refusal};
use cell::source::{RawSource, SourceOptions};
use cell::target::{Behaviour, Then};
use cell::wire::{Kind, Message};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use tokio::time::{MissedTickBehavior, interval};

use crate::client::{connect, echo};
use crate::gateway::{Cell, name};
use crate::stage::{LIMIT, is};

/// The keys of each object, as panels and scripts know them: none may go away or change its type.
const TOP: [(&str, &str); 14] = [
    ("access", "object"),
    ("clock_plausible", "boolean"),
    ("errors", "array"),
    ("format", "number"),
    ("memory", "object"),
    ("pid", "number"),
    ("places", "object"),
    ("state", "string"),
    ("streams_left_out", "number"),
    ("thing", "null"),
    ("time", "string"),
    ("tunnels", "array"),
    ("uptime_seconds", "number"),
    ("version", "string"),
];
const TUNNEL: [(&str, &str); 16] = [
    ("age_seconds", "number"),
    ("came", "string"),
    ("channel_id", "string"),
    ("down_bytes", "number"),
    ("endpoint", "string"),
    ("failures", "number"),
    ("last_error", "null"),
    ("lifetime_left_seconds", "number"),
    ("name", "string"),
    ("since_seconds", "number"),
    ("state", "string"),
    ("streams", "array"),
    ("streams_ever", "number"),
    ("up", "boolean"),
    ("up_bytes", "number"),
    ("version", "string"),
];
const STREAM: [(&str, &str); 11] = [
    ("age_seconds", "number"),
    ("connection", "number"),
    ("down_bytes", "number"),
    ("down_rate", "number"),
    ("idle_seconds", "number"),
    ("service", "string"),
    ("state", "string"),
    ("stream", "number"),
    ("target", "string"),
    ("up_bytes", "number"),
    ("up_rate", "number"),
];

/// Every promised key is there with its type.
fn has(object: &Value, keys: &[(&str, &str)]) {
    for (key, kind) in keys {
        let found = object.get(key).map(kind_of);
        assert_eq!(found, Some(*kind), "{key} in {object:#}");
    }
}

fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// The form of a value: its keys and types, without what they hold.
fn form(value: &Value) -> Value {
    match value {
        Value::Object(map) => map
            .iter()
            .map(|(key, value)| (key.clone(), form(value)))
            .collect(),
        Value::Array(list) => list.first().map(form).into_iter().collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => json!(kind_of(value)),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_that_is_promised_is_there_and_the_file_has_the_same_form() {
    let cell = Cell::start().await;
    let tunnel = cell.opened().await;
    let source = cell.source(&tunnel).await;
    let mut engineer = connect(&source, "robot1").await;
    echo(&mut engineer, &[7; 12_345]).await;
    let status = cell.status().await;
    has(&status, &TOP);
    has(&status["tunnels"][0], &TUNNEL);
    has(&status["tunnels"][0]["streams"][0], &STREAM);
    has(
        &status["access"],
        &[("on", "boolean"), ("reason", "string")],
    );
    has(&status["places"], &[("taken", "number"), ("all", "number")]);
    has(
        &status["memory"],
        &[
            ("rss_bytes", "number"),
            ("budget_bytes", "number"),
            ("pool_free_blocks", "number"),
            ("pool_blocks", "number"),
        ],
    );
    assert!(status["mqtt"].is_null(), "{status:#}");

    let shown = &status["tunnels"][0];
    assert_eq!(status["format"], 1);
    assert_eq!(status["state"], "connected");
    assert_eq!(status["pid"], cell.agent.pid());
    assert_eq!(status["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(status["places"], json!({"taken": 1, "all": 4}));
    assert_eq!(shown["name"], json!(name(&tunnel)));
    assert_eq!(shown["endpoint"], json!(cell.service.endpoint()));
    assert_eq!(shown["state"], "up");
    assert_eq!(shown["version"], "V3");
    let age = shown["age_seconds"].as_u64().expect("a number");
    let left = shown["lifetime_left_seconds"].as_u64().expect("a number");
    assert!(
        (43_199..=43_200).contains(&(age + left)),
        "{age} and {left}"
    );
    let stream = &shown["streams"][0];
    assert_eq!(stream["service"], "robot1");
    assert_eq!(stream["target"], json!(cell.robot.address().to_string()));
    assert_eq!(stream["state"], "open");
    assert_eq!(
        (&stream["down_bytes"], &stream["up_bytes"]),
        (&json!(12_345), &json!(12_345))
    );
    let rss = status["memory"]["rss_bytes"].as_u64().expect("a number");
    let really = cell.agent.rss().expect("it runs");
    assert!(rss.abs_diff(really) < 3_000_000, "{rss}, {really}");

    // The reference names every field, each as it stands here.
    let reference = include_str!("../../docs/operation.md");
    let fields = reference
        .split("### The status, for programs")
        .nth(1)
        .and_then(|rest| rest.split("### The check").next())
        .expect("its part of the reference");
    for object in [&status, shown, stream, &status["access"], &status["memory"]] {
        for (key, value) in object.as_object().expect("an object") {
            let list = if value.is_array() { "[]" } else { "" };
            let named = [format!("`{key}{list}`"), format!(".{key}{list}`")];
            let named = named.iter().any(|name| fields.contains(name));
            assert!(named, "{key}{list} is not in docs/operation.md");
        }
    }

    // The engineer sees it by request, the panel in the file: the same but for the moment.
    let with_stream = |file: &Value| file["tunnels"][0]["streams"][0]["up_bytes"] == 12_345;
    let file = cell.gateway.wait_status(with_stream, LIMIT).await;
    let file = file.expect("the file shows it as well");
    assert_eq!(form(&file), form(&status));
    let mut engineer = Some(engineer);
    drop(engineer.take());
    cell.status_that(|status| status["tunnels"][0]["streams"] == json!([]))
        .await;
    // What a stream carried stays counted in its tunnel.
    let status = cell.status().await;
    assert_eq!(status["tunnels"][0]["down_bytes"], 12_345);
    assert_eq!(status["tunnels"][0]["up_bytes"], 12_345);
    assert_eq!(status["tunnels"][0]["streams_ever"], 1);
    cell.end().await;
}

/// An engineer sends at a known pace; the rate is that pace, one way, and none when nothing is sent.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rates_are_those_of_the_last_seconds() {
    const PIECE: usize = 5_000;
    const EVERY: Duration = Duration::from_millis(50);
    let cell = Cell::with(Behaviour::Sink, |file| file, |agent| agent).await;
    let tunnel = cell.opened().await;
    let source = cell.source(&tunnel).await;
    let mut engineer = connect(&source, "robot1").await;
    let (stop, mut stopped) = tokio::sync::oneshot::channel::<()>();
    let sending = tokio::spawn(async move {
        let begun = Instant::now();
        let mut sent = 0;
        let mut clock = interval(EVERY);
        clock.set_missed_tick_behavior(MissedTickBehavior::Burst);
        while stopped.try_recv().is_err() {
            clock.tick().await;
            engineer.write_all(&[1; PIECE]).await.expect("connected");
            sent += PIECE;
        }
        (engineer, sent, begun.elapsed())
    });
    // 100 kB/s. On a machine that is busy the pace stumbles: half as much and twice as much are still it.
    let right = |status: &Value| {
        let stream = &status["tunnels"][0]["streams"][0];
        stream["age_seconds"].as_u64() >= Some(3)
            && (50_000..=200_000).contains(&stream["down_rate"].as_u64().unwrap_or(0))
    };
    let status = cell.status_that(right).await;
    assert_eq!(
        status["tunnels"][0]["streams"][0]["up_rate"], 0,
        "{status:#}"
    );
    let _ = stop.send(());
    let (_engineer, sent, took) = sending.await.expect("it sends");
    let pace = u128::try_from(sent).expect("a number") * 1000 / took.as_millis();
    assert!(
        (50_000..=200_000).contains(&pace),
        "the test's own pace was {pace}"
    );
    let still = |status: &Value| {
        let stream = &status["tunnels"][0]["streams"][0];
        stream["down_rate"] == 0 && stream["down_bytes"] == json!(sent)
    };
    cell.status_that(still).await;
    cell.end().await;
}

/// Each way has its own count.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn down_is_to_the_controller_and_up_from_it() {
    let sends = Behaviour::Send {
        bytes: 300_000,
        seed: 3,
        then: Then::Stay,
    };
    let cell = Cell::with(sends, |file| file, |agent| agent).await;
    let tunnel = cell.opened().await;
    let source = cell.source(&tunnel).await;
    let mut engineer = connect(&source, "robot1").await;
    engineer.write_all(b"12345").await.expect("connected");
    let mut came = vec![0; 300_000];
    tokio::io::AsyncReadExt::read_exact(&mut engineer, &mut came)
        .await
        .expect("connected");
    let status = cell
        .status_that(|status| status["tunnels"][0]["down_bytes"] == 5)
        .await;
    let stream = &status["tunnels"][0]["streams"][0];
    assert_eq!(
        (&stream["down_bytes"], &stream["up_bytes"]),
        (&json!(5), &json!(300_000))
    );
    assert_eq!(status["tunnels"][0]["up_bytes"], 300_000);
    cell.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_last_errors_are_there_with_what_to_do() {
    let cell = Cell::start().await;
    let status = cell.status().await;
    assert_eq!(status["errors"], json!([]), "a good morning");
    // A stream that leads nowhere, a tunnel that is not reached, a token that is dead.
    let tunnel = cell.tunnel_of(&["robot1", "robot9"]);
    let ran = cell.open(&cell::notification::payload(&tunnel)).await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    cell.connected(&tunnel).await;
    let options = SourceOptions::new(&cell.service, &tunnel, Protocol::V3);
    let mut source = RawSource::connect(options).await.expect("a source");
    source
        .send(Message::stream_start(5, "robot9", 1))
        .await
        .expect("connected");
    let reset = source.expect(is(Kind::StreamReset), LIMIT).await;
    reset.expect("refused");
    let dead = cell.tunnel();
    dead.destination.refuse_next(
        1,
        &Refusal::Status {
            status: 403,
            retry_after: None,
            reason: Some("Tunnel is closed".to_owned()),
        },
    );
    let ran = cell.open(&cell::notification::payload(&dead)).await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let away = cell.tunnel();
    away.destination.refuse_next(1_000, &Refusal::status(503));
    let ran = cell.open(&cell::notification::payload(&away)).await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let about = |status: &Value, text: &str| {
        let errors = status["errors"].as_array().cloned().unwrap_or_default();
        let fits = |error: &Value| {
            error["text"]
                .as_str()
                .is_some_and(|said| said.contains(text))
        };
        errors.into_iter().find(fits)
    };
    let status = cell
        .status_that(|status| {
            let again = status["tunnels"][1]["failures"].as_u64() >= Some(2);
            again && about(status, "Tunnel is closed").is_some()
        })
        .await;
    for (text, level) in [
        ("robot9", "warning"),
        ("Tunnel is closed", "error"),
        ("503", "warning"),
    ] {
        let error = about(&status, text).unwrap_or_else(|| panic!("no {text} in {status:#}"));
        assert_eq!(error["level"], level, "{error}");
        let time = error["time"].as_str().expect("a time");
        assert!(humantime::parse_rfc3339(time).is_ok(), "{time}");
    }
    let last = status["tunnels"][1]["last_error"].as_str();
    assert!(last.is_some_and(|last| last.contains("503")), "{status:#}");
    assert_eq!(status["state"], "connected", "one tunnel is up");
    // However often it is said, it is one of them.
    let said = cell
        .status_that(|status| status["tunnels"][1]["failures"].as_u64() >= Some(4))
        .await;
    let errors = said["errors"].as_array().expect("a list");
    assert!(errors.len() <= 8, "{errors:#?}");
    assert!(about(&said, "robot9").is_some(), "{errors:#?}");
    let text = cell.run(&["status"], b"").await.stdout;
    assert!(
        text.contains("last warnings and errors, in UTC") && text.contains("robot9"),
        "{text}"
    );
    cell.end().await;
}
