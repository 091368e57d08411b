//! A real mosquitto (Debian's package) with mutual TLS, persistence and the least policy of AWS IoT.
//!
//! Responsible for: its files and certificates, starting and ending it, a second port that demands the ALPN name
//! ([`ALPN`]), publishing, and its log as something a test can wait on. It keeps its ports, its certificates and what it
//! has stored over [`Mosquitto::stop`] and [`Mosquitto::start_again`].
//!
//! A machine without mosquitto is told from a broken one: [`Mosquitto::available`].

mod config;
mod front;
mod tools;

use std::fmt;
use std::io;
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpSocket};
use tokio::process::{Child, Command};
use tokio::task::JoinHandle;
use tokio::time::timeout;

pub use front::ALPN;
pub use tools::NoMosquitto;

pub use crate::certs::DeviceFiles;

use crate::agent::{Folder, follow};
use crate::certs::{Authority, Identity};
use crate::journal::{Journal, Mark, WaitTimeout};
use config::ADMINISTRATOR;
use front::Front;
use tools::Tools;

/// It starts and ends in milliseconds; a loaded machine may take longer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Tries to find a port that nobody takes before mosquitto does.
const TRIES: usize = 5;

/// Lines of its log that are shown when a test fails.
const SHOWN: usize = 60;

/// A mosquitto, running or stopped. Killed when it is dropped.
pub struct Mosquitto {
    tools: Tools,
    authority: Authority,
    folder: Folder,
    port: u16,
    alpn_port: u16,
    front: Arc<Front>,
    log: Journal<String>,
    published: AtomicU64,
    running: Option<Running>,
}

struct Running {
    child: Child,
    front: JoinHandle<()>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.front.abort();
    }
}

impl Mosquitto {
    /// Whether this machine has one.
    ///
    /// # Errors
    /// Which program is missing, and how to get it.
    pub fn available() -> Result<(), NoMosquitto> {
        Tools::find().map(|_| ())
    }

    /// Starts one on two free ports, and waits until it serves.
    ///
    /// # Errors
    /// When there is none on this machine ([`NoMosquitto`] inside), no certificate can be made, or it does not start.
    pub async fn start() -> io::Result<Self> {
        let mut mosquitto = Self::new()?;
        for _ in 1..TRIES {
            mosquitto.choose_ports()?;
            match mosquitto.start_again().await {
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
                outcome => return outcome.map(|()| mosquitto),
            }
        }
        mosquitto.choose_ports()?;
        mosquitto.start_again().await.map(|()| mosquitto)
    }

    /// Starts one whose port with ALPN is this one, such as 443, which is root's.
    ///
    /// # Errors
    /// As [`start`](Self::start); `PermissionDenied` or `AddrInUse` when the port cannot be had.
    pub async fn start_on(alpn_port: u16) -> io::Result<Self> {
        // Before mosquitto is started for nothing.
        drop(listen(alpn_port)?);
        let mut mosquitto = Self::new()?;
        mosquitto.choose_ports()?;
        mosquitto.alpn_port = alpn_port;
        mosquitto.start_again().await.map(|()| mosquitto)
    }

    fn new() -> io::Result<Self> {
        let tools = Tools::find().map_err(io::Error::other)?;
        let authority = Authority::new()?;
        let folder = Folder::new("cell-mosquitto")?;
        let log = Journal::default();
        let server = authority.server_identity()?;
        folder.write("ca.pem", &authority.ca_pem())?;
        folder.write("server.crt", &server.certificate)?;
        folder.write("server.key", &server.key)?;
        folder.write("acl", &config::acl())?;
        let front = Arc::new(Front::new(&authority, log.clone())?);
        let mosquitto = Self {
            tools,
            authority,
            folder,
            port: 0,
            alpn_port: 0,
            front,
            log,
            published: AtomicU64::new(1),
            running: None,
        };
        mosquitto.device(ADMINISTRATOR)?;
        Ok(mosquitto)
    }

