//! The rules of a handshake, on its bytes.
//!
//! Responsible for: everything about a request that can be judged without knowing the tunnels, in the words of the
//! protocol guides, "Connecting to the proxy server and tunnel".

use crate::wire::Mode;

/// A request may not be larger, bytes (protocol guides: "must not exceed 4k bytes").
pub const MAX_REQUEST: usize = 4_096;

/// The name of a subprotocol without its version.
const PROTOCOL: &str = "aws.iot.securetunneling-";

/// A version of the subprotocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Protocol {
    /// `aws.iot.securetunneling-1.0`: one service, without a name.
    V1,
    /// `aws.iot.securetunneling-2.0`: several services, one connection each.
    V2,
    /// `aws.iot.securetunneling-3.0`: several connections a service.
    V3,
}

impl Protocol {
    /// The name in the handshake.
    pub fn name(self) -> String {
        let version = match self {
            Self::V1 => "1.0",
            Self::V2 => "2.0",
            Self::V3 => "3.0",
        };
        format!("{PROTOCOL}{version}")
    }
}

/// A request that keeps the rules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Request {
    pub(super) mode: Mode,
    pub(super) access_token: String,
    pub(super) client_token: Option<String>,
    /// `Sec-WebSocket-Key`.
    pub(super) key: String,
    /// The subprotocol chosen from those offered.
    pub(super) protocol: Protocol,
}

/// A request that does not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refused {
    pub(super) status: u16,
    pub(super) reason: String,
    /// The side, if the request said so.
    pub(super) mode: Option<Mode>,
}

impl Refused {
    pub(super) fn new(status: u16, mode: Option<Mode>, reason: impl Into<String>) -> Self {
        Self {
            status,
            reason: reason.into(),
            mode,
        }
    }
}

/// Where the head of a request ends, once it is there.
pub(super) fn head_end(bytes: &[u8]) -> Option<usize> {
    bytes
        .windows(4)
        .position(|four| four == b"\r\n\r\n")
        .map(|at| at + 4)
}

/// Judges a whole head, the empty line included. `supported` is in the service's order of preference.
pub(super) fn judge(head: &[u8], supported: &[Protocol]) -> Result<Request, Refused> {
    let bad = |reason: &str| Refused::new(400, None, reason);
    if head.len() > MAX_REQUEST {
        return Err(bad("request larger than 4096 bytes"));
    }
    let text = std::str::from_utf8(head).map_err(|_| bad("request is not text"))?;
    let mut lines = text.strip_suffix("\r\n\r\n").unwrap_or(text).split("\r\n");
    let mode = judge_request_line(lines.next().unwrap_or_default())?;
    let bad = |reason: &str| Refused::new(400, Some(mode), reason);

    let mut headers = Vec::new();
    for line in lines {
        let (name, value) = line
            .split_once(':')
            .ok_or_else(|| bad("a header line without a colon"))?;
        if name.is_empty() || name.contains([' ', '\t']) {
            return Err(bad("a header name with white space"));
        }
        if line.contains(['\r', '\n', '\0']) {
            return Err(bad("a control character in a header"));
        }
        headers.push((name.to_ascii_lowercase(), value.trim_matches([' ', '\t'])));
    }
    let all = |wanted: &'static str| {
        headers
            .iter()
            .filter(move |(name, _)| name == wanted)
            .map(|(_, value)| *value)
    };
    let listed = |wanted: &'static str| {
        all(wanted)
            .flat_map(|value| value.split(','))
            .map(str::trim)
    };

    if all("host").count() != 1 {
        return Err(bad("exactly one Host header wanted"));
    }
    if !listed("upgrade").any(|value| value.eq_ignore_ascii_case("websocket"))
        || !listed("connection").any(|value| value.eq_ignore_ascii_case("upgrade"))
    {
        return Err(bad("no upgrade to websocket"));
    }
    if all("sec-websocket-version").collect::<Vec<_>>() != ["13"] {
        return Err(bad("Sec-WebSocket-Version 13 wanted"));
    }
    let keys: Vec<&str> = all("sec-websocket-key").collect();
    let &[key] = keys.as_slice() else {
        return Err(bad("exactly one Sec-WebSocket-Key wanted"));
    };
    if !is_base64_of_16(key) {
        return Err(bad("Sec-WebSocket-Key is not 16 bytes in base64"));
    }

    let cookies = all("cookie")
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().strip_prefix("awsiot-tunnel-token="));
    let tokens: Vec<&str> = all("access-token").chain(cookies).collect();
    let access_token = match tokens.as_slice() {
        [token] if !token.is_empty() => (*token).to_owned(),
        [] | [_] => return Err(bad("no access token")),
        [_, _, ..] => return Err(bad("more than one access token")),
    };
    let client_tokens: Vec<&str> = all("client-token").collect();
    let client_token = match client_tokens.as_slice() {
        [] => None,
        [token] if is_client_token(token) => Some((*token).to_owned()),
        [_] => return Err(bad("client token is not 32 to 128 of a-z, A-Z, 0-9 and -")),
        [_, _, ..] => return Err(bad("more than one client token")),
    };

    let offered: Vec<&str> = listed("sec-websocket-protocol").collect();
    let protocol = supported
        .iter()
        .copied()
        .find(|protocol| offered.contains(&protocol.name().as_str()))
        .ok_or_else(|| bad("no supported subprotocol"))?;

    Ok(Request {
        mode,
        access_token,
        client_token,
        key: key.to_owned(),
        protocol,
    })
}

