//! The outage: how gateways lose their link, and what an attempt meets meanwhile.

use std::time::{Duration, Instant};

use cellgate::limits::{
    ATTEMPT_DELAY, DIAL_ATTEMPT, MQTT_PING_EVERY, MQTT_PONG_LIMIT, RESOLVE_LIMIT,
};
use cellgate::protocol::liveness::{Liveness, Pulse};

use crate::dice::Dice;
use crate::fleet::{OUTAGE, T0};
use crate::gateway::Client;

/// What is the matter.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Away {
    /// For ten minutes no request reaches the service.
    Unreachable,
    /// For ten minutes every request is answered: later.
    Busy,
    /// Every link is cut at one moment; the service goes on.
    Cut,
}

/// What an attempt of a gateway meets while the service cannot be reached.
#[derive(Clone, Copy)]
pub(crate) enum Wall {
    /// The connection is refused.
    Refuses,
    /// Nobody answers the SYN.
    Silent,
    /// Its name has no answer.
    NoName,
}

/// Addresses of the service; AWS gives 2 to 8.
const ADDRESSES: u32 = 4;

/// When the kernel sends a SYN again. Source: tcp_syn_retries of Linux.
const SYN_AGAIN: [u64; 3] = [1, 3, 7];

impl Wall {
    pub(crate) fn thrown(dice: &mut Dice) -> Wall {
        match dice.next() % 10 {
            0..=4 => Wall::Refuses,
            5..=7 => Wall::Silent,
            _ => Wall::NoName,
        }
    }

    /// How an attempt that begins `now` in the outage ends: it fails at a time, or it gets through after all, by a SYN
    /// that is sent again when the service is back.
    pub(crate) fn meets(self, now: Duration, round_trip: Duration) -> Result<Duration, Duration> {
        let end = T0 + OUTAGE;
        match self {
            Wall::Refuses => Err(now + round_trip),
            Wall::NoName => Err(now + RESOLVE_LIMIT),
            Wall::Silent => {
                let again = SYN_AGAIN.map(|seconds| now + Duration::from_secs(seconds));
                match again.into_iter().find(|&syn| syn >= end) {
                    Some(syn) => Ok(syn),
                    None => Err(now + DIAL_ATTEMPT + ATTEMPT_DELAY * (ADDRESSES - 1)),
                }
            }
        }
    }
}

/// When a gateway hears that its link is over, from the beginning of the outage.
pub(crate) fn heard(away: Away, client: Client, dice: &mut Dice) -> Duration {
    let at_once = away == Away::Cut || dice.percent(60);
    match (at_once, client) {
        (true, _) => dice.between(Duration::ZERO, Duration::from_millis(200)),
        (false, Client::Tunnel) => silent_link_found(dice),
        (false, Client::Broker) => dice.between(Duration::ZERO, MQTT_PING_EVERY) + MQTT_PONG_LIMIT,
    }
}

/// How long a tunnel's link is silent before the crate's own clock finds it dead; it was pinged until then.
pub(crate) fn silent_link_found(dice: &mut Dice) -> Duration {
    let up = Instant::now();
    let answer = Duration::from_millis(100);
    let silent = up + dice.between(Duration::from_secs(60), Duration::from_secs(80));
    let mut liveness = Liveness::new(up);
    loop {
        let now = liveness.next_deadline();
        match liveness.poll(now) {
            Pulse::Dead(_) => return now - silent,
            Pulse::Ping if now + answer < silent => liveness.handle_frame(now + answer),
            Pulse::Ping | Pulse::Quiet => {}
        }
    }
}
