//! The plug is pulled.

use std::time::Instant;

use crate::scene::Scene;

/// In the middle of an upload. The gateway boots, and the agent serves again without a person; a reboot forgets the
/// tunnels that it had, and the next one comes by notification.
pub(crate) async fn pulled(scene: &Scene) {
    let machine = &scene.machine;
    let tunnel = scene.tunnel("robot1").await;
    let source = scene.source(&tunnel).await;
    machine.ok("sync").await;
    let mark = scene.broker.mark();
    let began = Instant::now();
    let told = scene.broken(&source, async {
        machine.reset().await.expect("it boots");
        tunnel.close();
    });
    println!("the engineer is told: {}", told.await);
    scene.subscribed_after(mark).await;
    println!("the agent is back {:?} after the plug", began.elapsed());
    let tunnel = scene.tunnel("robot1").await;
    let source = scene.source(&tunnel).await;
    scene.upload(&source, 7, 20 << 10).await;
    let audit = machine.ok("grep -c . /var/lib/cellgate/audit.jsonl").await;
    println!("{audit} lines in the audit file");
}
