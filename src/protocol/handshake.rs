//! The handshake: what the request says, and what the reply means for the access token.

use std::fmt;
use std::time::Duration;

use super::ids::Version;

/// A header of the request, name and value.
pub type Header<'a> = (&'static str, std::borrow::Cow<'a, str>);

/// Path and query of the request. Source: the protocol guides.
pub const PATH: &str = "/tunnel?local-proxy-mode=destination";

/// The headers that the service asks for, beside those of every WebSocket request. Exactly one access
/// token, no cookie, and always a client token: without one the access token would work only once, and
/// a lost link would be the end of the tunnel.
pub fn headers<'a>(access_token: &'a str, client_token: &'a str) -> [Header<'a>; 4] {
    let offered: Vec<&str> = Version::OFFERED.map(Version::subprotocol).to_vec();
    [
        ("Sec-WebSocket-Protocol", offered.join(", ").into()),
        ("access-token", access_token.into()),
        ("client-token", client_token.into()),
        (
            "User-Agent",
            concat!("cellgate/", env!("CARGO_PKG_VERSION")).into(),
        ),
    ]
}

/// What a reply that is not an upgrade means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The HTTP status.
    pub status: u16,
    /// `X-Status-Reason`, where the service tells.
    pub reason: Option<String>,
    /// `channel-id`, which AWS support asks for.
    pub channel_id: Option<String>,
    /// `Retry-After` in seconds, where the service tells.
    pub retry_after: Option<Duration>,
}

/// What to do after a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Wait and try the same token again.
    Retry,
    /// The token is dead; never try it again.
    Final,
}

impl Refusal {
    /// 4xx ends the token. 5xx is the service's own trouble. 408 and 429 ask for patience. Anything else
    /// (a redirect, a 200) did not come from the tunnelling service.
    pub fn verdict(&self) -> Verdict {
        match self.status {
            408 | 429 => Verdict::Retry,
            400..=407 | 409..=428 | 430..=499 => Verdict::Final,
            _ => Verdict::Retry,
        }
    }

    /// The likely cause, and what to do, for whoever reads the log.
    pub fn likely_cause(&self) -> &'static str {
        match self.status {
            408 => "the service got our request too late; is the uplink very slow?",
            429 => "too many attempts; waiting as long as the service asks",
            400 => {
                "the access token is malformed, is a source token, or belongs to another region; \
                 check that the destination token was given and that region or endpoint is the tunnel's"
            }
            401 | 403 => {
                "the access token is invalid, expired, rotated, or was used before with another client token; \
                 open a new tunnel or rotate the tokens"
            }
            404 | 410 => "the tunnel is closed or past its lifetime; open a new one",
            402..=499 => "the tunnel does not take us; open a new one",
            500..=510 | 512..=599 => "the service is in trouble; it is tried again",
            _ => {
                "this did not come from the tunnelling service: a captive portal or a proxy answers in its \
                 place; check the endpoint and the network's login page"
            }
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HTTP {}", self.status)?;
        if let Some(reason) = &self.reason {
            write!(f, ", reason \"{reason}\"")?;
        }
        if let Some(channel) = &self.channel_id {
            write!(f, ", channel-id {channel}")?;
        }
        write!(f, "; likely cause: {}", self.likely_cause())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(status: u16) -> Refusal {
        Refusal {
            status,
            reason: None,
            channel_id: None,
            retry_after: None,
        }
    }

    #[test]
    fn only_4xx_ends_the_token_and_408_and_429_wait() {
        for status in [400, 401, 403, 404, 407, 410, 418, 499] {
            assert_eq!(refusal(status).verdict(), Verdict::Final, "{status}");
        }
        for status in [200, 204, 301, 302, 408, 429, 500, 502, 503, 504, 599] {
            assert_eq!(refusal(status).verdict(), Verdict::Retry, "{status}");
        }
    }

    #[test]
    fn the_request_offers_every_version_newest_first_and_one_token() {
        let headers = headers("TOKEN", "CLIENT");
        let value = |name: &str| {
            let found: Vec<_> = headers.iter().filter(|(n, _)| *n == name).collect();
            assert_eq!(found.len(), 1, "{name} exactly once");
            found[0].1.to_string()
        };
        assert_eq!(
            value("Sec-WebSocket-Protocol"),
            "aws.iot.securetunneling-3.0, aws.iot.securetunneling-2.0, aws.iot.securetunneling-1.0"
        );
        assert_eq!(value("access-token"), "TOKEN");
        assert_eq!(value("client-token"), "CLIENT");
        assert!(
            !headers
                .iter()
                .any(|(name, _)| name.eq_ignore_ascii_case("cookie"))
        );
    }

    #[test]
    fn a_refusal_tells_status_reason_channel_and_cause() {
        let text = Refusal {
            status: 403,
            reason: Some("Tunnel is closed".into()),
            channel_id: Some("0ea2".into()),
            retry_after: None,
        }
        .to_string();
        for part in ["HTTP 403", "Tunnel is closed", "0ea2", "open a new tunnel"] {
            assert!(text.contains(part), "{text:?} lacks {part:?}");
        }
    }
}
