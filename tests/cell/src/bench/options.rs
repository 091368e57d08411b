//! The arguments of a run.

use std::ffi::OsString;
use std::path::PathBuf;

use lexopt::prelude::*;

/// What `--help` says.
pub(super) const HELP: &str = "\
tests/bench/run [OPTIONS]

  --short        CI's run, below 3 minutes: fewer rounds, and each ratio is held
  --rounds N     rounds of each measurement, interleaved; their median counts
  --agent PATH   the binary to be measured; a release
  --reference PATH
                 the C++ localproxy beside it, in the group relay; wants `openssl rehash`
  --json PATH    write the figures there as well
  --only NAME    one group: relay, load, memory, start, idle, growth
  --hold         fail where a ratio is worse than it is promised
  --help         this text";

/// What the caller wants.
#[derive(Debug)]
pub(super) enum Wish {
    /// A run.
    Run(Options),
    /// The help text.
    Help,
}

/// How it runs.
#[derive(Debug, Clone)]
pub(super) struct Options {
    pub(super) short: bool,
    pub(super) rounds: usize,
    pub(super) agent: PathBuf,
    pub(super) reference: Option<PathBuf>,
    pub(super) json: Option<PathBuf>,
    pub(super) only: Option<String>,
    pub(super) hold: bool,
}

impl Options {
    /// Understands the arguments.
    ///
    /// # Errors
    /// A sentence about the first wrong argument.
    pub(super) fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Wish, String> {
        let mut options = Options {
            short: false,
            rounds: 0,
            agent: "target/release/cellgate".into(),
            reference: None,
            json: None,
            only: None,
            hold: false,
        };
        let mut parser = lexopt::Parser::from_args(arguments);
        let fault = |fault: lexopt::Error| fault.to_string();
        while let Some(argument) = parser.next().map_err(fault)? {
            match argument {
                Long("short") => {
                    options.short = true;
                    options.hold = true;
                }
                Long("hold") => options.hold = true,
                Long("rounds") => {
                    let rounds = parser.value().and_then(|value| value.parse());
                    options.rounds = rounds.map_err(fault)?;
                }
                Long("agent") => options.agent = parser.value().map_err(fault)?.into(),
                Long("reference") => {
                    options.reference = Some(parser.value().map_err(fault)?.into());
                }
                Long("json") => options.json = Some(parser.value().map_err(fault)?.into()),
                Long("only") => {
                    let group = parser.value().map_err(fault)?;
                    options.only = Some(group.to_string_lossy().into_owned());
                }
                Long("help") => return Ok(Wish::Help),
                Short(_) | Long(_) | Value(_) => return Err(argument.unexpected().to_string()),
            }
        }
        if options.rounds == 0 {
            options.rounds = if options.short { 3 } else { 7 };
        }
        Ok(Wish::Run(options))
    }

    /// Whether this group is to be measured.
    pub(super) fn wants(&self, group: &str) -> bool {
        self.only.as_deref().is_none_or(|only| only == group)
    }
}
