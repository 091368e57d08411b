//! LOAD and SAVE as the PC sees them.

use super::error::Cause;
use super::line::Event;
use super::progress::Progress;
use super::{Engineer, readable, text};
use crate::controller::block::{self, ETB, Kind, SUB};

impl Engineer {
    pub(super) async fn send_program(
        &mut self,
        name: &str,
        program: &[u8],
        chunk_size: usize,
        state: &mut Progress,
        progress: &mut impl FnMut(&Progress),
    ) -> Result<(), Cause> {
        if let Some(offset) = program.iter().position(|byte| [ETB, SUB].contains(byte)) {
            let byte = program[offset];
            return Err(Cause::Unsendable { byte, offset });
        }
        self.line.send_line(&format!("LOAD {name}")).await?;
        let opened = self.request(Kind::OpenToRead, state).await?;
        same_file(&opened, name)?;
        self.answer(Kind::OpenToRead, b"").await?;
        self.request(Kind::Read, state).await?;
        for chunk in program.chunks(chunk_size.max(1)) {
            self.answer(Kind::Read, chunk).await?;
            self.request(Kind::Read, state).await?;
            state.blocks += 1;
            state.bytes += chunk.len();
            progress(state);
        }
        self.answer(Kind::Read, &[SUB]).await?;
        self.request(Kind::Close, state).await?;
        self.answer(Kind::Close, b"").await?;
        self.completed("File load completed. (0 errors)", state)
            .await
    }

    pub(super) async fn receive_program(
        &mut self,
        command: &str,
        what: &str,
        state: &mut Progress,
        progress: &mut impl FnMut(&Progress),
    ) -> Result<Vec<u8>, Cause> {
        self.line.send_line(&format!("{command} {what}")).await?;
        let opened = self.request(Kind::OpenToWrite, state).await?;
        let file = what.split('=').next().unwrap_or(what).trim();
        same_file(&opened, file)?;
        self.answer(Kind::OpenToWrite, b"").await?;
        let mut program = Vec::new();
        // The blocks come without being asked for: the whole file is one round trip.
        state.round_trips += 1;
        loop {
            match self.line.event().await? {
                Event::Request {
                    kind: Kind::Write,
                    content,
                } => {
                    program.extend_from_slice(&content);
                    state.blocks += 1;
                    state.bytes = program.len();
                    progress(state);
                }
                Event::Request {
                    kind: Kind::Close, ..
                } => break,
                other @ (Event::Request { .. } | Event::Prompt(_)) => {
                    return Err(unexpected(&other, "block D or E"));
                }
            }
        }
        self.answer(Kind::Close, b"").await?;
        self.completed("File save completed.", state).await?;
        Ok(program)
    }

    /// Waits for a request of this kind and gives its content. Each is one round trip. At any other it ends the
    /// transfer as far as the controller lets it, so that the terminal can be used again.
    async fn request(&mut self, wanted: Kind, state: &mut Progress) -> Result<Vec<u8>, Cause> {
        state.round_trips += 1;
        let event = self.line.event().await?;
        match event {
            Event::Request { kind, content } if kind == wanted => Ok(content),
            Event::Request {
                kind: Kind::Close, ..
            } => {
                self.answer(Kind::Close, b"").await?;
                match self.line.event().await? {
                    Event::Prompt(words) => Err(refused(&words)),
                    other @ Event::Request { .. } => Err(unexpected(&other, "the prompt")),
                }
            }
            other @ (Event::Request { .. } | Event::Prompt(_)) => {
                let letter = char::from(wanted.letter());
                Err(unexpected(&other, &format!("block {letter}")))
            }
        }
    }

    async fn answer(&mut self, kind: Kind, data: &[u8]) -> Result<(), Cause> {
        self.line.send(&block::reply(kind, data)).await
    }

    /// Waits for the prompt, and for these words before it.
    async fn completed(&mut self, words: &str, state: &mut Progress) -> Result<(), Cause> {
        state.round_trips += 1;
        match self.line.event().await? {
            Event::Prompt(said) if text(&said).ends_with(words) => Ok(()),
            Event::Prompt(said) => Err(refused(&said)),
            other @ Event::Request { .. } => Err(unexpected(&other, words)),
        }
    }
}

/// The controller names the file it opens; another name would be another person's transfer.
fn same_file(opened: &[u8], asked: &str) -> Result<(), Cause> {
    let opened = text(opened);
    let bare = opened.strip_suffix(".as").unwrap_or(&opened);
    if opened == asked || bare == asked {
        return Ok(());
    }
    Err(Cause::Unexpected {
        got: format!("a transfer of {opened}"),
        expected: format!("one of {asked}"),
    })
}

/// What the controller says in the place of a transfer. The first line is the echo of the command.
fn refused(words: &[u8]) -> Cause {
    let words = text(words);
    let said = words.rsplit("\r\n").next().unwrap_or(&words);
    Cause::Refused(readable(said))
}

fn unexpected(event: &Event, expected: &str) -> Cause {
    match event {
        Event::Prompt(words) => refused(words),
        Event::Request { kind, .. } => Cause::Unexpected {
            got: format!("block {}", char::from(kind.letter())),
            expected: expected.into(),
        },
    }
}
