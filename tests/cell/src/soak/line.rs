//! Faults between the gateway and the world: links, the service, the broker, the agent itself. One at a time.

use std::io;
use std::time::Duration;

use nix::sys::signal::Signal;
use tokio::time::sleep;

use super::cuts::Scope;
use super::dice::Dice;
use super::scene::{BACK, Scene, Slot, THING};
use crate::broker::Event as Told;
use crate::journal::Mark;
use crate::service::{Event, Kill, Refusal};
use crate::wire::Mode;

/// Behind the end of a fault: what it has set going reaches both ends.
const SETTLE: Duration = Duration::from_secs(1);

/// From SIGTERM to the exit. Issue and unit promise 3 s; the machine is busy.
const STOP: Duration = Duration::from_secs(6);

/// Longer than the agent needs to find a dead link.
const DEAD: Duration = Duration::from_secs(100);

/// What can be thrown, with its weight.
const FAULTS: [(&str, u64); 14] = [
    ("link reset", 3),
    ("link ended", 2),
    ("WebSocket closed", 2),
    ("source cut", 2),
    ("network pause", 3),
    ("narrow line", 2),
    ("messages in pieces", 2),
    ("service refuses", 2),
    ("service away", 2),
    ("tunnel replaced", 2),
    ("broker cut", 2),
    ("broker says goodbye", 1),
    ("broker away", 2),
    ("SIGHUP", 3),
];

/// One fault behind the other while there is load.
pub(super) async fn work(scene: &Scene, mut dice: Dice) {
    loop {
        let Some(busy) = scene.begin().await else {
            return;
        };
        let all: u64 = FAULTS.iter().map(|(_, weight)| weight).sum();
        let mut thrown = dice.between(1, all);
        let fault = FAULTS.iter().find(|(_, weight)| {
            let found = thrown <= *weight;
            thrown = thrown.saturating_sub(*weight);
            found
        });
        let name = fault.map_or("SIGHUP", |(name, _)| name);
        fault_of(scene, name, &mut dice).await;
        drop(busy);
        sleep(dice.millis(500, 3000)).await;
    }
}

/// One fault by its name; whatever does not come back is wrong.
pub(super) async fn fault_of(scene: &Scene, name: &'static str, dice: &mut Dice) {
    // A link that is not there cannot be cut, and an agent that is just started has none.
    let _turn = scene.turn.lock().await;
    let slot = dice.one_of(&scene.slots);
    let done = match name {
        "link reset" => {
            link(scene, slot, |slot| {
                slot.tunnel().destination.kill(Kill::Reset)
            })
            .await
        }
        "link ended" => {
            link(scene, slot, |slot| {
                slot.tunnel().destination.kill(Kill::Fin)
            })
            .await
        }
        "WebSocket closed" => {
            link(scene, slot, |slot| {
                slot.tunnel().destination.close(1011, "soak")
            })
            .await
        }
        "dead link" => link(scene, slot, |slot| slot.tunnel().destination.hush()).await,
        "source cut" => source(scene, slot).await,
        "network pause" => pause(slot, dice).await,
        "narrow line" => narrow(slot, dice).await,
        "messages in pieces" => pieces(slot, dice).await,
        "service refuses" => refuses(scene, slot, dice).await,
        "service away" => away(scene, dice).await,
        "tunnel replaced" => replaced(scene, slot).await,
        "broker cut" | "broker says goodbye" | "broker away" => broker(scene, name, dice).await,
        "SIGTERM" => restart(scene, Signal::SIGTERM).await,
        "SIGKILL" => restart(scene, Signal::SIGKILL).await,
        "SIGHUP" => reload(scene).await,
        _ => Err(io::Error::other("there is no such fault")),
    };
    scene.verdict.fault(name);
    if let Err(why) = done {
        scene
            .verdict
            .wrong(format!("{name}, tunnel {}: {why}", slot.place));
    }
}

/// The link of a tunnel ends in some way, and is there again.
async fn link<E: std::error::Error>(
    scene: &Scene,
    slot: &Slot,
    end: impl FnOnce(&Slot) -> Result<(), E>,
) -> io::Result<()> {
    let _window = scene.cuts.open(Scope::Tunnel(slot.place));
    let mark = slot.tunnel().mark();
    end(slot).map_err(|error| io::Error::other(error.to_string()))?;
    back(slot, mark, DEAD).await
}

async fn back(slot: &Slot, mark: Mark, limit: Duration) -> io::Result<()> {
    let up = |event: &Event| event.is_connected(Mode::Destination);
    let again = slot.tunnel().wait_event_after(mark, up, limit).await;
    again.map_err(io::Error::other)?;
    sleep(SETTLE).await;
    Ok(())
}

/// The engineer's own link is cut; his source comes back by itself.
async fn source(scene: &Scene, slot: &Slot) -> io::Result<()> {
    let _window = scene.cuts.open(Scope::Tunnel(slot.place));
    let tunnel = slot.tunnel();
    let mark = tunnel.mark();
    tunnel.source.kill(Kill::Reset).map_err(io::Error::other)?;
    let up = |event: &Event| event.is_connected(Mode::Source);
    let again = tunnel.wait_event_after(mark, up, BACK).await;
    again.map_err(io::Error::other)?;
    sleep(SETTLE).await;
    Ok(())
}

