//! Carrying a subcommand out: what it reads, what it prints, and how it exits.

use std::fs::File;
use std::io::{self, IsTerminal, Read, Write};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::{Command, What};
use crate::config::runtime_folder;
use crate::control::status::show;
use crate::control::{Reply, check, client};
use crate::exit;
use crate::limits::NOTIFICATION_MAX;

/// Carries it out; gives the exit code. `variable` gives a variable of the environment, once, as for
/// `Config::load`.
pub fn carry_out(command: Command, variable: check::Variable<'_>) -> u8 {
    if let Some(file) = &command.config
        && let Err(error) = File::open(file)
        && error.kind() == io::ErrorKind::NotFound
    {
        return complain(
            &format!(
                "{}: there is no such file; name the agent's own with --config",
                shown(file)
            ),
            exit::CONFIG,
        );
    }
    let runtime = || runtime_folder(command.config.as_deref());
    match command.what {
        What::Help(text) => say(&format!("{text}\n")),
        What::Open(file) => match read(file) {
            Ok(given) => told(client::open(&runtime(), &given)),
            Err(reason) => complain(&reason, exit::CONFIG),
        },
        What::Close(name) => told(client::close(&runtime(), name.as_deref())),
        What::Status(json) => match client::status(&runtime()) {
            Ok(Reply::Status(status)) if json => match serde_json::to_string_pretty(&status) {
                Ok(text) => say(&format!("{text}\n")),
                Err(error) => complain(&error.to_string(), exit::SYSTEM),
            },
            Ok(Reply::Status(status)) => say(&show::text(&status, coloured())),
            other => told(other),
        },
        What::Check(json) => check::run(command.config.as_deref(), variable, json, coloured()),
    }
}

fn told(answer: Result<Reply, client::AskError>) -> u8 {
    match answer {
        Ok(Reply::Done(text)) => say(&format!("{text}\n")),
        Ok(Reply::Refused(text)) => complain(&text, exit::REFUSED),
        Ok(Reply::Status(status)) => say(&show::text(&status, coloured())),
        Err(client::AskError::Request(error)) => complain(&error.to_string(), exit::CONFIG),
        Err(error) => complain(&error.to_string(), exit::REFUSED),
    }
}

/// What is to be handed over.
fn read(file: Option<PathBuf>) -> Result<Zeroizing<Vec<u8>>, String> {
    match file {
        Some(file) => {
            // A FIFO is fine here: a shell's `<(…)` is one.
            let opened = File::open(&file).map_err(|error| {
                format!("{}: cannot be read ({error}); check path, owner and mode", shown(&file))
            })?;
            bounded(opened, &shown(&file))
        }
        None if io::stdin().is_terminal() => Err(
            "standard input is a terminal, and what is typed would stay on the screen: pipe the notification in, \
             or name a file with --token-file"
                .to_owned(),
        ),
        None => bounded(io::stdin(), "standard input"),
    }
}

fn bounded(mut source: impl Read, name: &str) -> Result<Zeroizing<Vec<u8>>, String> {
    // All of it at once, so that no copy of a token stays behind.
    let mut bytes = Zeroizing::new(vec![0; NOTIFICATION_MAX + 1]);
    let mut filled = 0;
    loop {
        match source.read(&mut bytes[filled..]) {
            Ok(0) if filled == 0 => {
                return Err(format!(
                    "{name}: nothing was given; expected a notification or a token"
                ));
            }
            Ok(0) if filled > NOTIFICATION_MAX => {
                return Err(format!(
                    "{name}: more than {NOTIFICATION_MAX} bytes; this is no notification"
                ));
            }
            Ok(0) => {
                bytes.truncate(filled);
                return Ok(bytes);
            }
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(format!("{name}: cannot be read ({error})")),
        }
    }
}

/// Whether to use colour. Source: no-color.org.
fn coloured() -> bool {
    let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    !refused && io::stdout().is_terminal()
}

fn say(text: &str) -> u8 {
    // A closed pipe behind it is nobody's fault.
    let _ = io::stdout().write_all(text.as_bytes());
    exit::STOPPED
}

fn complain(reason: &str, code: u8) -> u8 {
    let _ = writeln!(io::stderr(), "cellgate: {reason}");
    code
}

fn shown(path: &Path) -> String {
    path.to_string_lossy().escape_debug().to_string()
}
