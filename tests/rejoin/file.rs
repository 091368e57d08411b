//! The rejoin file as a test reads and writes it.

use std::io;
use std::path::Path;
use std::time::Duration;

use cell::service::{Service, Tunnel};
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

use crate::stage::LIMIT;

/// How often the file is looked at; nothing tells of a change.
const LOOK: Duration = Duration::from_millis(20);

/// The boot this machine is in.
pub(crate) fn boot() -> String {
    let id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id");
    id.expect("an id").trim().to_owned()
}

/// Seconds since then.
pub(crate) fn uptime() -> u64 {
    let text = std::fs::read_to_string("/proc/uptime").expect("a clock");
    let whole = text.split('.').next().expect("seconds");
    whole.parse().expect("a number")
}

/// A file with one tunnel that was opened `opened` seconds after the boot.
pub(crate) fn saved(service: &Service, tunnel: &Tunnel, boot: &str, opened: u64) -> Value {
    let endpoint = service.endpoint();
    let (host, port) = endpoint.rsplit_once(':').expect("host and port");
    json!({
        "boot": boot,
        "tunnels": [{
            "access_token": tunnel.destination_token,
            "client_token": CLIENT_TOKEN,
            "host": host,
            "port": port.parse::<u16>().expect("a port"),
            "opened": opened,
            "streams": [],
        }],
    })
}

/// The client token of [`saved`].
pub(crate) const CLIENT_TOKEN: &str = "3f2504e0-4f89-41d3-9a0c-0305e82c3301";

/// Waits until the file fits; nothing is no file.
pub(crate) async fn wait(path: &Path, fits: impl Fn(Option<&Value>) -> bool) -> Option<Value> {
    let look = async {
        loop {
            let value = match std::fs::read(path) {
                Ok(bytes) => Some(serde_json::from_slice(&bytes).expect("never half written")),
                Err(error) if error.kind() == io::ErrorKind::NotFound => None,
                Err(error) => panic!("{}: {error}", path.display()),
            };
            if fits(value.as_ref()) {
                return value;
            }
            sleep(LOOK).await;
        }
    };
    let found = timeout(LIMIT, look).await;
    found.unwrap_or_else(|_| panic!("{} does not fit in time", path.display()))
}

/// Waits until there is none.
pub(crate) async fn gone(path: &Path) {
    wait(path, |value| value.is_none()).await;
}
