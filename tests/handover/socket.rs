//! The runtime folder and the socket in it: whose they are, and that one agent has them.

use std::fs;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};

use serde_json::json;

use crate::gateway::Cell;
use crate::stage::LIMIT;
use cell::target::Behaviour;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn folder_socket_and_files_have_their_modes_whatever_the_umask() {
    for umask in ["000", "027", "077"] {
        let shell = ["sh", "-c", "umask $0; exec \"$@\"", umask];
        // The folder is not there yet: the agent makes it.
        let inner = |cell: &str| format!("{cell}/below/run");
        let mut folder = String::new();
        let cell = Cell::with(
            Behaviour::Echo,
            |file| {
                let text = file.to_string();
                let runtime = text.lines().find(|line| line.starts_with("runtime"));
                let runtime = runtime.and_then(|line| line.split('"').nth(1));
                folder = inner(runtime.expect("a runtime folder"));
                file.table("paths", &format!("runtime = \"{folder}\""))
            },
            |agent| agent.wrapper(shell),
        )
        .await;
        let tunnel = cell.opened().await;
        let about = |name: &str| {
            let path = format!("{folder}{name}");
            fs::symlink_metadata(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
        };
        let mode = |name: &str| about(name).mode() & 0o7777;
        let socket = about("/cellgate.sock");
        assert!(socket.file_type().is_socket());
        assert_eq!(mode("/cellgate.sock"), 0o660, "umask {umask}");
        assert_eq!(mode("/rejoin.json"), 0o600, "umask {umask}");
        let written = cell
            .agent
            .wait_line(|line| line.contains("WebSocket up"), LIMIT);
        written.await.expect("it is up");
        let end = std::time::Instant::now() + LIMIT;
        while fs::metadata(format!("{folder}/status.json")).is_err() {
            assert!(std::time::Instant::now() < end, "no status file");
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        assert_eq!(mode("/status.json"), 0o644, "umask {umask}");
        // Never wider than owner all, group enter and read.
        assert_eq!(mode("") & !0o750, 0, "umask {umask}: {:o}", mode(""));
        let agent = fs::metadata(format!("/proc/{}", cell.agent.pid())).expect("it runs");
        assert_eq!((socket.uid(), socket.gid()), (agent.uid(), agent.gid()));
        let left: Vec<_> = fs::read_dir(&folder)
            .expect("a folder")
            .map(|entry| entry.expect("an entry").file_name().into_string())
            .map(|name| name.expect("text"))
            .filter(|name| {
                let known = [
                    "cellgate.sock",
                    "rejoin.json",
                    "restarts",
                    "status.json",
                    "lock",
                ];
                !known.contains(&&name[..])
            })
            .collect();
        assert_eq!(left, [""; 0], "what else is there");
        cell.carries(&tunnel).await;
        let kept = cell.gateway.clone();
        cell.end().await;
        // What shows a living agent goes with it; what a restart needs stays.
        for (name, stays) in [
            ("cellgate.sock", false),
            ("status.json", false),
            ("rejoin.json", true),
        ] {
            let there = fs::metadata(format!("{folder}/{name}")).is_ok();
            assert_eq!(there, stays, "{name}");
        }
        drop(kept);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_folder_in_which_everybody_may_write_is_refused() {
    use std::os::unix::fs::PermissionsExt as _;
    let mut cell = Cell::start().await;
    cell.agent.kill().await.expect("it runs");
    let open = fs::Permissions::from_mode(0o777);
    fs::set_permissions(cell.gateway.runtime(), open).expect("our folder");
    let mut agent = cell.gateway.start().expect("the agent");
    assert_eq!(agent.wait_exit(LIMIT).await.expect("it ends"), 71);
    let log = agent.log().join("\n");
    assert!(
        log.contains("every user may write") && log.contains("chmod o-w"),
        "{log}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_agent_goes_and_disturbs_nothing() {
    let cell = Cell::start().await;
    let tunnel = cell.opened().await;
    let source = cell.source(&tunnel).await;
    let mut engineer = crate::client::connect(&source, "robot1").await;
    crate::client::echo(&mut engineer, b"before").await;
    let socket = || {
        fs::metadata(cell.gateway.socket())
            .expect("it is there")
            .ino()
    };
    let rejoin = || fs::read(cell.gateway.rejoin()).expect("it is there");
    let before = (socket(), rejoin());
    for _ in 0..3 {
        let mut second = cell.gateway.start().expect("the second agent");
        assert_eq!(second.wait_exit(LIMIT).await.expect("it ends"), 71);
        let log = second.log().join("\n");
        assert!(
            log.contains("another agent has this folder")
                && log.contains(&format!("(process {})", cell.agent.pid()))
                && log.contains("[paths]"),
            "{log}"
        );
    }
    assert_eq!((socket(), rejoin()), before);
    assert!(
        cell.gateway.status().expect("JSON").is_some(),
        "no status file"
    );
    crate::client::echo(&mut engineer, b"after").await;
    assert_eq!(cell.status().await["pid"], json!(cell.agent.pid()));
    assert_eq!(crate::gateway::dials(&tunnel), 1);
    cell.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_killed_agent_left_is_taken_over() {
    let mut cell = Cell::start().await;
    for _ in 0..3 {
        cell.agent.kill().await.expect("it runs");
        let about = fs::symlink_metadata(cell.gateway.socket()).expect("it was left");
        assert!(about.file_type().is_socket());
        let lock = fs::read_to_string(cell.gateway.runtime().join("lock")).expect("it was left");
        assert_eq!(lock.trim(), cell.agent.pid().to_string());
        cell.agent = cell.gateway.start().expect("the next agent");
        cell.listens().await;
        assert_eq!(cell.status().await["pid"], json!(cell.agent.pid()));
    }
    let tunnel = cell.opened().await;
    cell.carries(&tunnel).await;
    cell.end().await;
}

/// What stands at the socket's path is replaced, not followed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_in_the_place_of_a_file_is_not_followed() {
    let mut cell = Cell::start().await;
    cell.agent.kill().await.expect("it runs");
    let victim = cell.gateway.folder().join("victim");
    fs::write(&victim, "mine").expect("a file");
    for name in [
        "cellgate.sock",
        "status.json",
        ".status.json.new",
        "rejoin.json",
        "rejoin.new",
    ] {
        let path = cell.gateway.runtime().join(name);
        let _ = fs::remove_file(&path);
        std::os::unix::fs::symlink(&victim, &path).expect("a link");
    }
    cell.agent = cell.gateway.start().expect("the next agent");
    cell.listens().await;
    let tunnel = cell.opened().await;
    cell.carries(&tunnel).await;
    let up = |status: &serde_json::Value| status["places"]["taken"] == 1;
    cell.gateway.wait_status(up, LIMIT).await.expect("a status");
    assert_eq!(fs::read_to_string(&victim).expect("a file"), "mine");
    for name in ["status.json", "rejoin.json"] {
        let about = fs::symlink_metadata(cell.gateway.runtime().join(name)).expect("it is there");
        assert!(about.is_file(), "{name} is still a link");
    }
    cell.end().await;
}
