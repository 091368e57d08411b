//! How the agent is started.

use std::ffi::{OsStr, OsString};
use std::fmt::Write as _;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::folder::Folder;
use super::process::Agent;
use crate::service::{Service, Tunnel};

/// The variable that carries the access token, so that it is in no argument list.
const TOKEN_VARIABLE: &str = "AWSIOT_TUNNEL_ACCESS_TOKEN";

/// The program that is the agent: `binary`, or what `CELL_AGENT` names in its place. That may be a build for another
/// machine behind a script that becomes its emulator by `exec`.
pub fn under_test(binary: impl Into<PathBuf>) -> PathBuf {
    std::env::var_os("CELL_AGENT").map_or_else(|| binary.into(), PathBuf::from)
}

/// Arguments, environment and files of an agent that is not started yet.
///
/// The agent inherits the environment of the test, except what would change it: see [`AgentBuilder::start`]. A clone
/// shares the folder, which goes away with the last of its owners: so an agent is started again where another ended.
#[derive(Debug, Clone)]
pub struct AgentBuilder {
    pub(super) binary: PathBuf,
    pub(super) folder: Arc<Folder>,
    pub(super) wrapper: Vec<OsString>,
    pub(super) arguments: Vec<OsString>,
    pub(super) environment: Vec<(OsString, OsString)>,
}

impl AgentBuilder {
    /// An agent with an empty folder and no arguments.
    ///
    /// # Errors
    /// When no folder can be made.
    pub fn new(binary: impl Into<PathBuf>) -> io::Result<Self> {
        Ok(Self {
            binary: under_test(binary),
            folder: Arc::new(Folder::new("cell-agent")?),
            wrapper: Vec::new(),
            arguments: Vec::new(),
            environment: Vec::new(),
        })
    }

    /// An agent for one tunnel by the drop-in flags: `-e`, `-c`, `-d`, and the token in the environment.
    ///
    /// # Errors
    /// When the folder or the file of the authority cannot be made.
    pub fn for_tunnel(
        binary: impl Into<PathBuf>,
        service: &Service,
        tunnel: &Tunnel,
        routes: &[(&str, SocketAddr)],
    ) -> io::Result<Self> {
        let builder = Self::new(binary)?;
        let ca = builder.folder.write("ca.pem", service.ca_pem())?;
        let routes: Vec<String> = routes
            .iter()
            .map(|(name, target)| format!("{name}={target}"))
            .collect();
        Ok(builder
            .args(["-e", &service.endpoint()])
            .arg("-c")
            .arg(ca)
            .args(["-d", &routes.join(",")])
            .token(&tunnel.destination_token))
    }

    /// An agent for one tunnel by a configuration file. `routes` are name, target and further lines of the route's
    /// table, such as `stall = "2s"`.
    ///
    /// # Errors
    /// When the folder or a file cannot be made.
    pub fn configured(
        binary: impl Into<PathBuf>,
        service: &Service,
        tunnel: &Tunnel,
        routes: &[(&str, SocketAddr, &str)],
    ) -> io::Result<Self> {
        let builder = Self::new(binary)?;
        let ca = builder.folder.write("ca.pem", service.ca_pem())?;
        let mut text = tunnel_table(service, &ca);
        for (name, target, lines) in routes {
            let _ = writeln!(text, "\n[routes.{name}]\ntarget = \"{target}\"\n{lines}");
        }
        Ok(builder.config(&text)?.token(&tunnel.destination_token))
    }

    /// Adds an argument.
    #[must_use]
    pub fn arg(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.arguments.push(argument.as_ref().to_owned());
        self
    }

    /// Adds arguments.
    #[must_use]
    pub fn args<S: AsRef<OsStr>>(mut self, arguments: impl IntoIterator<Item = S>) -> Self {
        self.arguments.extend(
            arguments
                .into_iter()
                .map(|argument| argument.as_ref().to_owned()),
        );
        self
    }

    /// Sets a variable.
    #[must_use]
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.environment
            .push((name.as_ref().to_owned(), value.as_ref().to_owned()));
        self
    }

    /// Starts the agent by another command, which must become it by `exec`: `faketime DATE`, `ip netns exec NAME`,
    /// `unshare --net`, `prlimit …`.
    #[must_use]
    pub fn wrapper<S: AsRef<OsStr>>(mut self, command: impl IntoIterator<Item = S>) -> Self {
        let command = command.into_iter().map(|word| word.as_ref().to_owned());
        self.wrapper = command.collect();
        self
    }

    /// Hands over the access token in the environment.
    #[must_use]
    pub fn token(self, token: &str) -> Self {
        self.env(TOKEN_VARIABLE, token)
    }

    /// Writes `cellgate.toml` into the folder and adds `--config` with its path.
    ///
    /// # Errors
    /// What the file system says.
    pub fn config(self, text: &str) -> io::Result<Self> {
        let path = self.folder.write("cellgate.toml", text)?;
        Ok(self.arg("--config").arg(path))
    }

    /// Writes a file into the folder.
    ///
    /// # Errors
    /// What the file system says.
    pub fn file(self, name: &str, text: &str) -> io::Result<Self> {
        self.folder.write(name, text)?;
        Ok(self)
    }

    /// The agent's folder.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Starts the agent. Must be called inside a tokio runtime. It inherits no `AWSIOT_TUNNEL_*`, no `RUST_LOG`, no
    /// proxy, and nothing of a service manager around the test.
    ///
    /// # Errors
    /// When the binary cannot be started.
    pub fn start(&self) -> io::Result<Agent> {
        Agent::spawn(self)
    }
}

/// The `[tunnel]` table of a configuration file for this service.
fn tunnel_table(service: &Service, ca: &Path) -> String {
    format!(
        "[tunnel]\nendpoint = \"{}\"\nca = \"{}\"\n",
        service.endpoint(),
        ca.display()
    )
}
