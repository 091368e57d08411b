//! What is asked: one JSON line.

use std::fmt;

use serde::Deserialize;
use serde_json::value::RawValue;
use zeroize::Zeroizing;

use crate::protocol::notification::Notification;

/// A question to the agent, checked. On the socket it is one line: `{"open":{…notification…}}`,
/// `{"open_token":"…"}`, `{"close":"1a2b3c4d"}`, `{"close":null}` or `{"status":null}`.
#[derive(Debug)]
pub enum Request {
    /// Take this tunnel in.
    Open(Box<Notification>),
    /// End the tunnel whose name begins like this; without a name, the only one there is.
    Close(Option<String>),
    /// Say what goes on.
    Status,
}

/// Why a line is no request.
#[derive(Debug)]
pub enum RequestError {
    /// It is no JSON of a known form. The reason of the parser is left out: it may repeat what it read.
    Form,
    /// What is to be opened is no tunnel for us.
    Notification(String),
    /// What is to be closed is no name of a tunnel.
    Name,
}

impl fmt::Display for RequestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RequestError::Form => f.write_str(
                "this is no request that this version of the agent knows; use the cellgate program of the same version",
            ),
            RequestError::Notification(reason) => f.write_str(reason),
            RequestError::Name => f.write_str(
                "this is no name of a tunnel: one has up to eight digits of 0-9 and a-f; `cellgate status` shows it",
            ),
        }
    }
}

impl std::error::Error for RequestError {}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Line<'a> {
    #[serde(borrow)]
    Open(&'a RawValue),
    OpenToken(String),
    Close(Option<String>),
    Status,
}

impl Request {
    /// The request from its line. The line holds a token: its owner overwrites it.
    ///
    /// # Errors
    /// Why it is none.
    pub(super) fn from_line(line: &[u8]) -> Result<Request, RequestError> {
        match serde_json::from_slice(line).map_err(|_| RequestError::Form)? {
            Line::Open(notification) => Notification::parse(notification.get().as_bytes())
                .map(|open| Request::Open(Box::new(open)))
                .map_err(|error| RequestError::Notification(error.to_string())),
            Line::OpenToken(token) => Notification::of_token(&Zeroizing::new(token))
                .map(|open| Request::Open(Box::new(open)))
                .map_err(|error| RequestError::Notification(error.to_string())),
            Line::Close(None) => Ok(Request::Close(None)),
            Line::Close(Some(name)) if is_name(&name) => {
                Ok(Request::Close(Some(name.to_ascii_lowercase())))
            }
            Line::Close(Some(_)) => Err(RequestError::Name),
            Line::Status => Ok(Request::Status),
        }
    }
}

/// Whether this is a tunnel's name or the start of one.
pub fn is_name(text: &str) -> bool {
    (1..=NAME).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Digits of a tunnel's name; see `ledger::name_of`.
const NAME: usize = 8;

/// The line that asks for a status.
pub(super) const STATUS: &[u8] = b"\"status\"\n";

/// The line that asks to close the tunnel whose name begins like this.
pub(super) fn close_line(name: Option<&str>) -> Vec<u8> {
    match name {
        // Hexadecimal digits: nothing to be escaped.
        Some(name) => format!("{{\"close\":\"{name}\"}}\n").into_bytes(),
        None => b"{\"close\":null}\n".to_vec(),
    }
}

/// The line that asks to open what a person or a program gave: a notification, or a token alone.
///
/// # Errors
/// What was given is neither; it is checked here already, so that the reason comes at once.
pub(super) fn open_line(given: &[u8]) -> Result<Zeroizing<Vec<u8>>, RequestError> {
    let given = given.trim_ascii();
    // Everything is laid down once, in memory that is overwritten.
    let mut line = Zeroizing::new(Vec::with_capacity(2 * given.len() + 32));
    if given.first() == Some(&b'{') {
        Notification::parse(given)
            .map_err(|error| RequestError::Notification(error.to_string()))?;
        line.extend_from_slice(b"{\"open\":");
        // In JSON a line break can stand only between words.
        line.extend(given.iter().map(|byte| match byte {
            b'\n' | b'\r' => b' ',
            byte => *byte,
        }));
    } else {
        // What is no UTF-8 is no token either.
        let token = std::str::from_utf8(given).unwrap_or_default();
        Notification::of_token(token)
            .map_err(|error| RequestError::Notification(error.to_string()))?;
        line.extend_from_slice(b"{\"open_token\":\"");
        // A token is printable ASCII; these two are all that JSON wants escaped of it.
        for byte in token.bytes() {
            if matches!(byte, b'"' | b'\\') {
                line.push(b'\\');
            }
            line.push(byte);
        }
        line.push(b'"');
    }
    line.extend_from_slice(b"}\n");
    Ok(line)
}
