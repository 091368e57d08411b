//! The service manager (systemd, or whoever speaks its protocol) that started the agent.
//!
//! Is responsible for: telling it how the agent is. Each word is one datagram to the socket that `NOTIFY_SOCKET` names;
//! source: sd_notify(3). Written by hand, since the libraries send by a socket that blocks: a manager that hangs must
//! not take the robot's tunnel with it.

use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use log::warn;
use nix::time::{ClockId, clock_gettime};

/// The manager's socket.
pub(super) struct Manager {
    socket: UnixDatagram,
    address: SocketAddr,
    /// It restarts an agent that is silent for this long, if it watches at all.
    pub(super) timeout: Option<Duration>,
}

impl Manager {
    /// The one of the environment, if there is one.
    pub(super) fn from_environment() -> Option<Manager> {
        let name = std::env::var_os("NOTIFY_SOCKET")?;
        match open(&name) {
            Ok((socket, address)) => Some(Manager {
                socket,
                address,
                timeout: timeout(|name| std::env::var(name).ok()),
            }),
            Err(error) => {
                warn!(
                    "NOTIFY_SOCKET={}: the service manager cannot be told anything ({error})",
                    name.display()
                );
                None
            }
        }
    }

    /// Tells it. `word` is lines of `NAME=value`.
    pub(super) fn tell(&self, word: &str) -> io::Result<()> {
        self.socket.send_to_addr(word.as_bytes(), &self.address)?;
        Ok(())
    }
}

/// What announces that the configuration is read again; `READY=1` has to follow. Source: `Type=notify-reload`, which
/// wants the time with it.
pub(super) fn reloading() -> String {
    let now = clock_gettime(ClockId::CLOCK_MONOTONIC).map(Duration::from);
    format!(
        "RELOADING=1\nMONOTONIC_USEC={}",
        now.unwrap_or_default().as_micros()
    )
}

fn open(name: &OsStr) -> io::Result<(UnixDatagram, SocketAddr)> {
    let socket = UnixDatagram::unbound()?;
    socket.set_nonblocking(true)?;
    let address = match name.as_bytes() {
        [b'@', rest @ ..] => SocketAddr::from_abstract_name(rest)?,
        _ => SocketAddr::from_pathname(name)?,
    };
    Ok((socket, address))
}

/// What `WATCHDOG_USEC` says, if it is meant for this process.
fn timeout(variable: impl Fn(&str) -> Option<String>) -> Option<Duration> {
    let meant = variable("WATCHDOG_PID");
    if meant.is_some_and(|pid| pid.parse() != Ok(std::process::id())) {
        return None;
    }
    let micros = variable("WATCHDOG_USEC")?.parse().ok()?;
    Some(Duration::from_micros(micros)).filter(|timeout| !timeout.is_zero())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_timeout_is_the_one_of_this_process() {
        let own = std::process::id().to_string();
        for (pid, usec, expected) in [
            (None, None, None),
            (None, Some("30000000"), Some(30)),
            (Some(own.as_str()), Some("2000000"), Some(2)),
            (Some("1"), Some("2000000"), None),
            (Some("x"), Some("2000000"), None),
            (None, Some("0"), None),
            (None, Some("-1"), None),
            (None, Some(""), None),
        ] {
            let timeout = timeout(|name| match name {
                "WATCHDOG_PID" => pid.map(str::to_owned),
                "WATCHDOG_USEC" => usec.map(str::to_owned),
                _ => None,
            });
            assert_eq!(
                timeout,
                expected.map(Duration::from_secs),
                "{pid:?} {usec:?}"
            );
        }
    }

    #[test]
    fn a_word_arrives_at_a_path_and_at_an_abstract_name() {
        let folder = std::env::temp_dir().join(format!("cellgate-manager-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        let path = folder.join("notify");
        let at_path = UnixDatagram::bind(&path).expect("a socket");
        let name = format!("@cellgate-manager-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name.as_bytes()[1..]).expect("a name");
        let abstracted = UnixDatagram::bind_addr(&address).expect("a socket");
        for (name, listener) in [(path.as_os_str(), at_path), (name.as_ref(), abstracted)] {
            let (socket, address) = open(name).expect("a manager");
            let manager = Manager {
                socket,
                address,
                timeout: None,
            };
            manager.tell("READY=1").expect("told");
            let mut word = [0; 64];
            let count = listener.recv(&mut word).expect("heard");
            assert_eq!(&word[..count], b"READY=1");
        }
        std::fs::remove_dir_all(folder).expect("removed");
    }

    #[test]
    fn a_manager_that_reads_nothing_does_not_hold_us_up() {
        let name = format!("@cellgate-deaf-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name.as_bytes()[1..]).expect("a name");
        let _deaf = UnixDatagram::bind_addr(&address).expect("a socket");
        let (socket, address) = open(name.as_ref()).expect("a manager");
        let manager = Manager {
            socket,
            address,
            timeout: None,
        };
        let refused = (0..100_000).find_map(|_| manager.tell("WATCHDOG=1").err());
        assert_eq!(
            refused.map(|error| error.kind()),
            Some(io::ErrorKind::WouldBlock)
        );
    }

    #[test]
    fn reloading_has_the_time_with_it() {
        let word = reloading();
        let micros = word.strip_prefix("RELOADING=1\nMONOTONIC_USEC=");
        let micros: u64 = micros
            .and_then(|micros| micros.parse().ok())
            .expect("a time");
        assert!(micros > 0);
    }
}
