//! The login at the broker: what its end means for the next attempt.

use std::time::Duration;

use crate::limits::{MQTT_CONNECT_REST, MQTT_REFUSED_WAIT, MQTT_TAKEN_OVER_WAIT};

/// The reason code by which a broker says that another client came with the same client ID. Source: MQTT 5, 2.4.
pub const TAKEN_OVER: u8 = 0x8e;

/// What came of a login at the broker, or of the connection behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It failed, or is lost, and may work the next time.
    Failed,
    /// The broker said no, or closed without a word, which is also how AWS turns away whoever is over a quota. A person
    /// has to put it right, or a rush has to pass.
    Refused,
    /// Another client has the session now.
    TakenOver,
}

impl Outcome {
    /// Of a login or a subscription that was refused with this reason code.
    pub fn of_refusal(code: u8) -> Outcome {
        match code {
            // Server unavailable, busy, shutting down: it has more to do than it can, and would take us later.
            0x88 | 0x89 | 0x8b => Outcome::Failed,
            _ => Outcome::Refused,
        }
    }

    /// Of a connection that the broker ended with this reason code.
    pub fn of_disconnect(code: u8) -> Outcome {
        match code {
            TAKEN_OVER => Outcome::TakenOver,
            _ => Outcome::Failed,
        }
    }

    /// The least to wait before the next attempt; the jitter comes on top. What a person has to put right is not put
    /// right within a second, and two clients with one client ID must not throw each other out in a circle.
    pub fn least_wait(self) -> Duration {
        match self {
            Outcome::Failed => MQTT_CONNECT_REST,
            Outcome::Refused => MQTT_REFUSED_WAIT,
            Outcome::TakenOver => MQTT_TAKEN_OVER_WAIT,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_busy_broker_is_tried_soon_and_no_client_id_logs_in_twice_a_second() {
        for (outcome, seconds) in [
            (Outcome::of_refusal(0x88), 1),
            (Outcome::of_refusal(0x89), 1),
            (Outcome::of_refusal(0x87), 30),
            (Outcome::of_refusal(0x97), 30),
            (Outcome::of_refusal(0x9f), 30),
            (Outcome::of_disconnect(0x8b), 1),
            (Outcome::of_disconnect(TAKEN_OVER), 60),
        ] {
            assert_eq!(outcome.least_wait(), Duration::from_secs(seconds));
        }
    }
}
