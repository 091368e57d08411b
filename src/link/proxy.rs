//! HTTP CONNECT: asking a proxy for the way to a host.
//!
//! Is responsible for: the request, the bounded reading of the answer, and for naming what stands in the way. Not a
//! byte behind the head of the answer is read: it belongs to TLS. Source: RFC 9110, 9.3.6 and 11.7.

use std::fmt;
use std::io;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use zeroize::Zeroizing;

use super::reach::Unreached;
use super::tls;
use crate::config::{Endpoint, Proxy};
use crate::limits::{PROXY_HEAD_MAX, PROXY_HEADERS_MAX, PROXY_LIMIT};
use crate::resolve::ResolveError;

/// Characters of a reason, an address or a first line that are repeated in the log.
const SHOWN: usize = 128;

/// Schemes of a 407 that are named.
const SCHEMES_SHOWN: usize = 8;

/// What every answer of a proxy begins with.
const HTTP: &[u8] = b"HTTP/1.";

/// Why a proxy does not let us through. None of it says anything of the access token.
#[derive(Debug)]
pub enum ProxyError {
    /// The proxy's name has no address.
    Resolve(ResolveError),
    /// No address of the proxy takes a TCP connection.
    Tcp(Unreached),
    /// The proxy's name is not one that TLS can check.
    Name,
    /// TLS to the proxy failed.
    Tls(io::Error),
    /// The connection to the proxy broke while it was asked.
    Broken(io::Error),
    /// The proxy closed the connection in place of a whole answer.
    Closed,
    /// What it sent is not the head of an HTTP answer; its beginning.
    NoHttp(Vec<u8>),
    /// The head of its answer is longer than [`PROXY_HEAD_MAX`], or has more than [`PROXY_HEADERS_MAX`] lines.
    TooLong,
    /// It wants other credentials: the schemes it offers, and whether we had some.
    Credentials {
        /// Names of authentication schemes.
        offered: Vec<String>,
        /// The configuration has a login for it.
        had: bool,
    },
    /// A login page answers in its place.
    Portal {
        /// The HTTP status.
        status: u16,
        /// Where it sends people.
        location: Option<String>,
    },
    /// Another answer than "go ahead".
    Refused {
        /// The HTTP status.
        status: u16,
        /// The words behind it.
        reason: String,
        /// What was asked for.
        to: Endpoint,
    },
    /// It did not answer within [`PROXY_LIMIT`].
    Timeout,
}

/// Asks for the way to `to`. The stream is ready for it afterwards. The caller bounds the time.
///
/// # Errors
/// Why the proxy does not give it.
pub async fn connect(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    proxy: &Proxy,
    to: &Endpoint,
) -> Result<(), ProxyError> {
    let request = request(proxy, to);
    stream
        .write_all(request.as_bytes())
        .await
        .map_err(ProxyError::Broken)?;
    stream.flush().await.map_err(ProxyError::Broken)?;
    let head = head(stream).await?;
    judge(&head, proxy, to)
}

/// The request; it may hold the password, so its memory is overwritten.
fn request(proxy: &Proxy, to: &Endpoint) -> Zeroizing<String> {
    let login = proxy.login.as_ref().map_or("", |login| login.expose());
    // Whole at once: a text that grows leaves its beginning behind in memory.
    let mut request = Zeroizing::new(String::with_capacity(256 + 2 * to.host.len() + login.len()));
    for part in [
        &format!("CONNECT {to} HTTP/1.1\r\nHost: {to}\r\n"),
        concat!("User-Agent: cellgate/", env!("CARGO_PKG_VERSION"), "\r\n"),
    ] {
        request.push_str(part);
    }
    if proxy.login.is_some() {
        for part in ["Proxy-Authorization: ", login, "\r\n"] {
            request.push_str(part);
        }
    }
    request.push_str("\r\n");
    request
}

