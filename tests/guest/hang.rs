//! An agent that hangs.

use std::time::{Duration, Instant};

use cell::journal::Mark;
use tokio::net::TcpStream;

use crate::scene::{LONG, Scene};

/// In the place of the unit's 30 s, so that a check takes less.
const WATCHDOG: u64 = 8;

/// It is stopped in the middle of an upload, as a debugger would, or a kernel that does not run it.
pub(crate) async fn stopped(scene: &Scene) {
    let machine = &scene.machine;
    let mark = scene.broker.mark();
    machine
        .ok(&format!(
            "mkdir -p /etc/systemd/system/cellgate.service.d
             printf '[Service]\\nWatchdogSec={WATCHDOG}\\n' >/etc/systemd/system/cellgate.service.d/quick.conf
             systemctl daemon-reload && systemctl restart cellgate"
        ))
        .await;
    scene.subscribed_after(mark).await;
    let tunnel = scene.tunnel("robot1").await;
    let first = scene.up_after(&tunnel, Mark::START).await;
    let source = scene.source(&tunnel).await;
    let before = scene.restarts().await;
    let mark = tunnel.mark();
    let began = Instant::now();
    let told = scene
        .broken(&source, async {
            machine
                .ok("kill -STOP $(systemctl show --value -p MainPID cellgate)")
                .await;
        })
        .await;
    println!("the engineer is told after {:?}: {told}", began.elapsed());
    let again = scene.up_after(&tunnel, mark).await;
    println!("back in the tunnel after {:?}", began.elapsed());
    assert_eq!(again, first, "the client token is another");
    println!("{}", scene.says("Watchdog timeout", LONG).await);
    assert_eq!(scene.restarts().await, before + 1);
    // SIGABRT by the watchdog would be a core file of any other program; in this one are tokens and a key.
    let exits = "journalctl -u cellgate -o cat --no-pager | grep 'Main process exited'";
    let exits = machine.ok(exits).await;
    assert!(exits.contains("code=killed, status=6/ABRT"), "{exits}");
    assert!(!exits.contains("dumped"), "it left a core file: {exits}");
    scene.upload(&source, 2, 20 << 10).await;
    tunnel.close();
}

/// Its loop hangs in a write: the file system of the audit is frozen. Nothing is wrong with the process but that.
pub(crate) async fn frozen(scene: &Scene) {
    let machine = &scene.machine;
    let tunnel = scene.tunnel("robot1").await;
    let source = scene.source(&tunnel).await;
    let before = scene.restarts().await;
    let timeouts = "journalctl -u cellgate -o cat --no-pager | grep -c 'Watchdog timeout'";
    let bitten = machine.run(timeouts).await.text;
    let mark = tunnel.mark();
    let visitor = TcpStream::connect(source.address("robot1")).await;
    let known = "grep -c '\"stream\"' /run/cellgate/rejoin.json";
    machine.until(known, LONG, |said| said == "1").await;
    machine.ok("fsfreeze --freeze /var/lib/cellgate").await;
    // What has to be written is that somebody has gone.
    drop(visitor);
    let began = Instant::now();
    machine.until(timeouts, LONG, |said| said != bitten).await;
    println!("the watchdog bites after {:?}", began.elapsed());
    machine.ok("fsfreeze --unfreeze /var/lib/cellgate").await;
    scene.up_after(&tunnel, mark).await;
    println!("back in the tunnel after {:?}", began.elapsed());
    assert_eq!(scene.restarts().await, before + 1);
    assert!(began.elapsed() > Duration::from_secs(WATCHDOG / 2));
    scene.upload(&source, 3, 10 << 10).await;
    tunnel.close();
}
