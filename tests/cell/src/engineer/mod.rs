//! The engineer at the other end: a client that does what KRterm does.
//!
//! It is responsible for: logging in, commands up to their prompt, LOAD and SAVE. Every wait has an end, and every
//! error says at which stage it happened. It checks what a relay could spoil: the echo of each command and the file
//! name in each transfer.

mod error;
mod line;
mod progress;
mod transfer;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::net::TcpStream;

use crate::controller::Tape;
use crate::controller::telnet::VT100;

pub use error::{Cause, EngineerError, Stage};
pub use progress::Progress;

use line::Line;

/// How many bytes of a program go into a block of LOAD, by the program that sends it.
pub mod chunk {
    /// KRterm.
    pub const KRTERM: usize = 512;
    /// Some others.
    pub const OTHERS: usize = 492;
    /// KIDE.
    pub const KIDE: usize = 2960;
}

/// How the engineer's program behaves.
#[derive(Clone, Debug)]
pub struct EngineerOptions {
    /// The name for the login; a controller takes `as` only.
    pub user: String,
    /// Whether it answers the telnet opening of the controller.
    pub answer: Answer,
    /// The longest wait for any single answer.
    pub patience: Duration,
}

/// The answer to a telnet opening.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Offers a VT100 as soon as the controller has begun to negotiate.
    Vt100,
    /// None; many clients send nothing.
    Silent,
}

impl Default for EngineerOptions {
    fn default() -> Self {
        Self {
            user: "as".into(),
            answer: Answer::Vt100,
            patience: Duration::from_secs(10),
        }
    }
}

/// A person logged in at an AS monitor.
#[derive(Debug)]
pub struct Engineer {
    line: Line,
    terminal: String,
}

impl Engineer {
    /// Connects and logs in as `as`, with a patience of 10 s for each answer.
    ///
    /// # Errors
    /// The stage that failed, and why.
    pub async fn connect(address: SocketAddr) -> Result<Self, EngineerError> {
        Self::connect_with(address, EngineerOptions::default()).await
    }

    /// Connects and logs in.
    ///
    /// # Errors
    /// The stage that failed, and why.
    pub async fn connect_with(
        address: SocketAddr,
        options: EngineerOptions,
    ) -> Result<Self, EngineerError> {
        let failed = |cause| EngineerError::new(Stage::Connect(address), cause);
        let stream = tokio::time::timeout(options.patience, TcpStream::connect(address))
            .await
            .map_err(|_| {
                failed(Cause::Silent {
                    waited: options.patience,
                    last: String::new(),
                })
            })?
            .map_err(|error| failed(error.into()))?;
        stream
            .set_nodelay(true)
            .map_err(|error| failed(error.into()))?;
        let mut engineer = Self {
            line: Line::new(stream, options.patience),
            terminal: String::new(),
        };
        engineer
            .open(options.answer)
            .await
            .map_err(|cause| EngineerError::new(Stage::Opening, cause))?;
        engineer
            .log_in(&options.user)
            .await
            .map_err(|cause| EngineerError::new(Stage::Login, cause))?;
        Ok(engineer)
    }

    async fn open(&mut self, answer: Answer) -> Result<(), Cause> {
        if answer == Answer::Vt100 {
            self.line.answer_telnet_with(VT100);
        }
        self.line.until(b"login: ").await?;
        Ok(())
    }

    async fn log_in(&mut self, user: &str) -> Result<(), Cause> {
        self.line.send_line(user).await?;
        // A refused name is followed by the same question again.
        let welcome = self.line.until_one_of(&[b"\r\n>", b"login: "]).await?;
        self.line.end_of_telnet();
        let welcome = text(&welcome);
        let terminal = welcome
            .split_once("terminal \"")
            .and_then(|(_, rest)| rest.split_once('"'));
        match terminal {
            Some((terminal, _)) => self.terminal = terminal.into(),
            None => return Err(Cause::Refused(readable(&welcome))),
        }
        Ok(())
    }

    /// The name of the terminal, such as `AUX1`.
    #[must_use]
    pub fn terminal(&self) -> &str {
        &self.terminal
    }

    /// Sends a command and gives what the controller says up to the prompt, without the echo.
    ///
    /// # Errors
    /// No prompt within the patience, an echo that differs from the command, or a lost connection.
    pub async fn command(&mut self, command: &str) -> Result<String, EngineerError> {
        self.run(command)
            .await
            .map_err(|cause| EngineerError::new(Stage::Command(command.into()), cause))
    }

