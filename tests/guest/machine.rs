//! The machine: a Debian arm64 with systemd, emulated.
//!
//! Is responsible for: starting QEMU on copies that go away with it, a shell in the guest, and the plug.

use std::io;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use cell::agent::Folder;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::UnixStream;
use tokio::process::{Child, Command};
use tokio::sync::Mutex;
use tokio::time::{sleep, timeout};

use crate::shell::{Said, Shell};

/// From power on to the shell. An idle machine takes 15 s, one with two cores that compiles meanwhile four times that.
const BOOT: Duration = Duration::from_secs(240);

/// Any command; systemctl takes seconds there.
const COMMAND: Duration = Duration::from_secs(120);

/// Lines of the console that are shown when a test fails.
const SHOWN: usize = 150;

/// Between two looks at something in the guest.
const LOOK: Duration = Duration::from_millis(500);

/// Killed when it is dropped; if that happens in a panic, its console is printed.
pub(crate) struct Machine {
    _qemu: Child,
    folder: Folder,
    shell: Mutex<Shell>,
}

impl Machine {
    /// Boots the image (a folder of `tests/qemu/image`), with the files of `payload` laid over its root.
    pub(crate) async fn boot(image: &Path, payload: &Path) -> io::Result<Machine> {
        let folder = Folder::new("cell-guest")?;
        let tar = folder.path().join("payload.tar");
        let packed = Command::new("tar")
            .args(["--owner=0", "--group=0", "-C"])
            .arg(payload)
            .arg("-cf")
            .arg(&tar)
            .arg(".")
            .status()
            .await?;
        assert!(packed.success(), "tar packs {}", payload.display());
        let qemu = qemu(image, &tar, folder.path())?;
        let socket = folder.path().join("shell");
        wait_for(&socket).await?;
        let machine = Machine {
            shell: Mutex::new(Shell::connect(&socket).await?),
            _qemu: qemu,
            folder,
        };
        machine.booted().await?;
        Ok(machine)
    }

    async fn booted(&self) -> io::Result<()> {
        // Its sysusers have run by then, since the shell's unit waits for them.
        self.shell.lock().await.run("true", BOOT).await?;
        Ok(())
    }

    /// Runs a script as root.
    pub(crate) async fn run(&self, script: &str) -> Said {
        let said = self.shell.lock().await.run(script, COMMAND).await;
        said.expect("the guest answers")
    }

    /// Runs a script that must succeed, and gives what it says.
    pub(crate) async fn ok(&self, script: &str) -> String {
        let said = self.run(script).await;
        assert_eq!(said.code, 0, "{script}: {}", said.text);
        said.text
    }

    /// Runs a script until what it says fits.
    pub(crate) async fn until(
        &self,
        script: &str,
        limit: Duration,
        fits: impl Fn(&str) -> bool,
    ) -> String {
        let began = Instant::now();
        loop {
            let said = self.run(script).await.text;
            if fits(&said) {
                return said;
            }
            assert!(
                began.elapsed() < limit,
                "within {limit:?} {script} never said what was waited for; the last was: {said}"
            );
            sleep(LOOK).await;
        }
    }

    /// Pulls the plug and puts it in again: what was not on the disk is lost. Waits until it has booted.
    pub(crate) async fn reset(&self) -> io::Result<()> {
        let qmp = UnixStream::connect(self.folder.path().join("qmp")).await?;
        let (reader, mut writer) = qmp.into_split();
        let mut lines = BufReader::new(reader).lines();
        writer
            .write_all(b"{\"execute\":\"qmp_capabilities\"}\n{\"execute\":\"system_reset\"}\n")
            .await?;
        let reset = async {
            while let Some(line) = lines.next_line().await? {
                let word: Value = serde_json::from_str(&line)?;
                if word["event"] == "RESET" {
                    return Ok(());
                }
            }
            Err(io::Error::other("QEMU ended"))
        };
        timeout(COMMAND, reset).await??;
        self.booted().await
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let console = std::fs::read(self.folder.path().join("console")).unwrap_or_default();
            let console = String::from_utf8_lossy(&console);
            let lines: Vec<&str> = console.lines().collect();
            let from = lines.len().saturating_sub(SHOWN);
            println!("the console of the guest:\n{}", lines[from..].join("\n"));
        }
    }
}

/// The disks are the image, the payload and the one for the state; what the guest writes to them is forgotten.
fn qemu(image: &Path, payload: &Path, folder: &Path) -> io::Result<Child> {
    let disk = |id: &str, file: &Path| {
        let drive = format!(
            "file={},format=raw,if=none,id={id},snapshot=on,cache=unsafe",
            file.display()
        );
        let device = format!("virtio-blk-pci,drive={id},romfile=");
        ["-drive".to_owned(), drive, "-device".to_owned(), device]
    };
    let socket = |name: &str| folder.join(name).display().to_string() + ",server=on,wait=off";
    let console = folder.join("console");
    Command::new("qemu-system-aarch64")
        .args([
            "-M",
            "virt",
            "-cpu",
            "cortex-a53",
            "-m",
            "256",
            "-nodefaults",
        ])
        .args(["-display", "none", "-serial"])
        .arg(format!("file:{}", console.display()))
        .arg("-kernel")
        .arg(image.join("kernel"))
        .arg("-initrd")
        .arg(image.join("initrd"))
        .args([
            "-append",
            "console=ttyAMA0 net.ifnames=0 loglevel=4 systemd.show_status=0",
        ])
        .args(disk("root", &image.join("root.ext4")))
        .args(disk("payload", payload))
        .args(disk("state", &image.join("state.ext4")))
        .args(["-netdev", "user,id=net", "-device"])
        .arg("virtio-net-pci,netdev=net,romfile=")
        .args(["-device", "virtio-serial-pci", "-chardev"])
        .arg(format!("socket,id=shell,path={}", socket("shell")))
        .args(["-device", "virtserialport,chardev=shell", "-qmp"])
        .arg(format!("unix:{}", socket("qmp")))
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .spawn()
}

async fn wait_for(socket: &Path) -> io::Result<()> {
    let there = async {
        while !socket.exists() {
            sleep(Duration::from_millis(20)).await;
        }
    };
    let waited = timeout(Duration::from_secs(20), there).await;
    waited.map_err(|_| io::Error::other("qemu-system-aarch64 does not start"))
}
