//! `status.json`: replaced as a whole, fresh, and gone with its agent.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{Read as _, Seek as _};
use std::os::unix::fs::MetadataExt as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime};

use cell::agent::Signal;
use serde_json::Value;

use crate::client::{connect, echo};
use crate::gateway::Cell;
use crate::stage::LIMIT;

/// At the latest it is written anew after this. Source: `STATUS_FILE_EVERY` in src/limits.rs, and a busy machine.
const FRESH: Duration = Duration::from_millis(5_000 + 1_500);

/// A reader in a loop sees whole ones only, while hundreds of streams come and go.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_never_sees_half_of_it() {
    let cell = Cell::start().await;
    let tunnel = cell.opened().await;
    let source = cell.source(&tunnel).await;
    let up = |status: &Value| status["places"]["taken"] == 1;
    cell.gateway.wait_status(up, LIMIT).await.expect("a file");
    let over = Arc::new(AtomicBool::new(false));
    let path = cell.gateway.runtime().join("status.json");
    let reader = {
        let (over, path) = (Arc::clone(&over), path.clone());
        std::thread::spawn(move || {
            let mut files = BTreeSet::new();
            let mut looks = 0_u64;
            while !over.load(Ordering::Relaxed) {
                let mut file = File::open(&path).expect("there is one at every moment");
                let mut text = String::new();
                file.read_to_string(&mut text).expect("text");
                let status: Result<Value, _> = serde_json::from_str(&text);
                let status = status.unwrap_or_else(|error| panic!("{error}: {text:?}"));
                assert!(text.ends_with("}\n") && status["format"] == 1, "{text:?}");
                let time = file.metadata().expect("a file").modified().expect("a time");
                files.insert(time);
                looks += 1;
            }
            (files.len(), looks)
        })
    };
    // One that is open while others follow stays as it was: nobody writes into it.
    let mut held = File::open(&path).expect("a file");
    let mut before = String::new();
    held.read_to_string(&mut before).expect("text");
    let mut changes = 0;
    let begun = Instant::now();
    while changes < 200 || begun.elapsed() < Duration::from_secs(4) {
        let mut engineer = connect(&source, "robot1").await;
        echo(&mut engineer, b"x").await;
        changes += 1;
    }
    over.store(true, Ordering::Relaxed);
    let (files, looks) = reader.join().expect("every look was a whole status");
    assert!(files >= 3, "{files} files in {looks} looks");
    held.rewind().expect("a file");
    let mut after = String::new();
    held.read_to_string(&mut after).expect("text");
    assert_eq!(before, after, "it is written in place");
    let now = fs::metadata(&path).expect("a file").ino();
    assert_ne!(held.metadata().expect("a file").ino(), now);
    let streams = |status: &Value| status["tunnels"][0]["streams_ever"].as_u64() == Some(changes);
    cell.gateway
        .wait_status(streams, LIMIT)
        .await
        .expect("in the end all are told");
    cell.end().await;
}

/// Also when nothing happens it says that the agent lives.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_is_fresh_and_shows_news_soon() {
    let mut cell = Cell::start().await;
    let first = cell
        .gateway
        .wait_status(|_| true, LIMIT)
        .await
        .expect("a file");
    let mut last = first["time"].clone();
    let mut written = 0;
    let begun = Instant::now();
    while begun.elapsed() < 2 * FRESH {
        let status = cell.gateway.status().expect("JSON").expect("a file");
        let time = status["time"].as_str().expect("a time");
        let time = humantime::parse_rfc3339(time).expect("RFC 3339");
        let age = SystemTime::now().duration_since(time).unwrap_or_default();
        // Whole seconds are cut off.
        assert!(age < FRESH + Duration::from_secs(1), "it is {age:?} old");
        written += usize::from(status["time"] != last);
        last = status["time"].clone();
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    // An idle agent does not write all the time either.
    assert!(
        (2..=4).contains(&written),
        "written {written} times in {:?}",
        2 * FRESH
    );
    let before = Instant::now();
    let tunnel = cell.opened().await;
    let up = |status: &Value| status["tunnels"][0]["up"] == true;
    cell.gateway.wait_status(up, LIMIT).await.expect("the news");
    assert!(
        before.elapsed() < Duration::from_secs(4),
        "{:?}",
        before.elapsed()
    );
    drop(tunnel);
    // An agent that is gone says nothing any more.
    cell.agent.signal(Signal::SIGTERM).expect("it runs");
    cell.agent.wait_exit(LIMIT).await.expect("it ends");
    assert_eq!(cell.gateway.status().expect("no file"), None);
}
