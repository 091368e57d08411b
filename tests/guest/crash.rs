//! An agent that ends.

use std::time::{Duration, Instant};

use cell::journal::Mark;
use tokio::time::sleep;

use crate::scene::{LONG, Scene};

const KILL: &str = "kill -KILL $(systemctl show --value -p MainPID cellgate)";

/// It is back in its tunnel with the same client token.
pub(crate) async fn killed(scene: &Scene) {
    let machine = &scene.machine;
    // An orderly end: what crashed before is forgotten.
    let mark = scene.broker.mark();
    machine.ok("systemctl restart cellgate").await;
    scene.subscribed_after(mark).await;
    let tunnel = scene.tunnel("robot1").await;
    let first = scene.up_after(&tunnel, Mark::START).await;
    let source = scene.source(&tunnel).await;
    let before = scene.restarts().await;
    let mark = tunnel.mark();
    let began = Instant::now();
    let told = scene.broken(&source, async { drop(machine.ok(KILL).await) });
    println!("the engineer is told: {}", told.await);
    assert_eq!(scene.up_after(&tunnel, mark).await, first);
    println!("back in the tunnel after {:?}", began.elapsed());
    assert_eq!(scene.restarts().await, before + 1);
    scene.upload(&source, 4, 10 << 10).await;
    tunnel.close();
}

/// The second restart in a row and each behind it waits for longer.
pub(crate) async fn again_and_again(scene: &Scene) {
    let machine = &scene.machine;
    // What the agent counts of its runs, this one with them.
    let counted = "cat /run/cellgate/restarts";
    let before: u32 = machine.ok(counted).await.parse().expect("a count");
    assert_eq!(before, 2, "the run that was killed, and this one");
    for run in [3, 4] {
        machine.ok(KILL).await;
        // One that is killed before it has counted is not slowed down: systemd is a second behind it anyway.
        machine
            .until(counted, LONG, |said| said == run.to_string())
            .await;
    }
    println!(
        "{}",
        scene
            .says("it waits 4 s before it serves again", LONG)
            .await
    );
    machine
        .until("systemctl is-active cellgate", LONG, |said| {
            said == "active"
        })
        .await;
    let mark = scene.broker.mark();
    machine.ok("systemctl restart cellgate").await;
    scene.subscribed_after(mark).await;
}

/// Exit code 78 is not restarted: it wants a person, and the log says why.
pub(crate) async fn wrong_configuration(scene: &Scene) {
    let machine = &scene.machine;
    let started = machine
        .run(
            "cd /etc/cellgate && cp -p cellgate.toml right.toml
             echo 'nonsense = 1' >>cellgate.toml
             systemctl restart cellgate",
        )
        .await;
    assert_ne!(started.code, 0, "it starts with a wrong configuration");
    assert_eq!(scene.unit("ExecMainStatus").await, "78");
    let before = scene.restarts().await;
    // Five times RestartSec.
    sleep(Duration::from_secs(5)).await;
    assert_eq!(
        machine.run("systemctl is-failed cellgate").await.text,
        "failed"
    );
    assert_eq!(scene.restarts().await, before);
    println!("{}", scene.says("nonsense", LONG).await);
    let mark = scene.broker.mark();
    machine
        .ok("cd /etc/cellgate && mv right.toml cellgate.toml && systemctl start cellgate")
        .await;
    scene.subscribed_after(mark).await;
}
