//! Replies to our handshakes: of the tunnelling service to the WebSocket request, with the messages behind it, and of
//! a proxy to CONNECT. Whatever comes, there is an answer in bounds, and no reply brings a token into the log.

use std::ffi::OsString;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::OnceLock;
use std::task::{Context, Poll, Waker};

use cellgate::config::{ClientToken, Config, Endpoint, Proxy, Start};
use cellgate::limits::{LINK_READ_BUFFER, PROXY_HEAD_MAX, WEBSOCKET_MESSAGE_MAX};
use cellgate::link::dial::{DialError, Upgraded, upgrade};
use cellgate::link::proxy;
use cellgate::link::websocket::{Link, Received};
use cellgate::protocol::handshake::Verdict;
use cellgate::secret::Secret;
use tokio::io::{AsyncRead, AsyncWrite, BufReader, ReadBuf};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use crate::heap::peak_of;

/// Stands in an input for the only right answer to the random key of the request.
const ACCEPT: &[u8] = b"$ACCEPT";

const TOKEN: &str = "AQGAAXhuQnV0bm90aGluZ2luaGVyZWlzcmVhbA";

/// What reading a reply may take: the library reads the head in pieces of 4 KiB up to 64 KiB and copies its headers.
const REPLY_MAX: usize = 320 * 1024;

/// What reading the answer of a proxy may take: its head, which grows, and a line of it as text, where each byte that is
/// none becomes three.
const ANSWER_MAX: usize = 16 * PROXY_HEAD_MAX;

/// What reading messages may take: one that is whole, one in fragments that grows, and the read buffer.
const MESSAGES_MAX: usize = 3 * WEBSOCKET_MESSAGE_MAX + 4 * LINK_READ_BUFFER + 16 * 1024;

/// The first byte says who answers and in what pieces.
pub fn run(input: &[u8]) {
    let Some((how, reply)) = input.split_first() else {
        return;
    };
    let piece = match how >> 1 {
        0 => usize::MAX,
        piece => usize::from(piece),
    };
    if how & 1 == 0 {
        service(reply, piece);
    } else {
        asked(reply, piece);
    }
}

/// Runs what never has to wait.
fn now<T>(work: impl Future<Output = T>) -> T {
    let mut cx = Context::from_waker(Waker::noop());
    match pin!(work).poll(&mut cx) {
        Poll::Ready(done) => done,
        Poll::Pending => panic!("it waits for bytes that are there"),
    }
}

fn service(reply: &[u8], piece: usize) {
    let endpoint = Endpoint {
        host: "data.example".to_owned(),
        port: 443,
    };
    let access_token = Secret::new(TOKEN.to_owned());
    let client_token =
        ClientToken::restore("0123456789abcdef0123456789abcdef").expect("well formed");
    let peer = BufReader::new(Peer::new(reply, piece));
    let (upgraded, peak) = peak_of(|| now(upgrade(peer, &endpoint, &access_token, &client_token)));
    assert!(peak <= REPLY_MAX, "a reply took {peak} bytes");
    match upgraded {
        Ok(upgraded) => messages(upgraded),
        Err(error) => {
            if let DialError::Refused(refusal) = &error {
                let dead =
                    matches!(refusal.status, 400..=499) && !matches!(refusal.status, 408 | 429);
                assert_eq!(refusal.verdict() == Verdict::Final, dead, "{refusal}");
                let texts = [&refusal.reason, &refusal.channel_id];
                assert!(
                    texts
                        .into_iter()
                        .flatten()
                        .all(|text| text.chars().count() <= 128)
                );
            }
            in_bounds(&error.to_string(), reply);
        }
    }
}

fn messages(upgraded: Upgraded<BufReader<Peer<'_>>>) {
    let Upgraded {
        stream, channel_id, ..
    } = upgraded;
    assert!(channel_id.is_none_or(|id| id.chars().count() <= 128));
    let mut link = Link::new(stream);
    let (longest, peak) = peak_of(|| {
        let mut longest = 0;
        while let Ok(received) = now(poll_fn(|cx| link.poll_receive(cx))) {
            if let Received::Bytes(message) = received {
                longest = longest.max(message.len());
            }
        }
        longest
    });
    assert!(longest <= WEBSOCKET_MESSAGE_MAX);
    assert!(peak <= MESSAGES_MAX, "messages took {peak} bytes");
}

