//! LOAD and SAVE: files between the PC and the program memory, block by block.

use bytes::Bytes;

use super::block::{self, ETB, Kind, STX, SUB, WELL};
use super::memory::{Memory, Selection};
use super::monitor;
use super::record::End;
use super::state::InProgress;
use super::terminal::Terminal;

/// The most data in a block of the PC, in bytes; KIDE sends about 2,960.
const CHUNK_LIMIT: usize = 4096;
/// The most text in a block of SAVE, in bytes; a block holds whole lines where it can.
const SAVE_BLOCK: usize = 1024;

const IN_PROGRESS: &str = "(P2076)SAVE/LOAD in progress.";

/// What went wrong in a transfer.
enum Failure {
    /// The connection is over; the transfer stays "in progress".
    Ended(End),
    /// The PC sent something else than the framing asks for.
    Framing(String),
    /// The file itself is refused.
    File,
}

impl From<End> for Failure {
    fn from(end: End) -> Self {
        Self::Ended(end)
    }
}

/// LOAD: asks the PC for the file, chunk by chunk, and stores it. Gives the last line of the reply.
pub(super) async fn load(terminal: &mut Terminal, file: &str) -> Result<String, End> {
    let Some(progress) = InProgress::begin(terminal.connection.shared()) else {
        return Ok(IN_PROGRESS.into());
    };
    let errors = match receive(terminal, file).await {
        Ok(text) => {
            let errors = close(terminal).await?;
            // Not before: the file is whole only once its end is.
            if errors == 0 {
                terminal.connection.shared().lock().memory.store(file, text);
            }
            errors
        }
        Err(Failure::Ended(end)) => return Err(end),
        Err(Failure::Framing(fault)) => {
            terminal.connection.note_fault(fault);
            abandon(terminal).await?
        }
        Err(Failure::File) => abandon(terminal).await?,
    };
    progress.finish();
    Ok(format!("File load completed. ({errors} errors)"))
}

/// SAVE: hands the chosen text to the PC. Gives the last line of the reply.
pub(super) async fn save(terminal: &mut Terminal, selection: &Selection) -> Result<String, End> {
    let chosen = terminal.connection.shared().lock().memory.select(selection);
    let text = match chosen {
        Ok(text) => text,
        Err(program) => return Ok(monitor::not_there(&program)),
    };
    let Some(progress) = InProgress::begin(terminal.connection.shared()) else {
        return Ok(IN_PROGRESS.into());
    };
    let reply = match hand_over(terminal, &selection.file, &text).await {
        Ok(()) => "File save completed.".into(),
        Err(Failure::Ended(end)) => return Err(end),
        Err(Failure::Framing(fault)) => {
            terminal.connection.note_fault(fault);
            abandon(terminal).await?;
            "(P2023)SAVE was aborted.".into()
        }
        Err(Failure::File) => "(P2023)SAVE was aborted.".into(),
    };
    progress.finish();
    Ok(reply)
}

async fn receive(terminal: &mut Terminal, file: &str) -> Result<Bytes, Failure> {
    request(terminal, Kind::OpenToRead, file.as_bytes()).await?;
    expect_empty(terminal, Kind::OpenToRead).await?;
    terminal.say(&format!("Loading...({file})\r\n")).await?;
    let mut text = Vec::new();
    for number in 1_u32.. {
        if terminal.connection.faults().load_error_at == Some(number) {
            return Err(Failure::File);
        }
        request(terminal, Kind::Read, b"").await?;
        let chunk = chunk(terminal, Kind::Read).await?;
        if chunk == [SUB] {
            break;
        }
        text.extend_from_slice(&chunk);
        if text.len() > Memory::LIMIT {
            return Err(Failure::File);
        }
    }
    Ok(text.into())
}

async fn hand_over(terminal: &mut Terminal, file: &str, text: &[u8]) -> Result<(), Failure> {
    let shown = if file.contains('.') {
        file.to_owned()
    } else {
        format!("{file}.as")
    };
    request(terminal, Kind::OpenToWrite, shown.as_bytes()).await?;
    terminal.say(&format!("Saving...({file})\r\n")).await?;
    expect_empty(terminal, Kind::OpenToWrite).await?;
    for lines in blocks_of_lines(text) {
        request(terminal, Kind::Write, lines).await?;
    }
    request(terminal, Kind::Close, b"").await?;
    expect_empty(terminal, Kind::Close).await
}

