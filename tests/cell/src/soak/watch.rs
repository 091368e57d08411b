//! Looks all the time at what must never be: a rule of the service or the broker that was broken, an agent that ended, a
//! panic.

use std::time::Duration;

use tokio::time::sleep;

use super::scene::Scene;
use crate::broker::Event as Told;
use crate::journal::Mark;
use crate::service::Event;

/// The journals forget; they keep far more than comes in this time.
const LOOK: Duration = Duration::from_secs(1);

pub(super) async fn work(scene: &Scene) {
    let (mut seen, mut told) = (Mark::START, Mark::START);
    let mut pid = 0;
    let mut read = Mark::START;
    while !scene.verdict.is_wrong() {
        let next = scene.service.mark();
        if scene.service.count_events(seen, Event::is_violation) > 0 {
            let events = scene.service.events().into_iter();
            let broken = events.map(|entry| entry.what).filter(Event::is_violation);
            let broken: Vec<Event> = broken.collect();
            scene
                .verdict
                .wrong(format!("a rule of the service is broken: {broken:?}"));
        }
        seen = next;
        // One that is being stopped, or is waited for, is held by the fault that does it.
        if let Ok(broker) = scene.broker.try_lock() {
            let next = broker.mark();
            if broker.count_events(told, Told::is_violation) > 0 {
                let broken = broker.violations();
                scene
                    .verdict
                    .wrong(format!("a rule of the broker is broken: {broken:?}"));
            }
            told = next;
        }
        if let Ok(mut agent) = scene.agent.try_lock() {
            if agent.pid() != pid {
                (pid, read) = (agent.pid(), Mark::START);
            }
            let next = agent.mark();
            let bad = |line: &String| line.contains("panicked") || line.contains("live-lock");
            if let Some(line) = agent.log_after(read).into_iter().find(bad) {
                scene.verdict.wrong(format!("the agent says: {line}"));
            }
            read = next;
            if !agent.is_running().unwrap_or(false) {
                scene.verdict.wrong("the agent has ended");
            }
        }
        sleep(LOOK).await;
    }
}