    /// Answers a question that a command asks in the place of a prompt, as DELETE does; `question` is its end.
    ///
    /// # Errors
    /// As of [`Engineer::command`].
    pub async fn command_answering(
        &mut self,
        command: &str,
        question: &str,
        answer: &str,
    ) -> Result<String, EngineerError> {
        let stage = |cause| EngineerError::new(Stage::Command(command.into()), cause);
        self.line.send_line(command).await.map_err(stage)?;
        self.line.until(question.as_bytes()).await.map_err(stage)?;
        self.run(answer).await.map_err(stage)
    }

    /// Sends a command that goes on until a key is pressed, as `WHERE 10` does, and gives its first `lines` lines.
    /// Then presses the key and waits for the prompt.
    ///
    /// # Errors
    /// As of [`Engineer::command`].
    pub async fn watch(
        &mut self,
        command: &str,
        lines: usize,
    ) -> Result<Vec<String>, EngineerError> {
        let stage = |cause| EngineerError::new(Stage::Command(command.into()), cause);
        self.line.send_line(command).await.map_err(stage)?;
        self.line.until(b"\r\n").await.map_err(stage)?;
        let mut seen = Vec::new();
        while seen.len() < lines {
            let line = self.line.until(b"\r\n").await.map_err(stage)?;
            seen.push(text(&line).trim_end().into());
        }
        self.line.send_line("").await.map_err(stage)?;
        self.line.until(b"\r\n>").await.map_err(stage)?;
        Ok(seen)
    }

    async fn run(&mut self, command: &str) -> Result<String, Cause> {
        self.line.send_line(command).await?;
        let reply = self.line.until(b"\r\n>").await?;
        // An empty reply's prompt is the echo's own line end.
        let said = text(&reply);
        let (echo, said) = said.split_once("\r\n").unwrap_or((&said, ""));
        if echo != command {
            return Err(Cause::Unexpected {
                got: echo.into(),
                expected: format!("the echo {command:?}"),
            });
        }
        Ok(said.trim_end_matches(['\r', '\n', '>']).into())
    }

    /// LOAD: sends a program in blocks of `chunk_size` bytes (see [`chunk`]) and waits for each to be asked for.
    /// `progress` is called behind every block.
    ///
    /// # Errors
    /// The block at which it failed; the controller's words if it refused, or if it counted errors; a program that the
    /// framing cannot carry, since it has no escape.
    pub async fn load(
        &mut self,
        name: &str,
        program: &[u8],
        chunk_size: usize,
        mut progress: impl FnMut(&Progress),
    ) -> Result<Progress, EngineerError> {
        let mut state = Progress::new(Some(program.len()), Instant::now());
        let done = self
            .send_program(name, program, chunk_size, &mut state, &mut progress)
            .await;
        let stage = Stage::Load {
            name: name.into(),
            block: state.blocks,
        };
        done.map_err(|cause| EngineerError::new(stage, cause))?;
        Ok(state)
    }

    /// SAVE: reads a program, or what else `what` chooses: behind the command stands exactly this text.
    ///
    /// # Errors
    /// As of [`Engineer::save_with`].
    pub async fn save(&mut self, what: &str) -> Result<Vec<u8>, EngineerError> {
        self.save_with("SAVE", what, |_| {}).await
    }

    /// SAVE with a qualifier in the command, such as `SAVE/ROB`; `progress` is called behind every block.
    ///
    /// # Errors
    /// The block at which it failed; the controller's words if it refused.
    pub async fn save_with(
        &mut self,
        command: &str,
        what: &str,
        mut progress: impl FnMut(&Progress),
    ) -> Result<Vec<u8>, EngineerError> {
        let mut state = Progress::new(None, Instant::now());
        let received = self
            .receive_program(command, what, &mut state, &mut progress)
            .await;
        let stage = Stage::Save {
            name: what.into(),
            block: state.blocks,
        };
        received.map_err(|cause| EngineerError::new(stage, cause))
    }

    /// Every byte sent and every byte received, for comparison with the controller's record.
    #[must_use]
    pub fn tapes(&self) -> (&Tape, &Tape) {
        self.line.tapes()
    }

    /// Closes in order: FIN, then reads until the controller has closed too.
    ///
    /// # Errors
    /// The controller did not close within the patience.
    pub async fn close(mut self) -> Result<(), EngineerError> {
        let stage = |cause| EngineerError::new(Stage::Close, cause);
        self.line.close().await.map_err(stage)
    }

    /// Breaks off with RST, as a notebook does whose cable is pulled.
    pub fn break_off(self) {
        self.line.break_off();
    }
}

/// The text of bytes in Latin-1.
fn text(bytes: &[u8]) -> String {
    bytes.iter().copied().map(char::from).collect()
}

/// What the controller said, on one line.
fn readable(said: &str) -> String {
    let words: Vec<&str> = said
        .split_whitespace()
        .filter(|word| *word != ">")
        .collect();
    words.join(" ")
}