/// Ends a LOAD whose chunks all came well. Gives the count of errors.
async fn close(terminal: &mut Terminal) -> Result<u32, End> {
    request(terminal, Kind::Close, b"").await?;
    match expect_empty(terminal, Kind::Close).await {
        Ok(()) => Ok(0),
        Err(Failure::Ended(end)) => Err(end),
        Err(Failure::File) => Ok(1),
        Err(Failure::Framing(fault)) => {
            terminal.connection.note_fault(fault);
            skip_to_close(terminal).await?;
            Ok(1)
        }
    }
}

/// Ends a transfer that went wrong: says so, and waits until the PC has understood. Gives the count of errors.
async fn abandon(terminal: &mut Terminal) -> Result<u32, End> {
    request(terminal, Kind::Close, b"").await?;
    skip_to_close(terminal).await?;
    Ok(1)
}

async fn request(terminal: &mut Terminal, kind: Kind, content: &[u8]) -> Result<(), End> {
    terminal
        .connection
        .write(&block::request(kind, content))
        .await
}

async fn expect_empty(terminal: &mut Terminal, kind: Kind) -> Result<(), Failure> {
    let data = chunk(terminal, kind).await?;
    if data.is_empty() {
        return Ok(());
    }
    let letter = char::from(kind.letter());
    Err(Failure::Framing(format!(
        "block {letter}: got {} bytes of data, expected none",
        data.len()
    )))
}

/// The data of a block of the PC. Every byte of the framing has to be right.
async fn chunk(terminal: &mut Terminal, kind: Kind) -> Result<Vec<u8>, Failure> {
    let letter = kind.letter();
    let [a, b, c, d, e] = WELL;
    for (place, expected) in [STX, letter, a, b, c, d, e].into_iter().enumerate() {
        let got = terminal.raw().await?;
        if got != expected {
            return Err(Failure::Framing(format!(
                "block {}, byte {place}: got {got:02X}, expected {expected:02X}",
                char::from(letter)
            )));
        }
    }
    let mut data = Vec::new();
    loop {
        match terminal.raw().await? {
            ETB => return Ok(data),
            byte => data.push(byte),
        }
        if data.len() > CHUNK_LIMIT {
            return Err(Failure::Framing(format!(
                "block {}: no 17 within {CHUNK_LIMIT} bytes of data",
                char::from(letter)
            )));
        }
    }
}

/// Reads until the PC's `02 45 20 20 20 20 30 17` has come, wherever the framing was lost.
async fn skip_to_close(terminal: &mut Terminal) -> Result<(), End> {
    let sought = block::reply(Kind::Close, b"");
    let mut last = Vec::with_capacity(sought.len());
    while last != sought {
        if last.len() == sought.len() {
            last.remove(0);
        }
        last.push(terminal.raw().await?);
    }
    Ok(())
}

/// Cuts a text into blocks of at most [`SAVE_BLOCK`] bytes, behind a line end where there is one.
fn blocks_of_lines(mut text: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        if text.is_empty() {
            return None;
        }
        let most = &text[..text.len().min(SAVE_BLOCK)];
        let size = match most.iter().rposition(|byte| *byte == b'\n') {
            Some(end) if most.len() < text.len() => end + 1,
            Some(_) | None => most.len(),
        };
        let (block, rest) = text.split_at(size);
        text = rest;
        Some(block)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_hold_whole_lines_and_lose_nothing() {
        let text = b"0123456789\r\n".repeat(300);
        let blocks: Vec<&[u8]> = blocks_of_lines(&text).collect();
        assert_eq!(blocks.concat(), text);
        assert!(blocks.iter().all(|block| block.ends_with(b"\n")));
        assert!(blocks.iter().all(|block| block.len() <= SAVE_BLOCK));

        let endless = [7; 2500];
        let sizes: Vec<usize> = blocks_of_lines(&endless).map(<[u8]>::len).collect();
        assert_eq!(sizes, [1024, 1024, 452]);
        assert_eq!(blocks_of_lines(b"").count(), 0);
    }
}