/// Nothing comes through for a while, and then everything: nobody may notice more than that.
async fn pause(slot: &Slot, dice: &mut Dice) -> io::Result<()> {
    let tunnel = slot.tunnel();
    tunnel
        .destination
        .switch(|switches| switches.silence = true);
    sleep(dice.millis(500, 6000)).await;
    tunnel
        .destination
        .switch(|switches| switches.silence = false);
    if tunnel.destination.is_connected() {
        return Ok(());
    }
    Err(io::Error::other("the link is lost by a pause"))
}

async fn narrow(slot: &Slot, dice: &mut Dice) -> io::Result<()> {
    let tunnel = slot.tunnel();
    let delay = dice.millis(10, 120);
    tunnel.destination.switch(|switches| {
        switches.bandwidth = Some(400_000);
        switches.delay = delay;
    });
    sleep(dice.millis(1000, 5000)).await;
    tunnel.destination.switch(|switches| {
        switches.bandwidth = None;
        switches.delay = Duration::ZERO;
    });
    Ok(())
}

async fn pieces(slot: &Slot, dice: &mut Dice) -> io::Result<()> {
    let tunnel = slot.tunnel();
    let cut = usize::try_from(dice.between(50, 3000)).map_err(io::Error::other)?;
    tunnel
        .destination
        .switch(|switches| switches.cut = Some(cut));
    sleep(dice.millis(1000, 4000)).await;
    tunnel.destination.switch(|switches| switches.cut = None);
    Ok(())
}

/// A lost link whose way back is refused a few times.
async fn refuses(scene: &Scene, slot: &Slot, dice: &mut Dice) -> io::Result<()> {
    let refusals = [
        Refusal::status(503),
        Refusal::status(429),
        Refusal::Status {
            status: 429,
            retry_after: Some("1".to_owned()),
            reason: Some("soak".to_owned()),
        },
        Refusal::CaptivePortal,
        Refusal::Cut(Kill::Reset),
        Refusal::Cut(Kill::Fin),
    ];
    let refusal = dice.one_of(&refusals);
    slot.tunnel().destination.refuse_next(2, refusal);
    link(scene, slot, |slot| {
        slot.tunnel().destination.kill(Kill::Reset)
    })
    .await
}

/// The service is away with every link, for some seconds.
async fn away(scene: &Scene, dice: &mut Dice) -> io::Result<()> {
    let _window = scene.cuts.open(Scope::Gateway);
    let mark = scene.service.mark();
    scene.service.stop_listening().await?;
    for slot in &scene.slots {
        let kill = *dice.one_of(&[Kill::Reset, Kill::Fin]);
        // One that is just dialling has none.
        let _ = slot.tunnel().destination.kill(kill);
    }
    sleep(dice.millis(300, 5000)).await;
    scene.service.listen_again().await?;
    for slot in &scene.slots {
        back(slot, mark, BACK).await?;
    }
    Ok(())
}

async fn replaced(scene: &Scene, slot: &Slot) -> io::Result<()> {
    let _window = scene.cuts.open(Scope::Tunnel(slot.place));
    scene.reopen(slot).await?;
    sleep(SETTLE).await;
    Ok(())
}

/// The broker goes in some way; no tunnel may notice.
async fn broker(scene: &Scene, how: &str, dice: &mut Dice) -> io::Result<()> {
    let mut broker = scene.broker.lock().await;
    let mark = broker.mark();
    match how {
        "broker cut" => broker.kill(THING).map_err(io::Error::other)?,
        "broker says goodbye" => broker.disconnect(THING, 0x8b).map_err(io::Error::other)?,
        _ => {
            broker.stop().await;
            sleep(dice.millis(200, 3000)).await;
            broker.start_again()?;
        }
    }
    let subscribed = |event: &Told| matches!(event, Told::Subscribed { .. });
    let again = broker.wait_event_after(mark, subscribed, DEAD).await;
    again.map_err(io::Error::other)?;
    Ok(())
}

/// The agent ends, in order or not, and the next one finds its tunnels again.
async fn restart(scene: &Scene, signal: Signal) -> io::Result<()> {
    let _window = scene.cuts.open(Scope::Gateway);
    let mut agent = scene.agent.lock().await;
    let (mark, told) = (scene.service.mark(), scene.broker.lock().await.mark());
    if signal == Signal::SIGKILL {
        agent.kill().await?;
    } else {
        agent.signal(signal)?;
        let code = agent.wait_exit(STOP).await?;
        if code != 0 {
            return Err(io::Error::other(format!("exit code {code}")));
        }
    }
    *agent = scene.gateway.start()?;
    drop(agent);
    for slot in &scene.slots {
        back(slot, mark, BACK).await?;
    }
    let broker = scene.broker.lock().await;
    let subscribed = |event: &Told| matches!(event, Told::Subscribed { .. });
    let again = broker.wait_event_after(told, subscribed, BACK).await;
    again.map_err(io::Error::other)?;
    Ok(())
}

/// The routes are read again, and are the same.
async fn reload(scene: &Scene) -> io::Result<()> {
    let agent = scene.agent.lock().await;
    let mark = agent.mark();
    agent.signal(Signal::SIGHUP)?;
    let read = |line: &str| line.contains("routes read again");
    let again = agent.wait_line_after(mark, read, BACK).await;
    again.map_err(io::Error::other)?;
    Ok(())
}
