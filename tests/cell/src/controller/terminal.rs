//! One person at the controller: opening, login, lines with echo, and the prompt.

use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpStream;

use super::channel::Channel;
use super::connection::Connection;
use super::monitor;
use super::record::End;
use super::state::Shared;
use super::telnet::{self, Filter, Reader};

/// Serves a connection until it ends.
pub(super) async fn serve(stream: TcpStream, shared: Arc<Shared>, number: usize) {
    let mut terminal = Terminal {
        connection: Connection::new(stream, Arc::clone(&shared), number),
        filter: Filter::default(),
        behind_return: false,
    };
    let channel = Channel::take(&shared);
    let end = terminal.run(channel.as_ref()).await;
    // The channel is free before the record says that the connection ended: who waits for that may log in at once.
    drop(channel);
    terminal.connection.close(end).await;
}

/// The terminal of a connection.
pub(super) struct Terminal {
    pub(super) connection: Connection,
    filter: Filter,
    /// The last byte was a return; a line feed or NUL behind it belongs to it.
    behind_return: bool,
}

/// Who may log in.
const USER: &[u8] = b"as";
/// So many wrong names end the connection.
const TRIES: usize = 3;
/// The longest command line in bytes [guessed]; what is beyond it is not echoed and not taken.
const LINE: usize = 255;

impl Terminal {
    async fn run(&mut self, channel: Option<&Channel>) -> End {
        let Some(channel) = channel else {
            return match self
                .say("\r\n(E1145)Terminal channel is not available.\r\n")
                .await
            {
                Ok(()) => End::NoTerminal,
                Err(end) => end,
            };
        };
        self.connection.note_terminal(&channel.name());
        match self.log_in(&channel.name()).await {
            Ok(()) => self.monitor().await,
            Err(end) => end,
        }
    }

    async fn log_in(&mut self, channel: &str) -> Result<(), End> {
        let opening = telnet::opening(self.connection.faults().negotiation);
        self.connection.write(&opening).await?;
        for _ in 0..TRIES {
            if self.line().await? == USER {
                let welcome = format!("This is AS monitor terminal \"{channel}\"\r\n>");
                return self.say(&welcome).await;
            }
            self.say("Login incorrect\r\n\r\nlogin: ").await?;
        }
        Err(End::NotLoggedIn)
    }

    async fn monitor(&mut self) -> End {
        loop {
            let done = match self.line().await {
                Ok(line) => monitor::execute(self, &line).await,
                Err(end) => Err(end),
            };
            if let Err(end) = done {
                return end;
            }
        }
    }

    /// Sends text, in which a character above U+007F is one byte as in Latin-1.
    pub(super) async fn say(&mut self, text: &str) -> Result<(), End> {
        let bytes: Vec<u8> = text
            .chars()
            .map(|c| u8::try_from(u32::from(c)).unwrap_or(b'?'))
            .collect();
        self.connection.write(&bytes).await
    }

    /// A line of the person, echoed as it comes, without its end.
    pub(super) async fn line(&mut self) -> Result<Vec<u8>, End> {
        let mut line = Vec::new();
        loop {
            let byte = self.connection.byte().await?;
            let Some(byte) = self.filter.take(byte, Reader::Controller) else {
                continue;
            };
            let behind_return = std::mem::take(&mut self.behind_return);
            match byte {
                b'\n' | 0 if behind_return => {}
                b'\r' | b'\n' => {
                    self.behind_return = byte == b'\r';
                    self.connection.write(b"\r\n").await?;
                    return Ok(line);
                }
                0x08 | 0x7F if line.pop().is_some() => {
                    self.connection.write(b"\x08 \x08").await?;
                }
                0x03 => {
                    self.connection.write(b"^C\r\n").await?;
                    return Ok(Vec::new());
                }
                b' '..=b'~' | 0x80.. | b'\t' if line.len() < LINE => {
                    line.push(byte);
                    self.connection.write(&[byte]).await?;
                }
                _ => {}
            }
        }
    }

    /// Whether the person presses a key within `limit`; it is not taken.
    pub(super) async fn pressed(&mut self, limit: Duration) -> Result<bool, End> {
        while let Some(byte) = self.connection.input_within(limit).await? {
            if !(std::mem::take(&mut self.behind_return) && matches!(byte, b'\n' | 0)) {
                return Ok(true);
            }
            self.connection.byte().await?;
        }
        Ok(false)
    }

    /// A byte of a block: raw, for the framing knows no telnet. The rest of the command's line end is not part of it.
    pub(super) async fn raw(&mut self) -> Result<u8, End> {
        let byte = self.connection.byte().await?;
        if std::mem::take(&mut self.behind_return) && matches!(byte, b'\n' | 0) {
            return self.connection.byte().await;
        }
        Ok(byte)
    }
}