fn judge_request_line(line: &str) -> Result<Mode, Refused> {
    let bad = |reason: &str| Refused::new(400, None, reason);
    let mut words = line.split(' ');
    let (Some(method), Some(target), Some(version), None) =
        (words.next(), words.next(), words.next(), words.next())
    else {
        return Err(bad("no request line"));
    };
    if method != "GET" || version != "HTTP/1.1" {
        return Err(bad("GET with HTTP/1.1 wanted"));
    }
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    if path != "/tunnel" {
        return Err(bad("the path must be /tunnel"));
    }
    let modes: Vec<&str> = query
        .split('&')
        .filter_map(|pair| pair.strip_prefix("local-proxy-mode="))
        .collect();
    match modes.as_slice() {
        ["source"] => Ok(Mode::Source),
        ["destination"] => Ok(Mode::Destination),
        _ => Err(bad("local-proxy-mode must be source or destination")),
    }
}

/// `^[a-zA-Z0-9-]{32,128}$`.
fn is_client_token(token: &str) -> bool {
    (32..=128).contains(&token.len())
        && token
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

fn is_base64_of_16(key: &str) -> bool {
    key.len() == 24
        && key.ends_with("==")
        && key[..22]
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'+' || byte == b'/')
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Protocol; 3] = [Protocol::V3, Protocol::V2, Protocol::V1];
    const CLIENT_TOKEN: &str = "0b1d2c3e-4f50-4617-8293-a4b5c6d7e8f9";

    const GOOD: &str = "GET /tunnel?local-proxy-mode=destination HTTP/1.1\r\n\
        Host: localhost:8443\r\n\
        Upgrade: websocket\r\n\
        Connection: Upgrade\r\n\
        Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
        Sec-WebSocket-Version: 13\r\n\
        Sec-WebSocket-Protocol: aws.iot.securetunneling-2.0, aws.iot.securetunneling-3.0\r\n\
        access-token: secret\r\n\r\n";

    fn with(line: &str) -> String {
        GOOD.replace(
            "access-token: secret\r\n",
            &format!("access-token: secret\r\n{line}\r\n"),
        )
    }

    #[test]
    fn a_good_request_passes() {
        let request = judge(
            with(&format!("Client-Token: {CLIENT_TOKEN}")).as_bytes(),
            &ALL,
        )
        .expect("it is good");
        assert_eq!(request.mode, Mode::Destination);
        assert_eq!(request.access_token, "secret");
        assert_eq!(request.client_token.as_deref(), Some(CLIENT_TOKEN));
        assert_eq!(request.protocol, Protocol::V3);
        let older = judge(GOOD.as_bytes(), &[Protocol::V2, Protocol::V1]).expect("2.0 is offered");
        assert_eq!(older.protocol, Protocol::V2);
    }

    #[test]
    fn the_token_may_come_by_cookie() {
        let request = GOOD.replace(
            "access-token: secret",
            "Cookie: a=b; awsiot-tunnel-token=secret",
        );
        assert_eq!(
            judge(request.as_bytes(), &ALL)
                .expect("one token")
                .access_token,
            "secret"
        );
    }

    #[test]
    fn each_broken_rule_is_a_400() {
        let broken = [
            (GOOD.replace("GET", "POST"), "GET"),
            (GOOD.replace("/tunnel?", "/?"), "path"),
            (GOOD.replace("=destination", "=client"), "local-proxy-mode"),
            (
                GOOD.replace("?local-proxy-mode=destination", ""),
                "local-proxy-mode",
            ),
            (GOOD.replace("Host: localhost:8443\r\n", ""), "Host"),
            (GOOD.replace("Upgrade: websocket\r\n", ""), "upgrade"),
            (
                GOOD.replace("Connection: Upgrade", "Connection: close"),
                "upgrade",
            ),
            (GOOD.replace("Version: 13", "Version: 8"), "Version"),
            (GOOD.replace("dGhlIHNhbXBsZSBub25jZQ==", "short"), "Key"),
            (GOOD.replace("securetunneling-", "other-"), "subprotocol"),
            (
                GOOD.replace("access-token: secret\r\n", ""),
                "no access token",
            ),
            (with("access-token: second"), "more than one access token"),
            (
                with("Cookie: awsiot-tunnel-token=second"),
                "more than one access token",
            ),
            (with("client-token: tooshort"), "client token"),
            (
                with(&format!("client-token: {}", "x".repeat(129))),
                "client token",
            ),
            (
                with(&format!("client-token: {}_", &CLIENT_TOKEN[1..])),
                "client token",
            ),
            (
                with(&format!(
                    "client-token: {CLIENT_TOKEN}\r\nclient-token: {CLIENT_TOKEN}"
                )),
                "more than one client token",
            ),
            (with("no colon"), "colon"),
        ];
        for (request, reason) in broken {
            let refused = judge(request.as_bytes(), &ALL).expect_err(&request);
            assert_eq!(refused.status, 400);
            assert!(refused.reason.contains(reason), "{refused:?} for {request}");
        }
    }

    #[test]
    fn four_kibibytes_pass_and_one_byte_more_does_not() {
        let padding = MAX_REQUEST - with("x: ").len();
        let largest = with(&format!("x: {}", "p".repeat(padding)));
        assert_eq!(largest.len(), MAX_REQUEST);
        judge(largest.as_bytes(), &ALL).expect("4,096 bytes are allowed");
        let refused = judge(
            with(&format!("x: {}", "p".repeat(padding + 1))).as_bytes(),
            &ALL,
        )
        .expect_err("too large");
        assert!(refused.reason.contains("4096"), "{refused:?}");
    }
}