    /// Starts it again, on the same ports, with what it has stored.
    ///
    /// # Errors
    /// When it runs, when it does not start, or does not serve in time; `AddrInUse` if somebody else has the port.
    pub async fn start_again(&mut self) -> io::Result<()> {
        if self.running.is_some() {
            return Err(io::Error::other("mosquitto runs already"));
        }
        let file = self.folder.write(
            "mosquitto.conf",
            &config::broker(self.folder.path(), self.port),
        )?;
        let mark = self.log.mark();
        let mut child = self
            .command(&self.tools.broker)
            .arg("-c")
            .arg(file)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()?;
        let Some(stderr) = child.stderr.take() else {
            return Err(io::Error::other("mosquitto has no standard error"));
        };
        let mut reading = tokio::spawn(follow(stderr, self.log.clone()));
        let serves = self.log.wait(
            mark,
            |line| line.contains(" running") && line.contains("mosquitto version"),
            PATIENCE,
        );
        tokio::select! {
            serves = serves => serves.map(|_| ()).map_err(io::Error::other)?,
            // Its log is over, so it is over.
            _ = &mut reading => return Err(self.why_not(mark)),
        }
        let listener = listen(self.alpn_port)?;
        let front = tokio::spawn(Arc::clone(&self.front).run(listener, self.port));
        self.running = Some(Running { child, front });
        Ok(())
    }

    /// Ends it in order: it tells its clients, and stores its sessions.
    ///
    /// # Errors
    /// When it does not run, or does not end in time.
    pub async fn stop(&mut self) -> io::Result<()> {
        self.end(Signal::SIGTERM).await
    }

    /// Ends it by SIGKILL: its clients are told nothing but a FIN.
    ///
    /// # Errors
    /// When it does not run.
    pub async fn kill(&mut self) -> io::Result<()> {
        self.end(Signal::SIGKILL).await
    }

    /// [`stop`](Self::stop) and [`start_again`](Self::start_again).
    ///
    /// # Errors
    /// As those.
    pub async fn restart(&mut self) -> io::Result<()> {
        self.stop().await?;
        self.start_again().await
    }

    /// Stops it in its tracks, and lets it go on: its clients keep their TCP connections and hear nothing.
    ///
    /// # Errors
    /// When it does not run.
    pub fn freeze(&self, frozen: bool) -> io::Result<()> {
        let signal = if frozen {
            Signal::SIGSTOP
        } else {
            Signal::SIGCONT
        };
        self.signal(signal)
    }

    /// The port of mutual TLS, as 8883 of AWS IoT.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The port that demands the ALPN name as well, as 443 of AWS IoT.
    pub fn alpn_port(&self) -> u16 {
        self.alpn_port
    }

    /// Its authority, for more certificates, such as one of another thing.
    pub fn authority(&self) -> &Authority {
        &self.authority
    }

    /// Makes a device and writes its files; the front lets it through.
    ///
    /// # Errors
    /// When no key can be made or a file cannot be written.
    pub fn device(&self, thing: &str) -> io::Result<DeviceFiles> {
        let identity: Identity = self.authority.device(thing)?;
        self.front.know(&identity)?;
        DeviceFiles::write(
            self.folder.path(),
            thing,
            &self.authority.ca_pem(),
            &identity,
        )
    }

