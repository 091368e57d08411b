//! A gateway whose agent runs as a service: folders that outlive the agent, and the subcommands beside it.

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::io::AsyncWriteExt as _;
use tokio::time::timeout;

use super::builder::AgentBuilder;
use super::configuration::Configuration;
use super::folder::Folder;
use super::process::{Agent, command};
use crate::service::Service;

/// A subcommand that takes longer hangs.
const COMMAND: Duration = Duration::from_secs(30);

/// The gateway: a configuration file without a token, a runtime folder and an audit file in a folder of its own, and
/// how the agent is started there. An agent that was killed is started again by [`Gateway::start`], and finds what the
/// one before it left.
#[derive(Debug, Clone)]
pub struct Gateway {
    builder: AgentBuilder,
    runtime: Arc<Folder>,
    configuration: Configuration,
}

/// A subcommand that has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finished {
    /// Its exit code; `None` when a signal ended it.
    pub code: Option<i32>,
    /// What it wrote to standard output.
    pub stdout: String,
    /// What it wrote to standard error.
    pub stderr: String,
}

impl Gateway {
    /// A gateway for tunnels of this service, with `[tunnel]` and `[paths]` set. It has no routes yet.
    ///
    /// # Errors
    /// When a folder or a file cannot be made.
    pub fn new(binary: impl Into<PathBuf>, service: &Service) -> io::Result<Self> {
        Self::at(binary, &service.endpoint(), service.ca_pem())
    }

    /// The same for a service at `endpoint` under this authority.
    ///
    /// # Errors
    /// When a folder or a file cannot be made.
    pub fn at(binary: impl Into<PathBuf>, endpoint: &str, ca_pem: &str) -> io::Result<Self> {
        let builder = AgentBuilder::new(binary)?.file("ca.pem", ca_pem)?;
        let folder = builder.folder().to_owned();
        let runtime = Arc::new(Folder::in_memory("cell-run")?);
        let paths = format!(
            "runtime = \"{}\"\naudit = \"{}\"",
            runtime.path().display(),
            folder.join("audit.jsonl").display()
        );
        let configuration = Configuration::new()
            .tunnel_at(endpoint, &folder.join("ca.pem"))
            .table("paths", &paths);
        let gateway = Self {
            builder,
            runtime,
            configuration: Configuration::new(),
        };
        gateway.configure(|_| configuration)
    }