/// The head of the answer with its empty line. Read byte by byte, so that what follows stays in the stream: it is
/// a few hundred bytes, once a connection.
async fn head(stream: &mut (impl AsyncRead + Unpin)) -> Result<Vec<u8>, ProxyError> {
    let mut head = Vec::with_capacity(512);
    while !head.ends_with(b"\r\n\r\n") && !head.ends_with(b"\n\n") {
        if head.len() == PROXY_HEAD_MAX {
            return Err(ProxyError::TooLong);
        }
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(error) if error.kind() != io::ErrorKind::UnexpectedEof => {
                return Err(ProxyError::Broken(error));
            }
            Err(_) if head.is_empty() || is_http(&head) => return Err(ProxyError::Closed),
            Err(_) => return Err(ProxyError::NoHttp(head)),
        }
        // The rest of a first line that is no HTTP is for the log; more of it may never come.
        if !is_http(&head) && (head.ends_with(b"\n") || head.len() == SHOWN || head[0] < b' ') {
            return Err(ProxyError::NoHttp(head));
        }
    }
    Ok(head)
}

fn is_http(head: &[u8]) -> bool {
    let common = head.len().min(HTTP.len());
    head[..common] == HTTP[..common]
}

fn judge(head: &[u8], proxy: &Proxy, to: &Endpoint) -> Result<(), ProxyError> {
    let mut headers = [httparse::EMPTY_HEADER; PROXY_HEADERS_MAX];
    let mut reply = httparse::Response::new(&mut headers);
    match reply.parse(head) {
        Ok(httparse::Status::Complete(_)) => {}
        Err(httparse::Error::TooManyHeaders) => return Err(ProxyError::TooLong),
        Ok(httparse::Status::Partial) | Err(_) => return Err(ProxyError::NoHttp(head.to_vec())),
    }
    let status = reply.code.unwrap_or_default();
    let values = |name: &str| {
        let wanted = name.to_owned();
        let headers = reply.headers.iter();
        headers
            .filter(move |header| header.name.eq_ignore_ascii_case(&wanted))
            .map(|header| String::from_utf8_lossy(header.value).into_owned())
    };
    match status {
        // What such an answer says of a body is to be ignored (RFC 9110, 9.3.6). A login page that says 200 is
        // found out by TLS, which it does not speak.
        200..=299 => Ok(()),
        300..=399 | 511 => Err(ProxyError::Portal {
            status,
            location: values("Location").next().map(|value| shown(&value)),
        }),
        407 => Err(ProxyError::Credentials {
            offered: schemes(values("Proxy-Authenticate")),
            had: proxy.login.is_some(),
        }),
        _ => Err(ProxyError::Refused {
            status,
            reason: shown(reply.reason.unwrap_or_default()),
            to: to.clone(),
        }),
    }
}

/// The names of the authentication schemes in these values, each of which may hold several with parameters.
/// Source: RFC 9110, 11.6.1.
fn schemes(values: impl Iterator<Item = String>) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for value in values {
        // Without what stands in quotes, a comma ends a scheme or a parameter.
        let bare: String = value.split('"').step_by(2).collect();
        for part in bare.split(',') {
            let name = part.split_whitespace().next().unwrap_or_default();
            let is_token =
                !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
            let known = found.iter().any(|other| other.eq_ignore_ascii_case(name));
            if is_token && !known && found.len() < SCHEMES_SHOWN {
                found.push(shown(name));
            }
        }
    }
    found
}

fn shown(text: &str) -> String {
    text.chars().take(SHOWN).collect()
}

