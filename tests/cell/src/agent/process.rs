//! A running agent.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::io::{AsyncBufReadExt as _, AsyncRead, BufReader};
use tokio::process::{Child, Command};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::builder::AgentBuilder;
use super::folder::Folder;
use crate::journal::{Journal, Mark, WaitTimeout};
use crate::service::{Service, Tunnel};

/// Lines of the log that are shown when a test fails.
const SHOWN: usize = 200;

/// For the end of the log of an agent that has ended.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// A running agent. Killed when it is dropped; if that happens in a panic, its log is printed.
pub struct Agent {
    child: Child,
    pid: i32,
    log: Journal<String>,
    followers: Vec<JoinHandle<()>>,
    folder: Arc<Folder>,
}

impl Agent {
    /// Starts an agent for one tunnel by the drop-in flags; see [`AgentBuilder::for_tunnel`].
    ///
    /// # Errors
    /// When a file cannot be written or the binary cannot be started.
    pub fn for_tunnel(
        binary: impl Into<PathBuf>,
        service: &Service,
        tunnel: &Tunnel,
        routes: &[(&str, SocketAddr)],
    ) -> io::Result<Self> {
        AgentBuilder::for_tunnel(binary, service, tunnel, routes)?.start()
    }

    pub(super) fn spawn(builder: &AgentBuilder) -> io::Result<Self> {
        let mut command = command(builder);
        command
            .args(&builder.arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        let mut child = command.spawn().map_err(|error| {
            let what = format!(
                "the agent {} does not start: {error}",
                builder.binary.display()
            );
            io::Error::new(error.kind(), what)
        })?;
        let pid = child
            .id()
            .and_then(|pid| i32::try_from(pid).ok())
            .ok_or_else(|| io::Error::other("the agent has no process id"))?;
        let log = Journal::default();
        let mut followers = Vec::new();
        if let Some(stderr) = child.stderr.take() {
            followers.push(tokio::spawn(follow(stderr, log.clone())));
        }
        if let Some(stdout) = child.stdout.take() {
            followers.push(tokio::spawn(follow(stdout, log.clone())));
        }
        Ok(Self {
            child,
            pid,
            log,
            followers,
            folder: Arc::clone(&builder.folder),
        })
    }

    /// Its process id.
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// Its folder.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Writes a file into its folder, such as a changed `cellgate.toml` before SIGHUP.
    ///
    /// # Errors
    /// What the file system says.
    pub fn write_file(&self, name: &str, text: &str) -> io::Result<PathBuf> {
        self.folder.write(name, text)
    }

    /// Every line it wrote so far, standard error and standard output.
    pub fn log(&self) -> Vec<String> {
        self.log
            .entries()
            .into_iter()
            .map(|entry| entry.what)
            .collect()
    }

    /// Every line behind a mark.
    pub fn log_after(&self, mark: Mark) -> Vec<String> {
        self.log.entries_after(mark)
    }

    /// The place behind the newest line.
    pub fn mark(&self) -> Mark {
        self.log.mark()
    }

    /// Waits for a line, also one that was written already.
    ///
    /// # Errors
    /// When none that fits came within `limit`.
    pub async fn wait_line(
        &self,
        fits: impl Fn(&str) -> bool,
        limit: Duration,
    ) -> Result<String, WaitTimeout> {
        Ok(self.wait_line_after(Mark::START, fits, limit).await?.0)
    }

    /// Waits for a line behind a mark, and gives the mark behind it.
    ///
    /// # Errors
    /// When none that fits came within `limit`.
    pub async fn wait_line_after(
        &self,
        mark: Mark,
        fits: impl Fn(&str) -> bool,
        limit: Duration,
    ) -> Result<(String, Mark), WaitTimeout> {
        let (entry, mark) = self.log.wait(mark, |line| fits(line), limit).await?;
        Ok((entry.what, mark))
    }

    /// Sends it a signal.
    ///
    /// # Errors
    /// When it is gone.
    pub fn signal(&self, signal: Signal) -> io::Result<()> {
        // A pid that was waited for may belong to somebody else by now.
        if self.child.id().is_none() {
            return Err(io::Error::other("the agent has exited"));
        }
        kill(Pid::from_raw(self.pid), signal).map_err(io::Error::from)
    }

    /// Ends it as the system's out-of-memory killer would, and waits until it is gone.
    ///
    /// # Errors
    /// When it is gone already.
    pub async fn kill(&mut self) -> io::Result<()> {
        self.signal(Signal::SIGKILL)?;
        self.child.wait().await?;
        Ok(())
    }

    /// Waits for its exit and gives the code.
    ///
    /// # Errors
    /// When it still runs after `limit`, or a signal ended it.
    pub async fn wait_exit(&mut self, limit: Duration) -> io::Result<i32> {
        let status = timeout(limit, self.child.wait()).await.map_err(|_| {
            io::Error::new(
                io::ErrorKind::TimedOut,
                format!("the agent still runs after {limit:?}"),
            )
        })??;
        // What it wrote last may still be on its way to the log. A child of its own would hold the pipe.
        for follower in &mut self.followers {
            let _ = timeout(LAST_WORDS, follower).await;
        }
        self.followers.clear();
        status
            .code()
            .ok_or_else(|| io::Error::other(format!("the agent was ended by a signal: {status}")))
    }

    /// Whether it still runs.
    ///
    /// # Errors
    /// When the system cannot say.
    pub fn is_running(&mut self) -> io::Result<bool> {
        Ok(self.child.try_wait()?.is_none())
    }

    /// Resident memory, bytes (`VmRSS`).
    ///
    /// # Errors
    /// When it is gone.
    pub fn rss(&self) -> io::Result<u64> {
        Ok(self.status_number("VmRSS")? * 1_024)
    }

    /// The most resident memory so far, bytes (`VmHWM`).
    ///
    /// # Errors
    /// When it is gone.
    pub fn peak_rss(&self) -> io::Result<u64> {
        Ok(self.status_number("VmHWM")? * 1_024)
    }

    /// Resident memory that belongs to no file, bytes (`RssAnon`).
    ///
    /// # Errors
    /// When it is gone.
    pub fn rss_anonymous(&self) -> io::Result<u64> {
        Ok(self.status_number("RssAnon")? * 1_024)
    }

    /// How many threads it has.
    ///
    /// # Errors
    /// When it is gone.
    pub fn threads(&self) -> io::Result<u64> {
        self.status_number("Threads")
    }

    /// How many file descriptors it has open.
    ///
    /// # Errors
    /// When it is gone.
    pub fn fds(&self) -> io::Result<usize> {
        Ok(std::fs::read_dir(self.proc("fd"))?.count())
    }

    /// Processor time so far, user and system.
    ///
    /// # Errors
    /// When it is gone.
    pub fn cpu(&self) -> io::Result<Duration> {
        let stat = std::fs::read_to_string(self.proc("stat"))?;
        // The name in brackets may hold spaces. Behind it: state is the 3rd field, utime the 14th, stime the 15th.
        let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields);
        let ticks: u64 = fields
            .split_whitespace()
            .skip(11)
            .take(2)
            .filter_map(|field| field.parse::<u64>().ok())
            .sum();
        // USER_HZ is 100 on every architecture that Linux has left.
        Ok(Duration::from_millis(ticks * 10))
    }

