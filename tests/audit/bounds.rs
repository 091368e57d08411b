//! The audit file never grows past its bound, and a disk that is full disturbs nobody.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use cell::agent::Gateway;
use cell::service::ServiceOptions;
use cell::source::RawSource;
use cell::target::{Behaviour, Target};
use cell::wire::{Kind, Message};
use serde_json::Value;

use crate::site::Plan;
use crate::small::Small;
use crate::stage::{LIMIT, is};
use crate::tape::of_log;

/// The bound of each of the two files, bytes; `limits.rs` and `docs/operation.md` promise it.
const FILE: u64 = 512 * 1024;

fn older(gateway: &Gateway) -> PathBuf {
    let mut name = gateway.audit_file().into_os_string();
    name.push(".1");
    name.into()
}

fn size(path: &Path) -> u64 {
    std::fs::metadata(path).map_or(0, |found| found.len())
}

/// One connection to an echo and back.
async fn one_stream(source: &mut RawSource, stream: i32) {
    source
        .send_many(&[
            Message::stream_start(stream, "robot1", 1),
            Message::data(stream, "robot1", 1, "hello"),
        ])
        .await
        .expect("connected");
    let echo = source.expect(is(Kind::Data), LIMIT).await.expect("an echo");
    assert_eq!(echo.stream_id, stream);
    let reset = Message::stream_reset(stream, "robot1");
    source.send(reset).await.expect("connected");
}

/// Three files' worth of streams.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_file_is_rotated_and_stays_within_its_bound() {
    let robot = Target::start(Behaviour::Echo).expect("a free port");
    let plan = Plan::new(ServiceOptions::default()).await;
    let site = plan.route("robot1", robot.address(), "").start().await;
    let tunnel = site.service.open_tunnel(&["robot1"]);
    site.open_up(&tunnel).await;
    let mut source = site.raw(&tunnel).await;
    let (current, older) = (site.gateway.audit_file(), older(&site.gateway));
    let mut rotations = 0;
    let mut before = 0;
    let mut streams = 0;
    while rotations < 3 {
        streams += 1;
        assert!(streams < 20_000, "it is never rotated");
        one_stream(&mut source, streams).await;
        let now = size(&current);
        assert!(now <= FILE, "{now}");
        assert!(size(&older) <= FILE, "{}", size(&older));
        if now < before {
            rotations += 1;
            assert!(before > FILE - 4_096, "rotated early, at {before}");
        }
        before = now;
    }
    let last = usize::try_from(streams).expect("it fits") - 1;
    robot.wait_ended(last, LIMIT).await.expect("it ends");
    let last = format!("\"stream\":{streams},");
    site.wait_log(&[" audit ", "stream-ended", &last]).await;
    // Older and current together are the end of the log's lines: none is torn, none is missing between them.
    let mut text = std::fs::read_to_string(&older).expect("a file");
    text.push_str(&std::fs::read_to_string(&current).expect("a file"));
    assert!(text.ends_with('\n'));
    let kept: Vec<&str> = text.lines().collect();
    for line in &kept {
        let object: Value =
            serde_json::from_str(line).unwrap_or_else(|why| panic!("{why}: {line}"));
        assert!(object["event"].is_string());
    }
    let log = of_log(&site.agent);
    assert!(log.len() > kept.len(), "nothing was rotated away");
    assert!(
        log[log.len() - kept.len()..] == kept[..],
        "lines are missing or out of order"
    );
    let files = std::fs::read_dir(site.gateway.folder()).expect("a folder");
    let names = files.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let audits = names.filter(|name| name.starts_with("audit")).count();
    assert_eq!(audits, 2, "only two files");
    site.end(&[&tunnel]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_is_told_once_and_disturbs_nobody() {
    let robot = Target::start(Behaviour::Echo).expect("a free port");
    let plan = Plan::new(ServiceOptions::default()).await;
    let folder = plan.gateway.folder().join("small");
    let disk = match Small::mount(folder.clone()) {
        Ok(disk) => disk,
        Err(why) => {
            // A skip that nobody sees counts as a pass.
            let _ = writeln!(
                std::io::stderr(),
                "SKIPPED: {why}: a full disk under the audit file"
            );
            return;
        }
    };
    let audit = folder.join("audit.jsonl");
    let runtime = plan.gateway.runtime();
    let paths = format!(
        "runtime = \"{}\"\naudit = \"{}\"",
        runtime.display(),
        audit.display()
    );
    let plan = plan.table("paths", &paths);
    let site = plan.route("robot1", robot.address(), "").start().await;
    let tunnel = site.service.open_tunnel(&["robot1"]);
    site.open_up(&tunnel).await;
    let mut source = site.raw(&tunnel).await;
    one_stream(&mut source, 1).await;
    disk.fill();
    // The page that is begun still takes a few lines.
    let mut streams = 1;
    let fails = |line: &str| line.contains("ERROR audit: ");
    while !site.agent.log().iter().any(|line| fails(line)) {
        streams += 1;
        assert!(streams < 200, "the disk is not full");
        one_stream(&mut source, streams).await;
    }
    for _ in 0..20 {
        streams += 1;
        one_stream(&mut source, streams).await;
    }
    let place = usize::try_from(streams).expect("it fits") - 1;
    robot.wait_ended(place, LIMIT).await.expect("it ends");
    let last = format!("\"stream\":{streams},");
    site.wait_log(&[" audit ", "stream-ended", &last]).await;
    let told: Vec<String> = site
        .agent
        .log()
        .into_iter()
        .filter(|line| fails(line))
        .collect();
    assert_eq!(told.len(), 1, "{told:?}");
    for part in [
        audit.display().to_string().as_str(),
        "cannot be written",
        "see to its disk",
        "in the log alone",
    ] {
        assert!(
            told[0].contains(part),
            "{part:?} is missing in {:?}",
            told[0]
        );
    }

    disk.free();
    one_stream(&mut source, streams + 1).await;
    site.wait_log(&[
        "WARN",
        "audit: ",
        "is written again; ",
        " lines are missing in it",
    ])
    .await;
    let robots = usize::try_from(streams).expect("it fits");
    robot.wait_ended(robots, LIMIT).await.expect("it ends");
    site.wait_log(&[
        " audit ",
        "stream-ended",
        &format!("\"stream\":{},", streams + 1),
    ])
    .await;
    let text = std::fs::read_to_string(&audit).expect("a file");
    for line in text.lines().filter(|line| !line.is_empty()) {
        let object: Result<Value, _> = serde_json::from_str(line);
        object.unwrap_or_else(|why| panic!("half a line stayed: {why}: {line}"));
    }
    site.end(&[&tunnel]);
}