    /// Publishes as the administrator, not retained, and waits until the broker has let the publisher go: what it
    /// stored for a device that is away is then on disk.
    ///
    /// # Errors
    /// What `mosquitto_pub` says.
    pub async fn publish(&self, topic: &str, payload: &[u8], qos: u8) -> io::Result<()> {
        let path = |name: &str| self.folder.path().join(name);
        let number = self.published.fetch_add(1, Ordering::Relaxed);
        let client = format!("publisher-{number}");
        let mut child = self
            .command(&self.tools.publisher)
            .args(["-h", "localhost", "-p", &self.port.to_string()])
            .arg("--cafile")
            .arg(path("ca.pem"))
            .arg("--cert")
            .arg(path(&format!("{ADMINISTRATOR}.crt")))
            .arg("--key")
            .arg(path(&format!("{ADMINISTRATOR}.key")))
            .args(["-i", &client, "-t", topic, "-q", &qos.to_string(), "-s"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()?;
        if let Some(mut stdin) = child.stdin.take() {
            stdin.write_all(payload).await?;
        }
        let output = timeout(PATIENCE, child.wait_with_output())
            .await
            .map_err(|_| {
                io::Error::other(format!("mosquitto_pub took more than {PATIENCE:?}"))
            })??;
        if !output.status.success() {
            let why = String::from_utf8_lossy(&output.stderr);
            return Err(io::Error::other(format!("mosquitto_pub: {}", why.trim())));
        }
        let gone = format!("Client {client} disconnected.");
        self.wait_line(|line| line.ends_with(&gone), PATIENCE)
            .await
            .map_err(io::Error::other)?;
        Ok(())
    }

    /// Every line of its log and of the front's.
    pub fn log(&self) -> Vec<String> {
        let entries = self.log.entries().into_iter();
        entries.map(|entry| entry.what).collect()
    }

    /// The place behind the newest line.
    pub fn mark(&self) -> Mark {
        self.log.mark()
    }

    /// Waits for a line behind a mark, and gives the mark behind it. Such as
    /// `Sending SUBACK to cell-0042` or `Received PUBACK from cell-0042 (Mid: 1, RC:0)`.
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

    /// Waits until a thing is subscribed, at a time behind a mark.
    ///
    /// # Errors
    /// When it is not within `limit`.
    pub async fn wait_subscribed(
        &self,
        mark: Mark,
        thing: &str,
        limit: Duration,
    ) -> Result<Mark, WaitTimeout> {
        let line = format!("Sending SUBACK to {thing}");
        let fits = |text: &str| text.ends_with(&line);
        Ok(self.wait_line_after(mark, fits, limit).await?.1)
    }

    async fn end(&mut self, signal: Signal) -> io::Result<()> {
        self.signal(signal)?;
        let Some(mut running) = self.running.take() else {
            return Ok(());
        };
        timeout(PATIENCE, running.child.wait())
            .await
            .map_err(|_| io::Error::other(format!("mosquitto still runs after {PATIENCE:?}")))??;
        running.front.abort();
        // Until the port is free.
        let _ = (&mut running.front).await;
        Ok(())
    }

    fn signal(&self, signal: Signal) -> io::Result<()> {
        let child = self.running.as_ref().map(|running| &running.child);
        let pid = child
            .and_then(Child::id)
            .and_then(|id| i32::try_from(id).ok());
        let pid = pid.ok_or_else(|| io::Error::other("mosquitto does not run"))?;
        kill(Pid::from_raw(pid), signal).map_err(io::Error::from)
    }

    fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        if let Some(libraries) = &self.tools.libraries {
            command.env("LD_LIBRARY_PATH", libraries);
        }
        command.current_dir(self.folder.path()).kill_on_drop(true);
        command
    }

    /// Two ports that are free now.
    fn choose_ports(&mut self) -> io::Result<()> {
        let (first, second) = (listen(0)?, listen(0)?);
        self.port = first.local_addr()?.port();
        self.alpn_port = second.local_addr()?.port();
        Ok(())
    }

    fn why_not(&self, mark: Mark) -> io::Error {
        let said: Vec<String> = self.log.entries_after(mark);
        let said = said.join("; ");
        let kind = if said.contains("Address already in use") {
            io::ErrorKind::AddrInUse
        } else {
            io::ErrorKind::Other
        };
        io::Error::new(kind, format!("mosquitto did not start: {said}"))
    }
}

fn listen(port: u16) -> io::Result<TcpListener> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind((Ipv4Addr::LOCALHOST, port).into())?;
    socket.listen(64)
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        self.log.show_if_panicking("mosquitto's log", SHOWN);
    }
}

impl fmt::Debug for Mosquitto {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mosquitto")
            .field("port", &self.port)
            .field("alpn_port", &self.alpn_port)
            .finish_non_exhaustive()
    }
}
