//! The arguments of `cargo cell`.

use std::ffi::OsString;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use lexopt::prelude::*;

use crate::program::Program;
use crate::service::Protocol;

/// What `--help` says.
pub(super) const HELP: &str = "\
cargo cell [OPTIONS]

Starts a simulated cell with the real agent as a service. The agent hears of
its tunnel by MQTT. Loads a gripper program into robot1 through the tunnel while
robot2 is read out, reads it back, compares, and stays up until Ctrl-C so that a
telnet reaches the robots. Shows the agent's status and its audit.

  --once            end after the comparison: 0 if all is equal, else 1
  --delay MS        delay of the way between gateway and service, each direction
  --size BYTES      size of the program; 300k works; default 100k
  --chunk BYTES     bytes a block of LOAD; KRterm 512 (default), KIDE 2960
  --version V       V1, V2 or V3 (default): what the source speaks
  --seed N          another program
  --limit SECONDS   time limit of the transfers, default 120
  --mosquitto       a real mosquitto brings the notification, not the
                    embedded broker; Debian's packages mosquitto and
                    mosquitto-clients
  --agent PATH      use this binary and build none
  --verbose         show the agent's log
  --help            this text";

/// What the caller wants.
#[derive(Debug)]
pub(super) enum Wish {
    /// The demo.
    Run(Options),
    /// The help text.
    Help,
}

/// How the demo runs.
#[derive(Debug)]
pub(super) struct Options {
    pub(super) once: bool,
    pub(super) delay: Duration,
    /// Bytes of the program for `robot1`.
    pub(super) size: usize,
    /// Bytes a block of LOAD.
    pub(super) chunk: usize,
    pub(super) version: Protocol,
    pub(super) seed: u64,
    pub(super) limit: Duration,
    pub(super) mosquitto: bool,
    pub(super) agent: Option<PathBuf>,
    pub(super) verbose: bool,
}

/// The largest program: half of what a controller stores.
const LARGEST: usize = 4 * 1024 * 1024;

impl Options {
    /// Understands the arguments; the first is the name of the program.
    ///
    /// # Errors
    /// A sentence about the first wrong argument.
    pub(super) fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Wish, String> {
        let mut options = Self {
            once: false,
            delay: Duration::ZERO,
            size: 100 * 1024,
            chunk: crate::engineer::chunk::KRTERM,
            version: Protocol::V3,
            seed: 42,
            limit: Duration::from_secs(120),
            mosquitto: false,
            agent: None,
            verbose: false,
        };
        let mut parser = lexopt::Parser::from_iter(arguments);
        while let Some(argument) = parser.next().map_err(|fault| fault.to_string())? {
            match argument {
                Long("once") => options.once = true,
                Long("mosquitto") => options.mosquitto = true,
                Long("verbose") | Short('v') => options.verbose = true,
                Long("help") | Short('h') => return Ok(Wish::Help),
                Long("delay") => {
                    options.delay =
                        Duration::from_millis(number(&mut parser, "--delay", 0, 5_000)?);
                }
                Long("size") => {
                    options.size = number(&mut parser, "--size", Program::SMALLEST, LARGEST)?;
                }
                Long("chunk") => options.chunk = number(&mut parser, "--chunk", 1, 4096)?,
                Long("seed") => options.seed = number(&mut parser, "--seed", 0, u64::MAX)?,
                Long("limit") => {
                    options.limit = Duration::from_secs(number(&mut parser, "--limit", 1, 86_400)?);
                }
                Long("agent") => options.agent = Some(value(&mut parser)?.into()),
                Long("version") => options.version = version(&mut parser)?,
                Short(_) | Long(_) | Value(_) => return Err(argument.unexpected().to_string()),
            }
        }
        Ok(Wish::Run(options))
    }
}

fn value(parser: &mut lexopt::Parser) -> Result<OsString, String> {
    parser.value().map_err(|fault| fault.to_string())
}

/// A number between two bounds; a `k` behind it is 1,024.
fn number<N>(parser: &mut lexopt::Parser, name: &str, low: N, high: N) -> Result<N, String>
where
    N: TryFrom<u64> + PartialOrd + std::fmt::Display,
{
    let given = value(parser)?;
    let text = given.to_string_lossy();
    let (digits, factor) = match text.strip_suffix(['k', 'K']) {
        Some(digits) => (digits, 1024),
        None => (&*text, 1),
    };
    u64::from_str(digits)
        .ok()
        .and_then(|number| N::try_from(number.checked_mul(factor)?).ok())
        .filter(|number| (&low..=&high).contains(&number))
        .ok_or_else(|| format!("{name} {text}: expected a number from {low} to {high}"))
}

fn version(parser: &mut lexopt::Parser) -> Result<Protocol, String> {
    let given = value(parser)?;
    match given.to_string_lossy().to_ascii_uppercase().as_str() {
        "V1" | "1" => Ok(Protocol::V1),
        "V2" | "2" => Ok(Protocol::V2),
        "V3" | "3" => Ok(Protocol::V3),
        other => Err(format!("--version {other}: expected V1, V2 or V3")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(arguments: &[&str]) -> Result<Options, String> {
        let all = ["cell"].iter().chain(arguments).map(OsString::from);
        match Options::parse(all)? {
            Wish::Run(options) => Ok(options),
            Wish::Help => Err("help".into()),
        }
    }

    #[test]
    fn arguments_are_understood() {
        let options = parse(&[
            "--once",
            "--delay",
            "75",
            "--size=300k",
            "--version",
            "v2",
            "--limit",
            "9",
        ])
        .expect("all are right");
        assert!(options.once && !options.verbose);
        assert_eq!(options.delay, Duration::from_millis(75));
        assert_eq!(options.size, 307_200);
        assert_eq!(options.version, Protocol::V2);
        assert_eq!(options.limit, Duration::from_secs(9));
    }

    #[test]
    fn wrong_arguments_are_named() {
        for (arguments, named) in [
            (
                &["--size", "10"][..],
                "--size 10: expected a number from 2000",
            ),
            (&["--chunk", "x"], "--chunk x"),
            (&["--version", "V4"], "--version V4"),
            (&["--twice"], "--twice"),
            (&["left", "over"], "left"),
            (&["--delay"], "--delay"),
        ] {
            let fault = parse(arguments).expect_err(named);
            assert!(fault.contains(named), "{fault}");
        }
    }
}