fn asked(reply: &[u8], piece: usize) {
    let proxy = with_login();
    let to = Endpoint {
        host: "data.example".to_owned(),
        port: 443,
    };
    let mut peer = Peer::new(reply, piece);
    let (asked, peak) = peak_of(|| now(proxy::connect(&mut peer, proxy, &to)));
    assert!(
        peak <= ANSWER_MAX,
        "the answer of a proxy took {peak} bytes"
    );
    match asked {
        // What follows belongs to TLS.
        Ok(()) => {
            let taken = &reply[..reply.len() - peer.rest().len()];
            assert!(taken.ends_with(b"\n\r\n") || taken.ends_with(b"\n\n"));
        }
        Err(error) => in_bounds(&error.to_string(), reply),
    }
}

/// Whether what is said is short, and says no token but one that came in.
fn in_bounds(said: &str, reply: &[u8]) {
    assert!(said.chars().count() <= 2048, "{said}");
    for secret in [TOKEN, "c2VjcmV0", "0123456789abcdef0123456789abcdef"] {
        let came = reply
            .windows(secret.len())
            .any(|part| part == secret.as_bytes());
        assert!(came || !said.contains(secret), "{said}");
    }
}

fn with_login() -> &'static Proxy {
    static PROXY: OnceLock<Proxy> = OnceLock::new();
    PROXY.get_or_init(|| {
        let args = ["-d", "22", "-r", "eu-central-1", "-t", TOKEN].map(OsString::from);
        let mut env = |name: &str| {
            (name == "HTTPS_PROXY").then(|| "http://engineer:secret@proxy:3128".into())
        };
        match Config::load(args.into_iter(), &mut env) {
            Ok(Start::Run { config, .. }) => config.proxy.expect("from the environment"),
            other => panic!("{other:?}"),
        }
    })
}

/// Gives an input in pieces, with the right answer to the key in place of [`ACCEPT`], and then the end.
struct Peer<'i> {
    request: Vec<u8>,
    input: &'i [u8],
    accept: Vec<u8>,
    piece: usize,
}

impl<'i> Peer<'i> {
    fn new(input: &'i [u8], piece: usize) -> Peer<'i> {
        Peer {
            request: Vec::new(),
            input,
            accept: Vec::new(),
            piece,
        }
    }

    fn rest(&self) -> &[u8] {
        self.input
    }

    fn answer_to_key(&self) -> Vec<u8> {
        let request = String::from_utf8_lossy(&self.request);
        let mut lines = request.lines().filter_map(|line| line.split_once(": "));
        let key = lines.find(|(name, _)| name.eq_ignore_ascii_case("sec-websocket-key"));
        key.map_or_else(Vec::new, |(_, key)| {
            derive_accept_key(key.as_bytes()).into_bytes()
        })
    }
}

impl AsyncRead for Peer<'_> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        if self.accept.is_empty() && self.input.starts_with(ACCEPT) {
            self.accept = self.answer_to_key();
            self.input = &self.input[ACCEPT.len()..];
        }
        let room = into.remaining().min(self.piece);
        if self.accept.is_empty() {
            let placeholder = self
                .input
                .windows(ACCEPT.len())
                .skip(1)
                .position(|part| part == ACCEPT);
            let end = placeholder.map_or(self.input.len(), |at| at + 1);
            let (piece, rest) = self.input.split_at(end.min(room));
            into.put_slice(piece);
            self.input = rest;
        } else {
            let count = room.min(self.accept.len());
            into.put_slice(&self.accept[..count]);
            self.accept.drain(..count);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Peer<'_> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        // Pongs are of no interest; the request is.
        let room = (16usize * 1024).saturating_sub(self.request.len());
        self.request
            .extend_from_slice(&bytes[..bytes.len().min(room)]);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
