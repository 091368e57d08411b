//! An engineer's program: one stream behind the other through a tunnel, and the verdict on each.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::net::tcp::ReadHalf;
use tokio::time::{sleep, timeout};

use super::book::{Entry, Seen};
use super::cuts::Scope;
use super::dice::Dice;
use super::flow::{Checker, Ending, Flow, Plan, write};
use super::scene::{Scene, Slot};
use super::verdict::Fate;

/// A stream that takes longer hangs: it can wait for a dead link (45 s), the longest backoff (30 s) and a target that
/// stands still, and then has its own seconds.
const LONGEST: Duration = Duration::from_secs(150);

/// From the end at the engineer's to the end at the controller, where no fault was. A slow one is written out first.
const ENDED: Duration = Duration::from_secs(30);

/// Streams of one of the services, until the runtime ends.
pub(super) async fn work(scene: &Scene, slot: &Slot, services: &[&'static str], mut dice: Dice) {
    loop {
        let Some(busy) = scene.begin().await else {
            return;
        };
        let service = *dice.one_of(services);
        let stamp = scene.cuts.stamp(&[
            Scope::Gateway,
            Scope::Tunnel(slot.place),
            Scope::Target(service),
        ]);
        let entry = scene.book.begin(|number| Plan::thrown(number, &mut dice));
        let mut checker = Checker::new(&entry.plan.up);
        let carried = timeout(LONGEST, carry(slot, service, &entry, &mut checker));
        let met = carried.await.unwrap_or(Met::Hangs);
        let about = || format!("tunnel {}, {service}, stream {}", slot.place, entry.number);
        let seen = target_ended(&entry, &met).await;
        let touched = stamp.is_touched();
        let fate = match judge(&met, &seen, &checker, entry.plan, touched) {
            Ok(fate) => fate,
            Err(why) => {
                let plan = entry.plan;
                scene.verdict.wrong(format!(
                    "{}: {why}; {met:?}, {} bytes up, the target: {seen:?}, a fault: {touched}, {plan:?}",
                    about(),
                    checker.bytes
                ));
                return;
            }
        };
        scene.verdict.stream(fate, seen.bytes + checker.bytes);
        drop(busy);
        let pause = match fate {
            // Nobody comes back at once behind a fault.
            Fate::NotOpened => dice.millis(1000, 3000),
            Fate::Cut => dice.millis(200, 1000),
            Fate::Whole | Fate::Dropped => dice.millis(0, 600),
        };
        sleep(pause).await;
    }
}

/// What the engineer met.
#[derive(Debug, PartialEq, Eq)]
enum Met {
    /// Everything came, and the end.
    Whole,
    /// The end came too early.
    End,
    /// He has broken off himself.
    BrokeOff,
    /// Bytes came behind the last.
    TooMuch,
    /// Nothing, for too long.
    Hangs,
}

async fn carry(slot: &Slot, service: &str, entry: &Entry, checker: &mut Checker) -> Met {
    let Ok(mut socket) = TcpStream::connect(slot.address(service)).await else {
        return Met::End;
    };
    let _ = socket.set_nodelay(true);
    let plan = entry.plan;
    let (mut reader, mut writer) = socket.split();
    let down = async {
        let head = entry.head();
        writer.write_all(&head).await.map_err(|_| Met::End)?;
        let most = match plan.ending {
            Ending::SourceDrops => plan.down.bytes / 2,
            Ending::Source | Ending::Target | Ending::TargetDrops => u64::MAX,
        };
        let written = write(&mut writer, &plan.down, most).await;
        written.map_err(|_| Met::End)?;
        if plan.ending == Ending::SourceDrops {
            return Err(Met::BrokeOff);
        }
        Ok(())
    };
    let up = receive(&mut reader, &plan.up, checker);
    if let Err(met) = tokio::try_join!(down, up) {
        if met == Met::End {
            // Something may still be on its way to us: it must be right as well.
            let _ = receive(&mut reader, &plan.up, checker).await;
        }
        if met == Met::BrokeOff {
            let _ = socket.set_zero_linger();
        }
        return met;
    }
    let mut seen = entry.target.subscribe();
    let mut more = [0; 1];
    if plan.ending == Ending::Source {
        tokio::select! {
            _ = seen.wait_for(|seen| seen.complete) => {},
            early = reader.read(&mut more) => return if matches!(early, Ok(1)) { Met::TooMuch } else { Met::End },
        }
        if writer.shutdown().await.is_err() {
            return Met::End;
        }
    }
    match reader.read(&mut more).await {
        Ok(1) => Met::TooMuch,
        Ok(_) if seen.borrow().complete => Met::Whole,
        Ok(_) | Err(_) => Met::End,
    }
}

async fn receive(reader: &mut ReadHalf<'_>, flow: &Flow, checker: &mut Checker) -> Result<(), Met> {
    let mut buffer = vec![0; flow.read.piece];
    while !checker.is_complete() {
        match reader.read(&mut buffer).await {
            Ok(length) if length > 0 => checker.take(&buffer[..length]),
            Ok(_) | Err(_) => return Err(Met::End),
        }
        flow.read.rest().await;
    }
    Ok(())
}

/// What the target has seen when its connection is over; if there is none, it may still come.
async fn target_ended(entry: &Entry, met: &Met) -> Seen {
    let limit = match met {
        Met::Whole => ENDED,
        Met::End | Met::BrokeOff | Met::TooMuch | Met::Hangs => LONGEST,
    };
    let mut seen = entry.target.subscribe();
    if seen.borrow().came {
        let _ = timeout(limit, seen.wait_for(|seen| seen.ended)).await;
    }
    *seen.borrow()
}

fn judge(
    met: &Met,
    seen: &Seen,
    checker: &Checker,
    plan: Plan,
    touched: bool,
) -> Result<Fate, &'static str> {
    let drops = matches!(plan.ending, Ending::SourceDrops | Ending::TargetDrops);
    if seen.wrong || !checker.is_right() {
        return Err("what arrived is no beginning of what was sent");
    }
    if seen.came && !seen.ended {
        return Err("the end does not come to the target");
    }
    match met {
        Met::TooMuch => Err("more came than was sent"),
        Met::Hangs => Err("it hangs"),
        Met::Whole if seen.complete && !drops => Ok(Fate::Whole),
        Met::Whole => Err("it came to its end without its bytes"),
        Met::BrokeOff if touched => Ok(Fate::Cut),
        Met::BrokeOff => Ok(Fate::Dropped),
        Met::End if plan.ending == Ending::TargetDrops && seen.came && !touched => {
            Ok(Fate::Dropped)
        }
        Met::End if touched && seen.came => Ok(Fate::Cut),
        Met::End if touched => Ok(Fate::NotOpened),
        Met::End => Err("it was cut, and no fault was there"),
    }
}
