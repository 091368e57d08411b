//! The arguments of a run.

use std::ffi::OsString;
use std::path::PathBuf;

use lexopt::prelude::*;

/// What `--help` says.
pub(super) const HELP: &str = "\
tests/soak/run [MINUTES] [OPTIONS]

  MINUTES        how long, without the rest at the end of each minute; 5 if nothing is said
  --seed N       the dice of load and faults; the variable SEED says the same. Without both: by the clock
  --agent PATH   the binary that is soaked; a release
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
    pub(super) minutes: u32,
    pub(super) seed: u64,
    pub(super) agent: PathBuf,
}

impl Options {
    /// Understands the arguments; `seed` is what the environment says.
    ///
    /// # Errors
    /// A sentence about the first wrong argument.
    pub(super) fn parse(
        arguments: impl IntoIterator<Item = OsString>,
        seed: Option<OsString>,
        by_clock: u64,
    ) -> Result<Wish, String> {
        let mut options = Options {
            minutes: 5,
            seed: by_clock,
            agent: "target/release/cellgate".into(),
        };
        if let Some(seed) = seed {
            let number = seed.to_str().and_then(|seed| seed.parse().ok());
            options.seed = number.ok_or_else(|| format!("SEED is {seed:?}, and no number"))?;
        }
        let mut parser = lexopt::Parser::from_args(arguments);
        let fault = |fault: lexopt::Error| fault.to_string();
        while let Some(argument) = parser.next().map_err(fault)? {
            match argument {
                Value(minutes) => options.minutes = minutes.parse().map_err(fault)?,
                Long("seed") => {
                    let seed = parser.value().and_then(|value| value.parse());
                    options.seed = seed.map_err(fault)?;
                }
                Long("agent") => options.agent = parser.value().map_err(fault)?.into(),
                Long("help") => return Ok(Wish::Help),
                Short(_) | Long(_) => return Err(argument.unexpected().to_string()),
            }
        }
        if options.minutes == 0 {
            return Err("0 minutes are no soak".to_owned());
        }
        Ok(Wish::Run(options))
    }
}
