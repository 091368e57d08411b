//! The reason codes of MQTT 5 in words, and what a technician can do about them. Source: MQTT 5, 2.4.

use std::fmt;

use crate::protocol::login::TAKEN_OVER;

/// Characters of the broker's own words that are repeated.
const SHOWN: usize = 160;

/// Why the broker says no.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reason {
    /// The code.
    pub code: u8,
    /// Its own words, if it gave any.
    text: Option<String>,
}

impl Reason {
    pub(super) fn new(code: u8, text: Option<&str>) -> Reason {
        let cut = |text: &str| text.chars().take(SHOWN).collect();
        let text = text.filter(|text| !text.is_empty()).map(cut);
        Reason { code, text }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (0x{:02x}", words(self.code), self.code)?;
        match &self.text {
            Some(text) => write!(f, ", \"{text}\")"),
            None => f.write_str(")"),
        }
    }
}

fn words(code: u8) -> &'static str {
    match code {
        0x00 => "normal disconnection",
        0x80 => "unspecified error",
        0x81 => "malformed packet",
        0x82 => "protocol error",
        0x83 => "implementation specific error",
        0x84 => "MQTT 5 is not supported",
        0x85 => "client identifier not valid",
        0x86 => "bad user name or password",
        0x87 => "not authorized",
        0x88 => "server unavailable",
        0x89 => "server busy",
        0x8a => "banned",
        0x8b => "server shutting down",
        0x8c => "bad authentication method",
        0x8d => "keep alive timeout",
        TAKEN_OVER => "session taken over",
        0x8f => "topic filter invalid",
        0x90 => "topic name invalid",
        0x91 => "packet identifier in use",
        0x93 => "receive maximum exceeded",
        0x94 => "topic alias invalid",
        0x95 => "packet too large",
        0x96 => "message rate too high",
        0x97 => "quota exceeded",
        0x98 => "administrative action",
        0x99 => "payload format invalid",
        0x9a => "retain not supported",
        0x9b => "QoS not supported",
        0x9c => "use another server",
        0x9d => "server moved",
        0x9e => "shared subscriptions not supported",
        0x9f => "connection rate exceeded",
        0xa0 => "maximum connect time",
        0xa1 => "subscription identifiers not supported",
        0xa2 => "wildcard subscriptions not supported",
        _ => "unknown reason",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_stand_before_the_code_and_what_the_broker_says_is_cut() {
        assert_eq!(Reason::new(0x87, None).to_string(), "not authorized (0x87)");
        let long = "ä".repeat(1000);
        let shown = Reason::new(TAKEN_OVER, Some(&long)).to_string();
        assert!(shown.starts_with("session taken over (0x8e, \"ä") && shown.len() < 400);
    }
}
