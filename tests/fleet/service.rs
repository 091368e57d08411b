//! The service's door: a quota, and what it says to those who are too many.

use std::time::Duration;

use cellgate::protocol::handshake::Refusal;
use cellgate::protocol::login::Outcome;

use crate::dice::Dice;
use crate::gateway::Client;

/// What the service asks of one who comes too early.
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// A bucket with a second's worth of requests.
pub(crate) struct Door {
    quota: Option<u32>,
    left: f64,
    at: Duration,
}

/// What a gateway is told.
pub(crate) enum Answer {
    Welcome,
    /// As the broker says no.
    Login(Outcome),
    /// As the tunnelling service says no.
    Refused(Refusal),
}

impl Door {
    pub(crate) fn new(quota: Option<u32>) -> Door {
        Door {
            quota,
            left: quota.map_or(0.0, f64::from),
            at: Duration::ZERO,
        }
    }

    pub(crate) fn knock(&mut self, now: Duration, client: Client, dice: &mut Dice) -> Answer {
        let Some(quota) = self.quota.map(f64::from) else {
            return Answer::Welcome;
        };
        let since = now.saturating_sub(self.at).as_secs_f64();
        self.at = self.at.max(now);
        self.left = (self.left + since * quota).min(quota);
        if self.left >= 1.0 {
            self.left -= 1.0;
            return Answer::Welcome;
        }
        match client {
            // AWS closes without a word.
            Client::Broker => Answer::Login(Outcome::Refused),
            Client::Tunnel if dice.percent(50) => Answer::Refused(refusal(503, None)),
            Client::Tunnel => Answer::Refused(refusal(429, Some(RETRY_AFTER))),
        }
    }

    /// Of a service that is there, and cannot.
    pub(crate) fn busy(client: Client) -> Answer {
        match client {
            Client::Broker => Answer::Login(Outcome::of_refusal(0x88)),
            Client::Tunnel => Answer::Refused(refusal(503, None)),
        }
    }
}

fn refusal(status: u16, retry_after: Option<Duration>) -> Refusal {
    Refusal {
        status,
        reason: None,
        channel_id: None,
        retry_after,
    }
}
