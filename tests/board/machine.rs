//! A machine of QEMU: its serial line, at which it takes orders, and its monitor (QMP).

use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use cell::agent::Folder;
use cell::journal::{Journal, Mark, WaitTimeout};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncWriteExt as _, BufReader};
use tokio::net::UnixStream;
use tokio::net::unix::OwnedWriteHalf;
use tokio::process::{Child, ChildStdin, Command};

/// Where the machine finds the host's loopback: QEMU's user-mode network.
pub(crate) const HOST: &str = "10.0.2.2";

/// How long an order may take.
const ORDER: Duration = Duration::from_secs(30);

/// A machine that runs; it is switched off when it is dropped.
pub(crate) struct Machine {
    _child: Child,
    serial: Journal<String>,
    monitor: Journal<Value>,
    keyboard: ChildStdin,
    orders: OwnedWriteHalf,
    _folder: Folder,
}

impl Machine {
    /// Switches on a machine with the kernel and the initramfs of `image`, and with these files in `/etc/cellgate`.
    pub(crate) async fn start(image: &Path, files: &[(&str, String)]) -> Machine {
        let folder = Folder::new("cell-board").expect("a folder");
        let monitor = folder.path().join("monitor");
        let mut command = Command::new("qemu-system-aarch64");
        command
            .args(["-M", "virt", "-cpu", "cortex-a53", "-m", "64"])
            .args(["-nodefaults", "-display", "none", "-serial", "stdio"])
            // The kernel's own words stay out of the lines of the agent, but those of a panic.
            .args(["-append", "console=ttyAMA0 loglevel=2 panic=1"])
            .args(["-netdev", "user,id=net"])
            .args(["-device", "virtio-net-pci,netdev=net,id=nic,romfile="])
            .args(["-device", "i6300esb", "-action", "watchdog=reset"])
            .arg("-kernel")
            .arg(image.join("kernel"))
            .arg("-initrd")
            .arg(image.join("initramfs"))
            .arg("-qmp")
            .arg(format!("unix:{},server=on,wait=off", monitor.display()));
        for (name, text) in files {
            let file = folder.write(name, text).expect("a file");
            let file = file.display();
            command.arg("-fw_cfg");
            command.arg(format!("name=opt/cell/{name},file={file}"));
        }
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("qemu-system-aarch64, from Debian's qemu-system-arm");
        let serial = Journal::default();
        let lines = serial.clone();
        follow(child.stdout.take().expect("piped"), move |line| {
            lines.record(line.to_owned());
        });
        let (events, mut orders) = connect(&monitor).await.into_split();
        let monitor = Journal::default();
        let said = monitor.clone();
        follow(events, move |line| {
            said.record(serde_json::from_str(line).expect("QMP is JSON"));
        });
        write(&mut orders, &json!({ "execute": "qmp_capabilities" })).await;
        Machine {
            keyboard: child.stdin.take().expect("piped"),
            _child: child,
            serial,
            monitor,
            orders,
            _folder: folder,
        }
    }

    /// The place behind the newest line at the serial line.
    pub(crate) fn mark(&self) -> Mark {
        self.serial.mark()
    }

    /// Every line behind a mark with this text.
    pub(crate) fn lines(&self, mark: Mark, text: &str) -> Vec<String> {
        let lines = self.serial.entries_after(mark);
        lines
            .into_iter()
            .filter(|line| line.contains(text))
            .collect()
    }

    /// Waits for a line with this text behind a mark.
    pub(crate) async fn says(&self, mark: Mark, text: &str, limit: Duration) -> String {
        let waited = self
            .serial
            .wait(mark, |line| line.contains(text), limit)
            .await;
        let (entry, _) = waited.unwrap_or_else(|error| panic!("{text:?}: {error}"));
        entry.what
    }

    /// Has the shell at the serial line do this.
    pub(crate) async fn does(&mut self, order: &str) {
        let mark = self.mark();
        let typed = format!("{order}\n");
        self.keyboard
            .write_all(typed.as_bytes())
            .await
            .expect("QEMU runs");
        let did = self.says(mark, "board: did it, ", ORDER).await;
        assert!(did.contains("did it, 0;"), "{order}: {did}");
    }

    /// The place behind the newest event of the monitor.
    pub(crate) fn moment(&self) -> Mark {
        self.monitor.mark()
    }

    /// Waits for an event of the monitor behind a moment.
    ///
    /// # Errors
    /// It did not come within `limit`.
    pub(crate) async fn event(
        &self,
        moment: Mark,
        name: &str,
        limit: Duration,
    ) -> Result<(Instant, Value), WaitTimeout> {
        let waited = self
            .monitor
            .wait(moment, |said| said["event"] == name, limit)
            .await;
        waited.map(|(entry, _)| (entry.at.into_std(), entry.what))
    }

    /// How often an event came behind a moment.
    pub(crate) fn count(&self, moment: Mark, name: &str) -> usize {
        self.monitor.count(moment, |said| said["event"] == name)
    }

    /// Has the monitor do this.
    pub(crate) async fn execute(&mut self, command: &str, arguments: Value) {
        let moment = self.moment();
        let order = json!({ "execute": command, "arguments": arguments });
        write(&mut self.orders, &order).await;
        let answer = |said: &Value| said.get("return").is_some() || said.get("error").is_some();
        let answer = self.monitor.wait(moment, answer, ORDER).await;
        let (answer, _) = answer.expect("QMP answers");
        assert!(answer.what.get("error").is_none(), "{order}: {answer:?}");
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- the serial line ---");
            for line in self.serial.entries() {
                eprintln!("{}", line.what);
            }
        }
    }
}

async fn connect(monitor: &Path) -> UnixStream {
    let begin = Instant::now();
    loop {
        match UnixStream::connect(monitor).await {
            Ok(stream) => return stream,
            Err(error) if begin.elapsed() > ORDER => panic!("QEMU has no monitor: {error}"),
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}

async fn write(orders: &mut OwnedWriteHalf, order: &Value) {
    let line = format!("{order}\n");
    orders.write_all(line.as_bytes()).await.expect("QEMU runs");
}

/// Gives each line to `take` until there are no more.
fn follow(
    output: impl AsyncRead + Unpin + Send + 'static,
    mut take: impl FnMut(&str) + Send + 'static,
) {
    tokio::spawn(async move {
        let mut reader = BufReader::new(output);
        let mut line = Vec::new();
        while matches!(reader.read_until(b'\n', &mut line).await, Ok(length) if length > 0) {
            take(String::from_utf8_lossy(&line).trim_end());
            line.clear();
        }
    });
}
