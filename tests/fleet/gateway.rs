//! One gateway, as far as its attempts go.

use std::time::Duration;

use cellgate::protocol::backoff::Backoff;
use cellgate::protocol::handshake::Verdict;
use cellgate::protocol::login::Outcome;

use crate::dice::Dice;
use crate::network::Wall;
use crate::service::Answer;

/// Which of its connections.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Client {
    /// To the broker: every gateway has one.
    Broker,
    /// A tunnel.
    Tunnel,
}

pub(crate) struct Gateway {
    pub(crate) backoff: Backoff,
    pub(crate) wall: Wall,
    pub(crate) round_trip: Duration,
    /// Counts its restarts.
    pub(crate) life: u8,
    pub(crate) knocked: Option<Duration>,
    pub(crate) back: bool,
}

impl Gateway {
    pub(crate) fn new(backoff: Backoff, dice: &mut Dice) -> Gateway {
        Gateway {
            backoff,
            wall: Wall::thrown(dice),
            round_trip: dice.between(Duration::from_millis(20), Duration::from_millis(300)),
            life: 0,
            knocked: None,
            back: false,
        }
    }

    /// From the first SYN to the request: TCP and TLS.
    pub(crate) fn handshake(&self) -> Duration {
        self.round_trip * 3
    }

    /// What the agent does after an attempt that did not reach the service.
    pub(crate) fn waits_after_failure(&mut self, client: Client, dice: &mut Dice) -> Duration {
        let least = match client {
            Client::Broker => Some(Outcome::Failed.least_wait()),
            Client::Tunnel => None,
        };
        self.backoff.next_wait(dice.next(), least)
    }

    /// What the agent does after this answer; nothing if it is in.
    pub(crate) fn waits_after(&mut self, answer: &Answer, dice: &mut Dice) -> Option<Duration> {
        let least = match answer {
            Answer::Welcome => return None,
            Answer::Login(outcome) => Some(outcome.least_wait()),
            Answer::Refused(refusal) => {
                assert_eq!(refusal.verdict(), Verdict::Retry);
                refusal.retry_after
            }
        };
        Some(self.backoff.next_wait(dice.next(), least))
    }
}
