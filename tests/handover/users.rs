//! Other users of the machine, as root can play them.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::path::PathBuf;

use cell::agent::Finished;
use cell::target::Behaviour;

use crate::gateway::Cell;
use crate::stage::AGENT;
use crate::{REFUSED, skipped};

/// A user and a group that own nothing here.
const NOBODY: u32 = 65_534;

/// A group that no other process has.
const TEAM: u32 = 4_711;

/// A copy of the binary where every user can read it; nothing if users cannot be played here.
fn copy(test: &str) -> Option<(cell::agent::Folder, PathBuf)> {
    if !nix::unistd::geteuid().is_root() {
        skipped(&format!("{test}: only root can play other users"));
        return None;
    }
    let folder = cell::agent::Folder::new("cell-binary").expect("a folder");
    let copy = folder.path().join("cellgate");
    // By a process of its own: written in this one, the file would still be open in whatever another test forks just
    // then, and could not be started ("text file busy").
    let copied = std::process::Command::new("cp")
        .arg(cell::agent::under_test(AGENT))
        .arg(&copy)
        .status();
    assert!(copied.is_ok_and(|status| status.success()), "a copy");
    fs::set_permissions(&copy, fs::Permissions::from_mode(0o755)).expect("our file");
    let trial = std::process::Command::new("setpriv")
        .args([&format!("--reuid={NOBODY}"), "--clear-groups"])
        .arg(&copy)
        .arg("--version")
        .output();
    if !trial.is_ok_and(|trial| trial.status.success()) {
        skipped(&format!("{test}: setpriv (util-linux) does not work here"));
        return None;
    }
    Some((folder, copy))
}

/// `cellgate status` and `close` as another user.
async fn asks(cell: &Cell, binary: &PathBuf, groups: &[&str]) -> [Finished; 2] {
    let mut both = Vec::new();
    for word in ["status", "close"] {
        let mut command = tokio::process::Command::new("setpriv");
        command.arg(format!("--reuid={NOBODY}")).args(groups);
        command.arg(binary).arg(word);
        command.arg("--config").arg(cell.gateway.file());
        command.stdin(std::process::Stdio::null());
        let ran = command.output().await.expect("setpriv runs");
        both.push(Finished {
            code: ran.status.code(),
            stdout: String::from_utf8_lossy(&ran.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&ran.stderr).into_owned(),
        });
    }
    both.try_into().expect("two")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_user_is_kept_away_by_the_kernel_and_then_by_the_agent() {
    let test = "another_user_is_kept_away_by_the_kernel_and_then_by_the_agent";
    let Some((_folder, binary)) = copy(test) else {
        return;
    };
    let cell = Cell::start().await;
    let tunnel = cell.opened().await;
    let alone = [&format!("--regid={NOBODY}")[..], "--clear-groups"];
    for ran in asks(&cell, &binary, &alone).await {
        assert_eq!((ran.code, ran.stdout.as_str()), (REFUSED, ""), "{ran:?}");
        assert!(ran.stderr.contains("your user may not use"), "{ran:?}");
        assert!(ran.stderr.contains("the group root"), "{ran:?}");
    }
    // Somebody has widened the socket's mode: the second line of defence.
    let wide = fs::Permissions::from_mode(0o666);
    fs::set_permissions(cell.gateway.socket(), wide).expect("our socket");
    for ran in asks(&cell, &binary, &alone).await {
        assert_eq!((ran.code, ran.stdout.as_str()), (REFUSED, ""), "{ran:?}");
        assert!(ran.stderr.contains("nor in the agent's group"), "{ran:?}");
    }
    let told = |line: &str| line.contains(&format!("user {NOBODY}")) && line.contains("refused");
    let told = cell.agent.wait_line(told, crate::stage::LIMIT).await;
    told.expect("the log says who");
    assert_eq!(cell.status().await["places"]["taken"], 1);
    cell.carries(&tunnel).await;
    cell.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_of_the_agents_group_may_ask() {
    let test = "a_member_of_the_agents_group_may_ask";
    let Some((_folder, binary)) = copy(test) else {
        return;
    };
    // An agent of its own user and group, as the service unit has it.
    let agent = format!("setpriv --reuid={TEAM} --regid={TEAM} --clear-groups");
    let agent: Vec<&str> = agent.split(' ').collect();
    let mut runtime = PathBuf::new();
    let cell = Cell::with(
        Behaviour::Echo,
        |file| {
            let text = file.to_string();
            for key in ["runtime", "audit"] {
                let line = text.lines().find(|line| line.starts_with(key));
                let path = line.and_then(|line| line.split('"').nth(1));
                let path = PathBuf::from(path.expect("a path"));
                let folder = if key == "audit" {
                    path.parent().expect("a folder").to_owned()
                } else {
                    runtime = path.clone();
                    path
                };
                chown(&folder, Some(TEAM), Some(TEAM)).expect("we are root");
            }
            file
        },
        |builder| builder.wrapper(agent),
    )
    .await;
    cell.opened().await;
    let socket = fs::metadata(cell.gateway.socket()).expect("it is there");
    assert_eq!(
        (socket.uid(), socket.gid(), socket.mode() & 0o777),
        (TEAM, TEAM, 0o660)
    );
    let stranger = [&format!("--regid={NOBODY}")[..], "--clear-groups"];
    for ran in asks(&cell, &binary, &stranger).await {
        assert_eq!(ran.code, REFUSED, "{ran:?}");
        assert!(
            ran.stderr.contains(&format!("usermod -aG {TEAM}")),
            "{ran:?}"
        );
    }
    assert_eq!(cell.status().await["places"]["taken"], 1);
    let [status, close] = asks(
        &cell,
        &binary,
        &[&format!("--regid={NOBODY}"), &format!("--groups={TEAM}")],
    )
    .await;
    assert_eq!(status.code, Some(0), "{status:?}");
    assert!(status.stdout.contains("CONNECTED"), "{status:?}");
    assert_eq!(close.code, Some(0), "{close:?}");
    cell.status_that(|status| status["places"]["taken"] == 0)
        .await;
    cell.end().await;
}