    /// Its argument list as others on the machine see it.
    ///
    /// # Errors
    /// When it is gone.
    pub fn command_line(&self) -> io::Result<Vec<u8>> {
        std::fs::read(self.proc("cmdline"))
    }

    /// Its environment as it was laid down at its start, and as root and its own user see it.
    ///
    /// # Errors
    /// When it is gone.
    pub fn environment(&self) -> io::Result<Vec<u8>> {
        std::fs::read(self.proc("environ"))
    }

    fn status_number(&self, name: &str) -> io::Result<u64> {
        let status = std::fs::read_to_string(self.proc("status"))?;
        status
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
            .and_then(|value| value.split_whitespace().next()?.parse().ok())
            .ok_or_else(|| {
                io::Error::other(format!(
                    "no {name} in the status of the agent; it has exited"
                ))
            })
    }

    fn proc(&self, file: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/{file}", self.pid))
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.log.show_if_panicking("the agent's log", SHOWN);
    }
}

impl fmt::Debug for Agent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Agent")
            .field("pid", &self.pid)
            .finish_non_exhaustive()
    }
}

/// What a machine around the test may have set, and what would change an agent: names, or their beginnings.
const FOREIGN: [&str; 8] = [
    "AWSIOT_TUNNEL_",
    "RUST_LOG",
    "HTTPS_PROXY",
    "HTTP_PROXY",
    "ALL_PROXY",
    "NO_PROXY",
    "NOTIFY_SOCKET",
    "JOURNAL_STREAM",
];

/// The binary in the builder's folder and environment, behind its wrapper, without arguments.
pub(super) fn command(builder: &AgentBuilder) -> Command {
    let mut command = match builder.wrapper.split_first() {
        None => Command::new(&builder.binary),
        Some((first, others)) => {
            let mut command = Command::new(first);
            command.args(others).arg(&builder.binary);
            command
        }
    };
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy().to_ascii_uppercase();
        if FOREIGN.iter().any(|foreign| text.starts_with(foreign)) {
            command.env_remove(&name);
        }
    }
    let environment = builder.environment.iter();
    command
        .envs(environment.map(|(name, value)| (name, value)))
        .current_dir(builder.folder.path());
    command
}

/// Reads lines into a log until there are no more.
pub(crate) async fn follow(output: impl AsyncRead + Unpin, log: Journal<String>) {
    let mut reader = BufReader::new(output);
    let mut line = Vec::new();
    // An agent that writes no UTF-8 is still worth reading.
    while matches!(reader.read_until(b'\n', &mut line).await, Ok(length) if length > 0) {
        log.record(String::from_utf8_lossy(&line).trim_end().to_owned());
        line.clear();
    }
}
