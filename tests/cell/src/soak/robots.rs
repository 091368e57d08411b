//! An engineer at a Kawasaki controller: LOAD of a program, and SAVE of the same, byte for byte.

use tokio::time::sleep;

use super::cuts::Scope;
use super::dice::Dice;
use super::scene::{Scene, Slot};
use crate::controller::Controller;
use crate::engineer::{Engineer, EngineerError, EngineerOptions, chunk};
use crate::pattern::sha256;

/// LOAD and SAVE, one behind the other, until the runtime ends.
pub(super) async fn work(
    scene: &Scene,
    slot: &Slot,
    robot: &'static str,
    controller: &Controller,
    mut dice: Dice,
) {
    loop {
        let Some(busy) = scene.begin().await else {
            return;
        };
        let scopes = [
            Scope::Gateway,
            Scope::Tunnel(slot.place),
            Scope::Target(robot),
        ];
        let stamp = scene.cuts.stamp(&scopes);
        let program = program(&mut dice);
        let blocks = *dice.one_of(&[chunk::KRTERM, chunk::OTHERS, chunk::KIDE]);
        let done = visit(slot, robot, controller, &program, blocks).await;
        match done {
            Ok(true) => scene.verdict.program(2 * program.len() as u64),
            Ok(false) => {
                let what = format!("{robot}: another program than the one that was sent");
                scene.verdict.wrong(what);
            }
            Err(_) if stamp.is_touched() => {}
            Err(error) => {
                let what = format!("{robot}: {error:?}, and no fault was there");
                scene.verdict.wrong(what);
            }
        }
        drop(busy);
        sleep(dice.millis(300, 2000)).await;
    }
}

async fn visit(
    slot: &Slot,
    robot: &str,
    controller: &Controller,
    program: &[u8],
    blocks: usize,
) -> Result<bool, EngineerError> {
    let options = EngineerOptions {
        // A network that pauses, or a target that stands still beside, may take longer than one is used to.
        patience: std::time::Duration::from_secs(60),
        ..EngineerOptions::default()
    };
    let mut engineer = Engineer::connect_with(slot.address(robot), options).await?;
    engineer.load("soak.as", program, blocks, |_| {}).await?;
    let there = controller.program("soak.as").unwrap_or_default();
    let back = engineer.save("soak.as").await?;
    engineer.close().await?;
    let hash = sha256(program);
    Ok(sha256(&there) == hash && sha256(&back) == hash)
}

/// A program of 2 to 60 KB.
fn program(dice: &mut Dice) -> Vec<u8> {
    let mut text = String::from(".PROGRAM soak()\r\n");
    for line in 0..dice.between(60, 2000) {
        let (x, y) = (dice.between(0, 999), dice.between(0, 999));
        text += &format!("  LMOVE TRANS({x},{y},{line})\r\n");
    }
    text += ".END\r\n";
    text.into_bytes()
}
