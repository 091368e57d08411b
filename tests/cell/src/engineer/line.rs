//! The engineer's socket: sending, and waiting for something with an end.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

use super::error::Cause;
use crate::controller::Tape;
use crate::controller::block::{ENQ, ETB, Kind, STX};
use crate::controller::telnet::{Filter, Reader};

/// A connection with what was received and not yet used.
#[derive(Debug)]
pub(super) struct Line {
    stream: TcpStream,
    patience: Duration,
    input: Vec<u8>,
    /// Where the socket is read into; kept, for it is too large for a future.
    buffer: Vec<u8>,
    sent: Tape,
    received: Tape,
    /// None behind the login: from there on every byte is text.
    telnet: Option<Filter>,
    answer: Option<&'static [u8]>,
}

/// What a controller does in a transfer.
pub(super) enum Event {
    /// A request in the block framing.
    Request {
        /// What it asks for.
        kind: Kind,
        /// What stands behind the letter.
        content: Vec<u8>,
    },
    /// The prompt, with the text before it: the command is over.
    Prompt(Vec<u8>),
}

/// The most that is read at once.
const READ: usize = 16 * 1024;
/// So much unused input means that what is waited for will not come.
const INPUT_LIMIT: usize = 1024 * 1024;

impl Line {
    pub(super) fn new(stream: TcpStream, patience: Duration) -> Self {
        Self {
            stream,
            patience,
            input: Vec::new(),
            buffer: vec![0; READ],
            sent: Tape::default(),
            received: Tape::default(),
            telnet: Some(Filter::default()),
            answer: None,
        }
    }

    /// Sets what is sent once, when the other side has begun to negotiate.
    pub(super) fn answer_telnet_with(&mut self, answer: &'static [u8]) {
        self.answer = Some(answer);
    }

    /// From here on every received byte is text.
    pub(super) fn end_of_telnet(&mut self) {
        self.telnet = None;
    }

    pub(super) fn tapes(&self) -> (&Tape, &Tape) {
        (&self.sent, &self.received)
    }

    /// Sends a line as a terminal does, a character above U+007F as one byte.
    pub(super) async fn send_line(&mut self, line: &str) -> Result<(), Cause> {
        let mut bytes: Vec<u8> = line
            .chars()
            .map(|c| u8::try_from(u32::from(c)).unwrap_or(b'?'))
            .collect();
        bytes.extend_from_slice(b"\r\n");
        self.send(&bytes).await
    }

    pub(super) async fn send(&mut self, bytes: &[u8]) -> Result<(), Cause> {
        let deadline = Instant::now() + self.patience;
        match timeout_at(deadline, self.stream.write_all(bytes)).await {
            Ok(written) => written?,
            Err(_) => return Err(self.silent()),
        }
        self.sent.record(bytes);
        Ok(())
    }

    /// Waits for a text and takes everything up to its end.
    pub(super) async fn until(&mut self, end: &[u8]) -> Result<Vec<u8>, Cause> {
        self.until_one_of(&[end]).await
    }

    /// Waits for the first of several texts and takes everything up to its end.
    pub(super) async fn until_one_of(&mut self, ends: &[&[u8]]) -> Result<Vec<u8>, Cause> {
        self.wait(|input| {
            let behind = |end: &&[u8]| {
                let at = input.windows(end.len()).position(|part| part == *end)?;
                Some(at + end.len())
            };
            let end = ends.iter().filter_map(behind).min()?;
            Some((input[..end].to_vec(), end))
        })
        .await
    }

    /// Waits for the next request or the prompt. Text before a request is dropped.
    pub(super) async fn event(&mut self) -> Result<Event, Cause> {
        let parsed = self.wait(parse_event).await?;
        parsed.map_err(|got| Cause::Unexpected {
            got,
            expected: "05 02, a letter from A to E, and 17 at the end".into(),
        })
    }

    /// Reads until `take` finds something; it gives that and how many bytes it is.
    async fn wait<T>(&mut self, take: impl Fn(&[u8]) -> Option<(T, usize)>) -> Result<T, Cause> {
        let deadline = Instant::now() + self.patience;
        loop {
            if let Some((found, used)) = take(&self.input) {
                self.input.drain(..used);
                return Ok(found);
            }
            if self.input.len() > INPUT_LIMIT {
                return Err(Cause::Unexpected {
                    got: format!("{INPUT_LIMIT} bytes without it"),
                    expected: "an end of the answer".into(),
                });
            }
            match timeout_at(deadline, self.read()).await {
                Ok(Err(error)) => return Err(error),
                Ok(Ok(())) => {}
                Err(_) => return Err(self.silent()),
            }
        }
    }

    async fn read(&mut self) -> Result<(), Cause> {
        let count = self.stream.read(&mut self.buffer).await?;
        if count == 0 {
            return Err(Cause::Closed { last: self.last() });
        }
        let bytes = &self.buffer[..count];
        self.received.record(bytes);
        let Some(filter) = &mut self.telnet else {
            self.input.extend_from_slice(bytes);
            return Ok(());
        };
        let mut negotiated = false;
        for byte in bytes {
            self.input.extend(filter.take(*byte, Reader::Client));
            negotiated |= *filter != Filter::Text;
        }
        if negotiated && let Some(answer) = self.answer.take() {
            self.stream.write_all(answer).await?;
            self.sent.record(answer);
        }
        Ok(())
    }

    /// FIN, then reading until the other side has closed.
    pub(super) async fn close(&mut self) -> Result<(), Cause> {
        self.stream.shutdown().await?;
        let deadline = Instant::now() + self.patience;
        loop {
            match timeout_at(deadline, self.read()).await {
                Ok(Ok(())) => self.input.clear(),
                Ok(Err(Cause::Closed { .. })) => return Ok(()),
                Ok(Err(error)) => return Err(error),
                Err(_) => return Err(self.silent()),
            }
        }
    }

    /// RST, where the system allows it.
    pub(super) fn break_off(self) {
        let _ = self.stream.set_zero_linger();
    }

    fn silent(&self) -> Cause {
        Cause::Silent {
            waited: self.patience,
            last: self.last(),
        }
    }

    /// The end of what was received and not used, escaped.
    fn last(&self) -> String {
        let from = self.input.len().saturating_sub(60);
        self.input[from..].escape_ascii().to_string()
    }
}

/// The next event of a transfer and its length, if it is complete; the error is a request that is none.
fn parse_event(input: &[u8]) -> Option<(Result<Event, String>, usize)> {
    let request = input.iter().position(|byte| *byte == ENQ);
    let text = &input[..request.unwrap_or(input.len())];
    if let Some(at) = text.windows(3).position(|part| part == b"\r\n>") {
        return Some((Ok(Event::Prompt(input[..at].to_vec())), at + 3));
    }
    let start = request?;
    let [_, second, letter, rest @ ..] = &input[start..] else {
        return None;
    };
    let Some(kind) = Kind::of(*letter).filter(|_| *second == STX) else {
        let shown = &input[start..input.len().min(start + 16)];
        return Some((Err(shown.escape_ascii().to_string()), input.len()));
    };
    let end = rest.iter().position(|byte| *byte == ETB)?;
    let content = rest[..end].to_vec();
    Some((Ok(Event::Request { kind, content }), start + 3 + end + 1))
}
