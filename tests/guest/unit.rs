//! What systemd and the kernel say of an agent that has just started.

use cell::journal::Mark;

use crate::scene::{LONG, Scene};

/// What the exposure may be at most. Source: the issue.
const EXPOSURE: f64 = 1.5;

/// Starts the unit as it is.
pub(crate) async fn starts(scene: &Scene) {
    let machine = &scene.machine;
    // Type=notify: it comes back when the agent has said READY.
    machine.ok("systemctl start cellgate").await;
    assert_eq!(machine.ok("systemctl is-active cellgate").await, "active");
    assert_eq!(scene.unit("Type").await, "notify");
    assert_eq!(scene.unit("WatchdogUSec").await, "30s");
    scene.subscribed_after(Mark::START).await;
    // It begins with the tunnels, which are none; what it says of the broker may change meanwhile.
    let shown = machine
        .until("systemctl status --no-pager cellgate", LONG, |said| {
            said.contains("Status: \"0 of 4 places taken")
        })
        .await;
    println!("{shown}");

    let process = machine
        .ok("grep -E '^(Uid|Cap(Prm|Eff|Bnd|Amb)|NoNewPrivs|Seccomp):' /proc/$(systemctl show --value -p MainPID cellgate)/status; id -u cellgate")
        .await;
    println!("{process}");
    let value = |name: &str| {
        let line = process.lines().find(|line| line.starts_with(name));
        let line = line.unwrap_or_else(|| panic!("no {name} in {process}"));
        line[name.len()..].split_whitespace().collect::<Vec<_>>()
    };
    let own = process.lines().last().expect("a user");
    assert_ne!(own, "0");
    assert_eq!(value("Uid:"), [own; 4]);
    for set in ["CapPrm:", "CapEff:", "CapBnd:", "CapAmb:"] {
        assert_eq!(value(set), ["0000000000000000"]);
    }
    assert_eq!(value("NoNewPrivs:"), ["1"]);
    assert_eq!(value("Seccomp:"), ["2"]);

    let exposure = machine
        .ok("systemd-analyze security --no-pager cellgate | tail -n 1")
        .await;
    println!("{exposure}");
    let figure = exposure
        .split_whitespace()
        .find_map(|word| word.parse::<f64>().ok());
    let figure = figure.expect("a figure");
    assert!(figure <= EXPOSURE, "exposure {figure}, at most {EXPOSURE}");

    let tunnel = scene.tunnel("robot1").await;
    let source = scene.source(&tunnel).await;
    scene.upload(&source, 1, 30 << 10).await;
    tunnel.close();
}