impl fmt::Display for ProxyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ProxyError::Resolve(error) => write!(f, "its name {error}"),
            ProxyError::Tcp(unreached) => unreached.fmt(f),
            ProxyError::Name => write!(f, "its name is not one that a certificate can carry"),
            ProxyError::Tls(error) => tls_to_proxy(f, error),
            ProxyError::Broken(error) => write!(
                f,
                "the connection to it broke while it was asked ({error}); check the proxy"
            ),
            ProxyError::Closed => write!(
                f,
                "it closed the connection in place of an answer; may this gateway use it, and is [proxy] url \
                 right (http:// or https://)?"
            ),
            ProxyError::NoHttp(began) => no_http(f, began),
            ProxyError::TooLong => write!(
                f,
                "its answer is longer than {PROXY_HEAD_MAX} bytes or {PROXY_HEADERS_MAX} header lines; is that \
                 port an HTTP proxy?"
            ),
            ProxyError::Credentials { offered, had } => credentials(f, offered, *had),
            ProxyError::Portal { status, location } => {
                write!(f, "HTTP {status}: {}", tls::PORTAL)?;
                match location {
                    Some(location) => write!(f, " (it sends people to {location})"),
                    None => Ok(()),
                }
            }
            ProxyError::Refused { status, reason, to } => {
                write!(f, "HTTP {status}")?;
                if !reason.is_empty() {
                    write!(f, " {reason}")?;
                }
                refused(f, *status, to)
            }
            ProxyError::Timeout => write!(
                f,
                "it did not answer within {} s; is it overloaded, or unable to reach the internet itself?",
                PROXY_LIMIT.as_secs()
            ),
        }
    }
}

fn tls_to_proxy(f: &mut fmt::Formatter<'_>, error: &io::Error) -> fmt::Result {
    let inner = error.get_ref().and_then(|e| e.downcast_ref());
    if let Some(rustls::Error::InvalidMessage(_)) = inner {
        return write!(
            f,
            "it does not speak TLS; write [proxy] url with http:// in place of https://, or another port"
        );
    }
    write!(f, "TLS to it failed: {}", tls::Failed(error))
}

fn no_http(f: &mut fmt::Formatter<'_>, began: &[u8]) -> fmt::Result {
    // A TLS alert or handshake record.
    if matches!(began, [0x15 | 0x16, ..]) {
        return write!(
            f,
            "it speaks TLS; write [proxy] url with https:// in place of http://, or another port"
        );
    }
    let line = began
        .split(|byte| *byte == b'\n')
        .next()
        .unwrap_or_default();
    write!(
        f,
        "its answer is no HTTP (\"{}\"); is that port an HTTP proxy?",
        shown(&line.escape_ascii().to_string())
    )
}

fn credentials(f: &mut fmt::Formatter<'_>, offered: &[String], had: bool) -> fmt::Result {
    let basic = offered
        .iter()
        .any(|name| name.eq_ignore_ascii_case("basic"));
    match (basic, had) {
        (true, true) => write!(
            f,
            "HTTP 407: the credentials were refused; check user and password in [proxy] url or HTTPS_PROXY"
        ),
        (true, false) => write!(
            f,
            "HTTP 407: it wants a login, and no credentials are configured: [proxy] url = \
             \"http://USER:PASSWORD@HOST:PORT\""
        ),
        (false, _) if offered.is_empty() => write!(
            f,
            "HTTP 407: it wants a login without saying of which kind; cellgate has Basic only: ask the proxy's \
             administrator"
        ),
        (false, _) => write!(
            f,
            "HTTP 407: it wants {}; cellgate has Basic only: ask the proxy's administrator for Basic, or to let \
             this gateway through without a login",
            offered.join(" or ")
        ),
    }
}

fn refused(f: &mut fmt::Formatter<'_>, status: u16, to: &Endpoint) -> fmt::Result {
    match status {
        401 | 403 => write!(
            f,
            "; it forbids this way: ask the proxy's administrator to allow CONNECT to {to}"
        ),
        405 | 501 => write!(f, "; it does not do CONNECT; is it a proxy for this use?"),
        502..=504 => write!(
            f,
            "; it cannot reach {to} itself: check its name resolution and its uplink"
        ),
        _ => write!(
            f,
            "; it does not open the way to {to}; ask the proxy's administrator"
        ),
    }
}

#[cfg(test)]
#[path = "proxy_tests.rs"]
mod tests;
