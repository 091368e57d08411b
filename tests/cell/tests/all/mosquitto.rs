//! The harness of mosquitto: what a test of the agent relies on must be so.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use cell::mosquitto::{ALPN, DeviceFiles, Mosquitto};
use cell::notification::topic;
use tokio::process::{Child, Command};
use tokio::time::timeout;

use crate::{LIMIT, skipped};

/// A mosquitto, or a line that says why there is none.
async fn mosquitto() -> Option<Mosquitto> {
    if let Err(missing) = Mosquitto::available() {
        skipped(&missing.to_string());
        return None;
    }
    Some(Mosquitto::start().await.expect("mosquitto starts"))
}

/// mosquitto's own client, of MQTT 5 with a session that stays, which ends after `count` messages.
pub(crate) fn subscriber(
    port: u16,
    device: &DeviceFiles,
    topic: &str,
    count: usize,
    more: &[&str],
) -> Child {
    let program: PathBuf = match std::env::var_os("CELL_MOSQUITTO") {
        Some(root) => PathBuf::from(root).join("usr/bin/mosquitto_sub"),
        None => "mosquitto_sub".into(),
    };
    Command::new(program)
        .args(["-h", "localhost", "-p", &port.to_string(), "-V", "5"])
        .args([
            "-i",
            &device.thing,
            "-t",
            topic,
            "-q",
            "1",
            "-c",
            "-x",
            "3600",
        ])
        .args(["-C", &count.to_string(), "-W", "10"])
        .arg("--cafile")
        .arg(&device.ca)
        .arg("--cert")
        .arg(&device.certificate)
        .arg("--key")
        .arg(&device.key)
        .args(more)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("mosquitto_sub is of the same packages")
}

pub(crate) async fn output(child: Child) -> (Option<i32>, String, String) {
    let output = timeout(Duration::from_secs(20), child.wait_with_output())
        .await
        .expect("it ends")
        .expect("it is read");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    (
        output.status.code(),
        text(&output.stdout),
        text(&output.stderr),
    )
}

#[tokio::test]
async fn a_device_hears_of_its_tunnels_on_both_ports() {
    let Some(broker) = mosquitto().await else {
        return;
    };
    let device = broker.device("cell-1").expect("a device");
    let topic = topic("cell-1");
    for (port, more) in [
        (broker.port(), &[][..]),
        (broker.alpn_port(), &["--tls-alpn", ALPN][..]),
    ] {
        let mark = broker.mark();
        let heard = subscriber(port, &device, &topic, 1, more);
        broker
            .wait_subscribed(mark, "cell-1", LIMIT)
            .await
            .expect("it subscribes");
        broker
            .publish(&topic, b"for cell-1", 1)
            .await
            .expect("published");
        assert_eq!(
            output(heard).await,
            (Some(0), "for cell-1".into(), String::new())
        );
    }
}

#[tokio::test]
async fn nobody_comes_without_certificate_or_alpn() {
    let Some(broker) = mosquitto().await else {
        return;
    };
    let device = broker.device("cell-1").expect("a device");
    let heard = subscriber(broker.alpn_port(), &device, &topic("cell-1"), 1, &[]);
    assert_ne!(output(heard).await.0, Some(0));
    broker
        .wait_line(
            |line| line == "front: a client without the ALPN name",
            LIMIT,
        )
        .await
        .expect("the front says why");

    // An authority of somebody else.
    let taken = Mosquitto::start_on(broker.alpn_port())
        .await
        .expect_err("it is taken");
    assert_eq!(taken.kind(), std::io::ErrorKind::AddrInUse);
    let free = std::net::TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr());
    let free = free.expect("a free port").port();
    let other = Mosquitto::start_on(free).await.expect("another");
    assert_eq!(other.alpn_port(), free);
    let stranger = other.device("cell-1").expect("a device");
    for (port, more) in [
        (broker.port(), &[][..]),
        (broker.alpn_port(), &["--tls-alpn", ALPN][..]),
    ] {
        let files = DeviceFiles {
            ca: device.ca.clone(),
            ..stranger.clone()
        };
        let heard = subscriber(port, &files, &topic("cell-1"), 1, more);
        assert_ne!(output(heard).await.0, Some(0));
    }
}

#[tokio::test]
async fn a_device_hears_nothing_of_others() {
    let Some(broker) = mosquitto().await else {
        return;
    };
    let device = broker.device("cell-1").expect("a device");
    let heard = subscriber(
        broker.port(),
        &device,
        "$aws/things/+/tunnels/notify",
        1,
        &[],
    );
    broker
        .wait_subscribed(broker_start(), "cell-1", LIMIT)
        .await
        .expect("it subscribes");
    broker
        .publish(&topic("cell-2"), b"for cell-2", 1)
        .await
        .expect("published");
    broker
        .publish(&topic("cell-1"), b"for cell-1", 1)
        .await
        .expect("published");
    assert_eq!(output(heard).await.1, "for cell-1");
}

fn broker_start() -> cell::journal::Mark {
    cell::journal::Mark::START
}

#[tokio::test]
async fn what_came_while_a_device_was_away_outlives_restart_and_kill() {
    let Some(mut broker) = mosquitto().await else {
        return;
    };
    let device = broker.device("cell-1").expect("a device");
    let topic = topic("cell-1");
    let (port, alpn_port) = (broker.port(), broker.alpn_port());
    let heard = subscriber(port, &device, &topic, 1, &[]);
    broker
        .wait_subscribed(broker_start(), "cell-1", LIMIT)
        .await
        .expect("it subscribes");
    broker
        .publish(&topic, b"first", 1)
        .await
        .expect("published");
    assert_eq!(output(heard).await.1, "first");

    broker
        .publish(&topic, b"second", 1)
        .await
        .expect("published");
    broker.restart().await.expect("it restarts");
    broker
        .publish(&topic, b"third", 1)
        .await
        .expect("published");
    broker.kill().await.expect("it ran");
    broker.stop().await.expect_err("it does not run");
    broker.start_again().await.expect("it starts");
    assert_eq!((broker.port(), broker.alpn_port()), (port, alpn_port));
    let heard = subscriber(alpn_port, &device, &topic, 2, &["--tls-alpn", ALPN]);
    assert_eq!(output(heard).await.1, "second\nthird");
}

#[tokio::test]
async fn a_payload_of_any_bytes_is_published() {
    let Some(broker) = mosquitto().await else {
        return;
    };
    let device = broker.device("cell-1").expect("a device");
    let topic = topic("cell-1");
    let heard = subscriber(broker.port(), &device, &topic, 1, &["-F", "%l"]);
    broker
        .wait_subscribed(broker_start(), "cell-1", LIMIT)
        .await
        .expect("it subscribes");
    let bytes: Vec<u8> = (0..120_000_u32).map(|n| n.to_le_bytes()[0]).collect();
    broker.publish(&topic, &bytes, 1).await.expect("published");
    let (code, length, why) = output(heard).await;
    let _ = writeln!(std::io::stderr(), "{why}");
    assert_eq!((code, length.as_str()), (Some(0), "120000"));
}
