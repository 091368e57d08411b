//! The whole fleet, from the outage to the last one who is back.

use std::time::Duration;

use cellgate::protocol::backoff::Backoff;

use crate::agenda::{Agenda, Event, What};
use crate::dice::Dice;
use crate::figures::Figures;
use crate::gateway::{Client, Gateway};
use crate::network::{Away, heard};
use crate::service::{Answer, Door};

/// Of one account.
pub(crate) const GATEWAYS: u32 = 100_000;

/// When the outage begins.
pub(crate) const T0: Duration = Duration::from_secs(10);

/// How long it lasts.
pub(crate) const OUTAGE: Duration = Duration::from_secs(600);

/// How long the fleet is looked at.
pub(crate) const END: Duration = Duration::from_secs(1500);

/// Since when every link was up: an hour. A longer time changes nothing.
const UP: Duration = Duration::from_secs(3600);

/// Gateways of a hundred that are restarted during the outage: their first attempt comes at once, and their waits begin
/// anew.
const RESTARTED: u64 = 2;

/// What is simulated.
pub(crate) struct Plan {
    pub(crate) name: &'static str,
    pub(crate) client: Client,
    pub(crate) away: Away,
    /// Requests a second that are let in.
    pub(crate) quota: Option<u32>,
    pub(crate) backoff: fn() -> Backoff,
}

pub(crate) fn run(plan: &Plan) -> Figures {
    let mut dice = Dice::new(7);
    let mut agenda = Agenda::until(END);
    let mut door = Door::new(plan.quota);
    let back_at = match plan.away {
        Away::Cut => T0,
        Away::Unreachable | Away::Busy => T0 + OUTAGE,
    };
    let mut figures = Figures::new(plan.name, back_at);
    let mut fleet: Vec<Gateway> = (0..GATEWAYS)
        .map(|_| Gateway::new((plan.backoff)(), &mut dice))
        .collect();
    for (gateway, one) in (0..GATEWAYS).zip(&mut fleet) {
        let lost = T0 + heard(plan.away, plan.client, &mut dice);
        one.backoff.lost(UP + lost);
        let at = lost + one.waits_after_failure(plan.client, &mut dice);
        let mut add = |at, what| {
            agenda.add(Event {
                at,
                gateway,
                life: 0,
                what,
            });
        };
        add(at, What::Tries);
        if plan.away != Away::Cut && dice.percent(RESTARTED) {
            add(T0 + dice.between(Duration::ZERO, OUTAGE), What::Restarts);
        }
    }
    while let Some(event) = agenda.next() {
        let one = &mut fleet[event.gateway as usize];
        let now = event.at;
        let restarts = matches!(event.what, What::Restarts);
        if one.back || (event.life != one.life && !restarts) {
            continue;
        }
        let away = plan.away != Away::Cut && now < back_at;
        let next = match event.what {
            What::Restarts => {
                one.life += 1;
                one.backoff = (plan.backoff)();
                // A new process does not know when the one before it knocked.
                one.knocked = None;
                Some((now, What::Tries))
            }
            What::Tries => {
                figures.tried(now);
                Some(if away && plan.away == Away::Unreachable {
                    match one.wall.meets(now, one.round_trip) {
                        Ok(through) => (through + one.handshake(), What::Knocks),
                        Err(failed) => (failed, What::Fails),
                    }
                } else {
                    (now + one.handshake(), What::Knocks)
                })
            }
            What::Fails => {
                let wait = one.waits_after_failure(plan.client, &mut dice);
                Some((now + wait, What::Tries))
            }
            What::Knocks => {
                figures.knocked(now, one.knocked.replace(now));
                let answer = if away {
                    Door::busy(plan.client)
                } else {
                    door.knock(now, plan.client, &mut dice)
                };
                if !away && !matches!(answer, Answer::Welcome) {
                    figures.turned_away += 1;
                }
                let answered = now + one.round_trip;
                let wait = one.waits_after(&answer, &mut dice);
                if wait.is_none() {
                    one.back = true;
                    figures.is_back(answered);
                }
                wait.map(|wait| (answered + wait, What::Tries))
            }
        };
        if let Some((at, what)) = next {
            agenda.add(Event {
                at,
                gateway: event.gateway,
                life: one.life,
                what,
            });
        }
    }
    figures.sort();
    figures
}
