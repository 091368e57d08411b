//! Why there is no connection to the broker, and what to do about it.

use std::fmt;
use std::io;

use super::reason::Reason;
use crate::limits::{MQTT_PACKET_MAX, MQTT_PONG_LIMIT, MQTT_STAGE_LIMIT};
use crate::link::tls;
use crate::link::way::ReachError;
use crate::protocol::login::{Outcome, TAKEN_OVER};

/// How a connection, or the attempt at one, came to its end.
#[derive(Debug)]
pub(super) enum Ended {
    /// No bytes to and from the broker.
    Reach(ReachError),
    /// Its name is none that a certificate can carry.
    Name,
    /// The thing's name cannot be a client ID and part of a topic.
    Thing,
    /// TLS failed in the handshake.
    Tls(io::Error),
    /// A stage took longer than [`MQTT_STAGE_LIMIT`].
    Slow(Stage),
    /// The login was refused.
    Login(Reason),
    /// The subscription was refused.
    Subscription(Reason),
    /// The broker said that it is over, and why.
    Told(Reason),
    /// It was closed without a word, at this stage.
    Closed(Stage),
    /// It broke.
    Broken(Stage, io::Error),
    /// No answer to a ping within [`MQTT_PONG_LIMIT`].
    Silent,
    /// The broker broke the rules of MQTT, or sent more than it was told that we take.
    Rules,
    /// The library does not do what was asked: a bug of ours.
    Bug(String),
}

/// What was going on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// TLS.
    Tls,
    /// CONNECT to CONNACK.
    Login,
    /// SUBSCRIBE to SUBACK.
    Subscription,
    /// Reading a packet that had begun, or writing one.
    Packet,
    /// Waiting for notifications.
    Life,
}

impl Ended {
    /// What it means for the next attempt.
    pub(super) fn outcome(&self) -> Outcome {
        match self {
            Ended::Told(reason) => Outcome::of_disconnect(reason.code),
            Ended::Login(reason) | Ended::Subscription(reason) => Outcome::of_refusal(reason.code),
            Ended::Closed(Stage::Login | Stage::Subscription)
            | Ended::Name
            | Ended::Thing
            | Ended::Rules
            | Ended::Bug(_) => Outcome::Refused,
            Ended::Reach(_)
            | Ended::Tls(_)
            | Ended::Slow(_)
            | Ended::Closed(Stage::Tls | Stage::Packet | Stage::Life)
            | Ended::Broken(..)
            | Ended::Silent => Outcome::Failed,
        }
    }

    /// Whether what the broker keeps for us can be what broke it: it would come again for ever.
    pub(super) fn spoils_session(&self) -> bool {
        matches!(self, Ended::Rules)
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Stage::Tls => "the TLS handshake",
            Stage::Login => "the login",
            Stage::Subscription => "the subscription",
            Stage::Packet => "a packet",
            Stage::Life => "the wait for notifications",
        })
    }
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UPLINK: &str = "check the uplink";
        const POLICY: &str = "is the device certificate active, and does its policy allow iot:Connect on client/THING \
             and iot:Subscribe on topicfilter/$aws/things/THING/tunnels/notify, with the name of `thing`?";
        match self {
            Ended::Reach(error) => error.fmt(f),
            Ended::Name => f.write_str(
                "its name is not one that a certificate can carry; correct `endpoint` in [notify]",
            ),
            Ended::Thing => f.write_str(
                "the thing's name cannot stand in a topic; correct `thing` in the configuration",
            ),
            Ended::Tls(error) => write!(f, "TLS failed ({})", tls::Failed(error)),
            Ended::Slow(stage) => write!(
                f,
                "{stage} did not end within {} s; {UPLINK}, and what answers in the broker's place",
                MQTT_STAGE_LIMIT.as_secs()
            ),
            Ended::Login(reason) => {
                write!(
                    f,
                    "it refused the login: {reason}; {}",
                    of_login(reason, POLICY)
                )
            }
            Ended::Subscription(reason) => write!(
                f,
                "it refused the subscription: {reason}; does the policy of the device certificate allow iot:Subscribe \
                 on topicfilter/$aws/things/THING/tunnels/notify and iot:Receive on topic/$aws/things/THING/tunnels/notify, \
                 with the name of `thing`?"
            ),
            Ended::Told(reason) if reason.code == TAKEN_OVER => write!(
                f,
                "it ended the connection: {reason}; another client came with the same client ID: is there a second \
                 gateway, or another program, with this thing's name and certificate?"
            ),
            Ended::Told(reason) => write!(f, "it ended the connection: {reason}"),
            Ended::Closed(stage @ (Stage::Login | Stage::Subscription)) => {
                write!(
                    f,
                    "it closed the connection in {stage} without a reason; {POLICY}"
                )
            }
            Ended::Closed(stage) => {
                write!(
                    f,
                    "it closed the connection in {stage} without a reason; {UPLINK} if it lasts"
                )
            }
            Ended::Broken(stage, error) => match error.get_ref().and_then(|e| e.downcast_ref()) {
                Some(rustls) => write!(
                    f,
                    "the connection broke in {stage} ({error}): {}",
                    tls::advice(rustls)
                ),
                None => write!(
                    f,
                    "the connection broke in {stage} ({error}); {UPLINK} if it lasts"
                ),
            },
            Ended::Silent => write!(
                f,
                "no answer to a ping within {} s; {UPLINK}",
                MQTT_PONG_LIMIT.as_secs()
            ),
            Ended::Rules => write!(
                f,
                "it broke the rules of MQTT 5, or sent more than the {MQTT_PACKET_MAX} bytes we take; check `endpoint` in \
                 [notify]; the next login begins a new session, and what the broker kept for this one is lost"
            ),
            Ended::Bug(error) => write!(
                f,
                "the MQTT library refused what it was asked ({error}); report this"
            ),
        }
    }
}

