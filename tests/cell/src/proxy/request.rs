//! The rules of a request to a proxy, on its bytes. Source: RFC 9110 (7.2, 9.3.6, 11.7.2) and RFC 9112.

/// A request may not be larger, bytes.
pub(super) const MAX_REQUEST: usize = 8_192;

/// What a client asks for.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Request {
    /// `HOST:PORT`.
    pub(super) target: String,
    /// The value of `Proxy-Authorization`.
    pub(super) login: Option<String>,
}

/// Judges a whole head, the empty line included: the status to refuse it with, and the rule that it breaks.
pub(super) fn judge(head: &[u8]) -> Result<Request, (u16, String)> {
    let bad = |what: &str| (400, what.to_owned());
    let text = std::str::from_utf8(head).map_err(|_| bad("the request is not text"))?;
    let text = text
        .strip_suffix("\r\n\r\n")
        .ok_or_else(|| bad("no empty line"))?;
    let mut lines = text.split("\r\n");
    let first: Vec<&str> = lines.next().unwrap_or_default().split(' ').collect();
    let [method, target, version] = first[..] else {
        return Err(bad("the first line is not METHOD TARGET VERSION"));
    };
    if method != "CONNECT" {
        return Err((405, format!("the method is {method}, not CONNECT")));
    }
    if version != "HTTP/1.1" {
        return Err((505, format!("the version is {version}")));
    }
    let (host, port) = target
        .rsplit_once(':')
        .ok_or_else(|| bad("a target without a port"))?;
    let bracketed = host.starts_with('[') && host.ends_with(']');
    if host.is_empty() || (host.contains(':') && !bracketed) || host.contains(['/', '@']) {
        return Err(bad("the target is not HOST:PORT"));
    }
    if !port.parse::<u16>().is_ok_and(|port| port > 0) {
        return Err(bad("the port is none"));
    }
    let mut headers: Vec<(String, &str)> = Vec::new();
    for line in lines {
        let (name, value) = line
            .split_once(": ")
            .ok_or_else(|| bad("a header line without \": \""))?;
        let name = name.to_ascii_lowercase();
        let token = |c: char| c.is_ascii_alphanumeric() || c == '-';
        if name.is_empty()
            || !name.chars().all(token)
            || value.trim() != value
            || value.contains(['\r', '\n'])
        {
            return Err(bad("a header line with blanks where none belong"));
        }
        if headers.iter().any(|(other, _)| *other == name) {
            return Err((400, format!("{name} comes twice")));
        }
        headers.push((name, value));
    }
    let value = |wanted: &str| {
        let found = headers.iter().find(|(name, _)| name == wanted);
        found.map(|(_, value)| *value)
    };
    if value("host") != Some(target) {
        return Err((400, format!("Host is {:?}, not {target:?}", value("host"))));
    }
    if !value("user-agent").is_some_and(|agent| agent.starts_with("cellgate/")) {
        return Err(bad("User-Agent does not name cellgate and its version"));
    }
    const KNOWN: [&str; 3] = ["host", "user-agent", "proxy-authorization"];
    // A CONNECT has no body, and nothing of the tunnel is the proxy's business.
    if let Some((other, _)) = headers
        .iter()
        .find(|(name, _)| !KNOWN.contains(&name.as_str()))
    {
        return Err((400, format!("{other} has no place in a CONNECT")));
    }
    Ok(Request {
        target: target.to_owned(),
        login: value("proxy-authorization").map(str::to_owned),
    })
}

/// The value of `Proxy-Authorization` for a user. Source: RFC 7617.
pub(super) fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", base64(format!("{user}:{password}").as_bytes()))
}

/// Source: RFC 4648, 4.
fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for three in bytes.chunks(3) {
        let bits = three
            .iter()
            .fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte))
            << (8 * (3 - three.len()));
        for place in 0..4 {
            let six = (bits >> (18 - 6 * place)) & 63;
            let letter = char::from(ALPHABET[six as usize]);
            text.push(if place <= three.len() { letter } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_that_of_the_rfc() {
        // RFC 4648, 10.
        for (bytes, text) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
        // RFC 7617, 2.
        assert_eq!(
            basic("Aladdin", "open sesame"),
            "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="
        );
    }

    #[test]
    fn only_a_connect_that_keeps_the_rules_passes() {
        let good = "CONNECT h.example:443 HTTP/1.1\r\nHost: h.example:443\r\nUser-Agent: cellgate/1\r\n\r\n";
        let request = judge(good.as_bytes()).expect("it keeps the rules");
        assert_eq!(
            (request.target.as_str(), request.login),
            ("h.example:443", None)
        );
        for (from, to, status) in [
            ("CONNECT", "GET", 405),
            ("HTTP/1.1\r\nHost", "HTTP/1.0\r\nHost", 505),
            ("Host: h.example:443", "Host: h.example", 400),
            ("h.example:443 HTTP", "https://h.example:443 HTTP", 400),
            ("User-Agent: cellgate/1", "User-Agent: curl/8", 400),
            ("User-Agent", "Host: h.example:443\r\nUser-Agent", 400),
            ("User-Agent", "access-token: x\r\nUser-Agent", 400),
            ("User-Agent", "Content-Length: 0\r\nUser-Agent", 400),
            ("h.example:443 HTTP", "h.example:0 HTTP", 400),
        ] {
            let broken = good.replacen(from, to, 1);
            let refused = judge(broken.as_bytes()).expect_err(&broken);
            assert_eq!(refused.0, status, "{broken}");
        }
    }
}