    /// Changes the configuration file: `gateway.configure(|file| file.table("places", "tunnels = 2"))`. An agent that
    /// runs does not hear of it without SIGHUP.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn configure(
        mut self,
        change: impl FnOnce(Configuration) -> Configuration,
    ) -> io::Result<Self> {
        self.configuration = change(self.configuration);
        let text = self.configuration.to_string();
        self.builder = self.builder.file("cellgate.toml", &text)?;
        Ok(self)
    }

    /// Changes how the agent and its subcommands are started: variables, arguments, a wrapper.
    #[must_use]
    pub fn build(mut self, change: impl FnOnce(AgentBuilder) -> AgentBuilder) -> Self {
        self.builder = change(self.builder);
        self
    }

    /// Starts an agent, the first or the next.
    ///
    /// # Errors
    /// When the binary cannot be started.
    pub fn start(&self) -> io::Result<Agent> {
        self.builder
            .clone()
            .arg("--config")
            .arg(self.file())
            .start()
    }

    /// Runs a subcommand with `--config` and this standard input: `run(&["status", "--json"], b"")`.
    ///
    /// # Errors
    /// When it does not start, or does not end within 30 s; it is killed then.
    pub async fn run<S: AsRef<OsStr>>(
        &self,
        arguments: &[S],
        stdin: &[u8],
    ) -> io::Result<Finished> {
        let mut child = command(&self.builder)
            .args(arguments)
            .arg("--config")
            .arg(self.file())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let input = child.stdin.take();
        let write = async {
            if let Some(mut input) = input {
                // One that reads no input, or not all, says so by its exit code.
                let _ = input.write_all(stdin).await;
            }
        };
        let both = async { tokio::join!(child.wait_with_output(), write).0 };
        let output = timeout(COMMAND, both)
            .await
            .map_err(|_| io::Error::other(format!("the command still runs after {COMMAND:?}")))??;
        Ok(Finished {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        })
    }

    /// The gateway's folder.
    pub fn folder(&self) -> &Path {
        self.builder.folder()
    }

    /// The configuration file.
    pub fn file(&self) -> PathBuf {
        self.folder().join("cellgate.toml")
    }

    /// The runtime folder, in memory; it goes away with the last clone of this gateway.
    pub fn runtime(&self) -> PathBuf {
        self.runtime.path().to_owned()
    }

    /// The local socket.
    pub fn socket(&self) -> PathBuf {
        self.runtime().join("cellgate.sock")
    }

    /// The rejoin file.
    pub fn rejoin(&self) -> PathBuf {
        self.runtime().join("rejoin.json")
    }

    /// The status file; `None` while there is none.
    ///
    /// # Errors
    /// When it is no JSON: it must never be seen half written.
    pub fn status(&self) -> io::Result<Option<Value>> {
        let text = match std::fs::read(self.runtime().join("status.json")) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        serde_json::from_slice(&text)
            .map(Some)
            .map_err(io::Error::other)
    }

    /// The lines of the audit file as objects, oldest first.
    ///
    /// # Errors
    /// When a line is no JSON.
    pub fn audit(&self) -> io::Result<Vec<Value>> {
        let lines = self.audit_lines()?;
        let objects = lines.iter().map(|line| serde_json::from_str(line));
        objects.collect::<Result<_, _>>().map_err(io::Error::other)
    }

    /// The lines of the audit file as they stand, oldest first; one that is being written is left out. No file is no
    /// lines.
    ///
    /// # Errors
    /// What the file system says.
    pub fn audit_lines(&self) -> io::Result<Vec<String>> {
        let text = match std::fs::read_to_string(self.audit_file()) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(error),
        };
        let lines = text.split_inclusive('\n');
        Ok(lines
            .filter_map(|line| line.strip_suffix('\n'))
            .map(str::to_owned)
            .collect())
    }

    /// The audit file.
    pub fn audit_file(&self) -> PathBuf {
        self.folder().join("audit.jsonl")
    }

    /// Waits until the audit file has a line that fits. It looks at the file again and again, so this is for what the
    /// log does not tell.
    ///
    /// # Errors
    /// All lines there are, when none fits within `limit`.
    pub async fn wait_audit(
        &self,
        fits: impl Fn(&Value) -> bool,
        limit: Duration,
    ) -> io::Result<Value> {
        let look = async {
            loop {
                if let Some(line) = self.audit()?.into_iter().find(|line| fits(line)) {
                    return Ok(line);
                }
                tokio::time::sleep(LOOK).await;
            }
        };
        match timeout(limit, look).await {
            Ok(found) => found,
            Err(_) => Err(io::Error::other(format!(
                "no audit line that fits within {limit:?}; there are: {:?}",
                self.audit()?
            ))),
        }
    }

    /// Waits until the status file fits. As [`wait_audit`](Self::wait_audit).
    ///
    /// # Errors
    /// The last status, when it does not fit within `limit`.
    pub async fn wait_status(
        &self,
        fits: impl Fn(&Value) -> bool,
        limit: Duration,
    ) -> io::Result<Value> {
        let look = async {
            loop {
                if let Some(status) = self.status()?.filter(|status| fits(status)) {
                    return Ok(status);
                }
                tokio::time::sleep(LOOK).await;
            }
        };
        match timeout(limit, look).await {
            Ok(found) => found,
            Err(_) => Err(io::Error::other(format!(
                "no status that fits within {limit:?}; the last: {:?}",
                self.status()?
            ))),
        }
    }
}

/// How often a file is looked at.
const LOOK: Duration = Duration::from_millis(20);
