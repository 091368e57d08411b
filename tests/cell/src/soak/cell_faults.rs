//! Faults in the cell: targets and controllers that stand still, go, refuse. One at a time.

use std::io;
use std::time::Duration;

use tokio::time::sleep;

use super::cuts::Scope;
use super::dice::Dice;
use super::peer::Peer;
use super::scene::{ROBOTS, Scene};

/// Behind the end of a fault: what it has set going reaches both ends.
const SETTLE: Duration = Duration::from_secs(1);

/// Below the stall time of a route (10 s), with room for a busy machine.
const STANDS: (u64, u64) = (500, 4000);

/// What can be thrown.
const FAULTS: [&str; 5] = [
    "target stands still",
    "target resets all",
    "target refuses",
    "controller rebooted",
    "controller hangs up",
];

/// One fault behind the other while there is load.
pub(super) async fn work(scene: &Scene, mut dice: Dice) {
    loop {
        let Some(busy) = scene.begin().await else {
            return;
        };
        let name = *dice.one_of(&FAULTS);
        let peer = dice.one_of(&scene.peers);
        let robot = *dice.one_of(&[0, 1]);
        let done = match name {
            "target stands still" => stands_still(peer, &mut dice).await,
            "target resets all" => resets(scene, peer).await,
            "target refuses" => refuses(scene, peer, &mut dice).await,
            _ => controller(scene, robot, name).await,
        };
        scene.verdict.fault(name);
        if let Err(why) = done {
            scene.verdict.wrong(format!("{name}: {why}"));
        }
        drop(busy);
        sleep(dice.millis(1000, 5000)).await;
    }
}

/// Shorter than its stall time: nobody may notice more than that.
async fn stands_still(peer: &Peer, dice: &mut Dice) -> io::Result<()> {
    peer.pause(true);
    sleep(dice.millis(STANDS.0, STANDS.1)).await;
    peer.pause(false);
    Ok(())
}

async fn resets(scene: &Scene, peer: &Peer) -> io::Result<()> {
    let _window = scene.cuts.open(Scope::Target(peer.name()));
    peer.reset();
    sleep(SETTLE).await;
    Ok(())
}

/// For less than the agent tries, or for more.
async fn refuses(scene: &Scene, peer: &Peer, dice: &mut Dice) -> io::Result<()> {
    let _window = scene.cuts.open(Scope::Target(peer.name()));
    peer.listen(false).await?;
    sleep(dice.millis(200, 7000)).await;
    peer.listen(true).await?;
    sleep(SETTLE).await;
    Ok(())
}

async fn controller(scene: &Scene, robot: usize, how: &str) -> io::Result<()> {
    let _window = scene.cuts.open(Scope::Target(ROBOTS[robot]));
    let controller = &scene.controllers[robot];
    if how == "controller rebooted" {
        controller.reboot();
    } else {
        controller.hang_up();
    }
    // "SAVE/LOAD in progress" goes by itself after half a second.
    sleep(SETTLE).await;
    Ok(())
}