fn of_login(reason: &Reason, policy: &'static str) -> &'static str {
    match reason.code {
        0x84 => "the broker must speak MQTT 5: check `endpoint` in [notify]",
        0x85 => {
            "the client ID is the thing's name: correct `thing` in the configuration, or the policy"
        }
        0x88 | 0x89 | 0x8b | 0x97 | 0x9f => {
            "it is the broker's to have room: this goes on by itself"
        }
        0x9c | 0x9d => "the endpoint is another now: correct `endpoint` in [notify]",
        _ => policy,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_name_what_happened_and_what_to_do() {
        for (ended, parts) in [
            (
                Ended::Login(Reason::new(0x87, None)),
                ["not authorized (0x87)", "certificate active", "iot:Connect"],
            ),
            (
                Ended::Subscription(Reason::new(0x87, Some("no"))),
                [
                    "not authorized (0x87, \"no\")",
                    "iot:Subscribe",
                    "iot:Receive",
                ],
            ),
            (
                Ended::Told(Reason::new(TAKEN_OVER, None)),
                [
                    "session taken over (0x8e)",
                    "same client ID",
                    "second gateway",
                ],
            ),
            (
                Ended::Closed(Stage::Login),
                ["closed the connection", "the login", "certificate active"],
            ),
            (
                Ended::Broken(
                    Stage::Login,
                    io::Error::other(rustls::Error::AlertReceived(
                        rustls::AlertDescription::CertificateRevoked,
                    )),
                ),
                ["broke", "CertificateRevoked", "device certificate"],
            ),
        ] {
            let said = ended.to_string();
            for part in parts {
                assert!(said.contains(part), "{said:?} lacks {part:?}");
            }
        }
    }

    #[test]
    fn a_taken_over_session_and_a_refusal_are_not_fought_over() {
        let outcome = |ended: Ended| ended.outcome();
        let told = Ended::Told(Reason::new(TAKEN_OVER, None));
        assert_eq!(outcome(told), Outcome::TakenOver);
        let refused = Ended::Login(Reason::new(0x87, None));
        assert_eq!(outcome(refused), Outcome::Refused);
        let busy = Ended::Login(Reason::new(0x89, None));
        assert_eq!(outcome(busy), Outcome::Failed);
        assert_eq!(outcome(Ended::Closed(Stage::Login)), Outcome::Refused);
        assert_eq!(outcome(Ended::Closed(Stage::Life)), Outcome::Failed);
        assert_eq!(outcome(Ended::Silent), Outcome::Failed);
    }
}
