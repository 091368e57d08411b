//! Memory: no other process of the same user reads it, and no core file has it.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use cell::agent::Folder;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::skipped;
use crate::stage::AGENT;

/// A user who owns nothing here.
const NOBODY: u32 = 65_534;

/// An agent of another user, and its folder; nothing if users cannot be played here.
struct Played {
    folder: Folder,
    agent: Child,
}

impl Played {
    fn start(test: &str) -> Option<Played> {
        if !nix::unistd::geteuid().is_root() {
            skipped(&format!("{test}: only root can play other users"));
            return None;
        }
        let folder = Folder::in_memory("cell-confine").expect("a folder");
        let (path, binary) = (folder.path(), folder.path().join("cellgate"));
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("our folder");
        // By a process of its own: written in this one, the file would still be open in whatever another test forks
        // just then, and could not be started ("text file busy").
        let copied = Command::new("cp")
            .arg(cell::agent::under_test(AGENT))
            .arg(&binary)
            .status();
        assert!(copied.is_ok_and(|status| status.success()), "a copy");
        fs::set_permissions(&binary, fs::Permissions::from_mode(0o755)).expect("our file");
        let runtime = path.join("run");
        fs::create_dir(&runtime).expect("a folder");
        chown(&runtime, Some(NOBODY), Some(NOBODY)).expect("root");
        let text = format!(
            "[tunnel]\nendpoint = \"127.0.0.1:1\"\n[paths]\nruntime = \"{}\"\n[routes.a]\ntarget = \"127.0.0.1:2\"\n",
            runtime.display()
        );
        folder.write("cellgate.toml", &text).expect("a file");
        // A core is asked for, as large as it likes: the agent itself must refuse it.
        let agent = as_nobody(&["prlimit", "--core=unlimited:unlimited"], path)
            .arg(&binary)
            .arg("--config")
            .arg(path.join("cellgate.toml"))
            .stderr(fs::File::create(path.join("log")).expect("a file"))
            .spawn()
            .expect("setpriv runs");
        let played = Played { folder, agent };
        let began = Instant::now();
        while !played.runtime().join("status.json").exists() {
            assert!(
                began.elapsed() < Duration::from_secs(20),
                "{}",
                played.log()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
        Some(played)
    }

    fn runtime(&self) -> std::path::PathBuf {
        self.folder.path().join("run")
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    fn pid(&self) -> u32 {
        self.agent.id()
    }
}

impl Drop for Played {
    fn drop(&mut self) {
        let _ = self.agent.kill();
        let _ = self.agent.wait();
    }
}

/// A command that becomes another one as another user, by exec; its process ID stays.
fn as_nobody(words: &[&str], folder: &Path) -> Command {
    let mut command = Command::new("setpriv");
    command.args([
        &format!("--reuid={NOBODY}"),
        &format!("--regid={NOBODY}"),
        "--clear-groups",
    ]);
    command.args(words).current_dir(folder).stdin(Stdio::null());
    command
}

/// Whether that user can read the memory of the process, by the way that a debugger takes.
fn reads_memory(pid: u32, folder: &Path) -> bool {
    let file = format!("/proc/{pid}/mem");
    let tried = as_nobody(&["dd", "bs=1", "count=0", "status=none"], folder)
        .arg(format!("if={file}"))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    tried.expect("dd runs").success()
}

#[test]
fn its_own_user_cannot_read_its_memory() {
    let Some(played) = Played::start("memory of the agent") else {
        return;
    };
    let folder = played.folder.path();
    // The way works, with a process that does not mind.
    let mut other = as_nobody(&["sleep", "60"], folder)
        .spawn()
        .expect("sleep runs");
    let began = Instant::now();
    while !reads_memory(other.id(), folder) {
        assert!(
            began.elapsed() < Duration::from_secs(10),
            "the test's way does not work"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
    let _ = other.kill();
    let _ = other.wait();

    assert!(!reads_memory(played.pid(), folder), "{}", played.log());
    for file in ["environ", "maps", "fd", "auxv"] {
        let shown = as_nobody(&["ls", "-L"], folder)
            .arg(format!("/proc/{}/{file}/", played.pid()))
            .output()
            .expect("ls runs");
        assert!(!shown.status.success(), "{file}");
    }
    // As that user the agent itself still knows its memory, and tells it.
    let status = as_nobody(&[], folder)
        .arg(folder.join("cellgate"))
        .args(["status", "--json", "--config"])
        .arg(folder.join("cellgate.toml"))
        .output()
        .expect("the binary runs");
    let status: serde_json::Value = serde_json::from_slice(&status.stdout).expect("JSON");
    let rss = status["memory"]["rss_bytes"].as_u64().expect("a number");
    assert!(rss > 100_000, "{rss}");
}

#[test]
fn a_crash_leaves_no_core() {
    let Some(mut played) = Played::start("a core file") else {
        return;
    };
    let limits = fs::read_to_string(format!("/proc/{}/limits", played.pid())).expect("root");
    let core = limits
        .lines()
        .find(|line| line.starts_with("Max core file size"));
    let words: Vec<&str> = core.unwrap_or_default().split_ascii_whitespace().collect();
    assert_eq!(
        words,
        ["Max", "core", "file", "size", "0", "0", "bytes"],
        "{limits}"
    );
    let pid = Pid::from_raw(i32::try_from(played.pid()).expect("a process ID"));
    kill(pid, Signal::SIGABRT).expect("it runs");
    let ended = played.agent.wait().expect("our child");
    assert_eq!(
        ended.signal(),
        Some(Signal::SIGABRT as i32),
        "{}",
        played.log()
    );
    assert!(
        !ended.core_dumped(),
        "the kernel says that it dumped a core"
    );
}
