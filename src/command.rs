//! The subcommands beside a running agent: `open`, `close`, `status` and `check`.
//!
//! Is responsible for: which of them the command line means, what it gives them, and what they print. Without one
//! of these words the command line is for `Config::load`.

mod carry_out;

use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;

use lexopt::{Arg, Parser};

use crate::control::request::is_name;

pub use carry_out::carry_out;

/// What a command line asks for.
#[derive(Debug, PartialEq, Eq)]
pub struct Command {
    /// The agent's configuration, if it is not the usual one.
    pub config: Option<PathBuf>,
    /// What to do.
    pub what: What,
}

/// What to do.
#[derive(Debug, PartialEq, Eq)]
pub enum What {
    /// Hand a tunnel over, from this file; from standard input without one.
    Open(Option<PathBuf>),
    /// End the tunnel of this name, or the only one.
    Close(Option<String>),
    /// Show what goes on; as JSON?
    Status(bool),
    /// Try everything; as JSON?
    Check(bool),
    /// Print this.
    Help(&'static str),
}

/// What is wrong with a command line.
#[derive(Debug, PartialEq, Eq)]
pub struct Misuse(String);

impl fmt::Display for Misuse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Misuse {}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Word {
    Open,
    Close,
    Status,
    Check,
}

impl Word {
    fn of(argument: &OsString) -> Option<Word> {
        [Word::Open, Word::Close, Word::Status, Word::Check]
            .into_iter()
            .find(|word| argument == word.as_str())
    }

    fn as_str(self) -> &'static str {
        match self {
            Word::Open => "open",
            Word::Close => "close",
            Word::Status => "status",
            Word::Check => "check",
        }
    }

    fn help(self) -> &'static str {
        match self {
            Word::Open => OPEN_HELP,
            Word::Close => CLOSE_HELP,
            Word::Status => STATUS_HELP,
            Word::Check => CHECK_HELP,
        }
    }
}

impl Command {
    /// The subcommand that the first argument names; nothing if it names none.
    ///
    /// # Errors
    /// What is wrong with the rest.
    pub fn parse(arguments: &[OsString]) -> Option<Result<Command, Misuse>> {
        let (first, rest) = arguments.split_first()?;
        let word = Word::of(first)?;
        Some(parse(word, rest))
    }
}

fn parse(word: Word, rest: &[OsString]) -> Result<Command, Misuse> {
    let wrong = |what: String| {
        let word = word.as_str();
        Misuse(format!(
            "cellgate {word}: {what}; see `cellgate {word} --help`"
        ))
    };
    // What follows is not repeated where it may be a token.
    let unknown = |arg: &Arg<'_>| {
        match arg {
        Arg::Short('t') | Arg::Long("access-token" | "token") => wrong(
            "a token is never taken from the command line, where everybody sees it: give it in a file \
             (--token-file), or on standard input"
                .to_owned(),
        ),
        Arg::Short(flag) => wrong(format!("got -{}, which it does not know", flag.escape_debug())),
        Arg::Long(flag) => wrong(format!("got --{}, which it does not know", flag.escape_debug())),
        Arg::Value(_) => wrong("got an argument more than it takes".to_owned()),
    }
    };
    let mut config = None;
    let mut file = None;
    let mut name = None;
    let mut json = false;
    let mut parser = Parser::from_args(rest);
    while let Some(arg) = parser.next().map_err(|error| wrong(error.to_string()))? {
        match (word, arg) {
            (_, Arg::Short('h') | Arg::Long("help")) => {
                return Ok(Command {
                    config: None,
                    what: What::Help(word.help()),
                });
            }
            (_, Arg::Long("config")) => {
                let value = parser.value().map_err(|error| wrong(error.to_string()))?;
                config = Some(PathBuf::from(value));
            }
            (Word::Open, Arg::Long("token-file")) => {
                let value = parser.value().map_err(|error| wrong(error.to_string()))?;
                // As many programs have it: `-` is standard input.
                file = (value != "-").then(|| PathBuf::from(value));
            }
            (Word::Status | Word::Check, Arg::Long("json")) => json = true,
            (Word::Close, Arg::Value(value)) if name.is_none() => {
                let text = value.to_str().filter(|text| is_name(text)).ok_or_else(|| {
                    wrong(
                        "a tunnel is named by up to eight digits of 0-9 and a-f, as `cellgate status` shows it"
                            .to_owned(),
                    )
                })?;
                name = Some(text.to_ascii_lowercase());
            }
            (_, arg) => return Err(unknown(&arg)),
        }
    }
    let what = match word {
        Word::Open => What::Open(file),
        Word::Close => What::Close(name),
        Word::Status => What::Status(json),
        Word::Check => What::Check(json),
    };
    Ok(Command { config, what })
}

const OPEN_HELP: &str = "\
Usage: cellgate open [--config FILE] [--token-file FILE]

Hands a tunnel over to the running agent, for gateways on which another program
receives the notifications of AWS IoT. What is read is the JSON of such a
notification, or an access token alone:

  {\"clientAccessToken\":\"...\",\"clientMode\":\"destination\",
   \"region\":\"eu-central-1\",\"services\":[\"robot1\"]}

      --token-file FILE         read it from here; without it, or with -, from
                                standard input
      --config FILE             the agent's configuration, which says where its
                                socket is; /etc/cellgate/cellgate.toml if none
  -h, --help                    this text

Exit: 0 taken; 69 refused, or no agent runs; 78 wrong arguments.";

const CLOSE_HELP: &str = "\
Usage: cellgate close [--config FILE] [TUNNEL]

Ends a tunnel of the running agent, with its streams, in order. TUNNEL is its
name as `cellgate status` shows it, or the start of it; it may be left out if
there is only one.

      --config FILE             the agent's configuration, which says where its
                                socket is; /etc/cellgate/cellgate.toml if none
  -h, --help                    this text

Exit: 0 done; 69 refused, or no agent runs; 78 wrong arguments.";

const STATUS_HELP: &str = "\
Usage: cellgate status [--config FILE] [--json]

Shows what the running agent does: access, broker, tunnels, streams with their
rates, the last errors, memory.

      --json                    the same for programs; see docs/operation.md
      --config FILE             the agent's configuration, which says where its
                                socket is; /etc/cellgate/cellgate.toml if none
  -h, --help                    this text

Exit: 0 shown; 69 no agent runs; 78 wrong arguments.";

const CHECK_HELP: &str = "\
Usage: cellgate check [--config FILE] [--json]

Tries everything that the agent depends on, from the clock to the robots, and
says for each what to do. A running agent is not disturbed: what it does already
is asked of it.

      --json                    the same for programs; see docs/operation.md
      --config FILE             the configuration; /etc/cellgate/cellgate.toml
                                if none
  -h, --help                    this text

Exit: 0 all is well; 1 something is not; 78 the configuration or the arguments
are wrong.";

#[cfg(test)]
mod tests;
