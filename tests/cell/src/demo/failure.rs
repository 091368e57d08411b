//! Why a demo ended early.

use std::fmt;
use std::io;
use std::time::Duration;

use crate::agent::Finished;
use crate::engineer::EngineerError;
use crate::journal::WaitTimeout;
use crate::source::ConnectError;

/// The reason that is shown to the caller.
#[derive(Debug)]
pub(super) enum Failure {
    /// Ctrl-C.
    Interrupted,
    /// The time limit has passed.
    Late(Duration),
    /// The agent could not be built; cargo has said why.
    Build(String),
    /// What the system says.
    Io(io::Error),
    /// The agent did not subscribe at the broker.
    NotSubscribed(WaitTimeout),
    /// The agent did not connect to the service.
    NoAgent(WaitTimeout),
    /// `cellgate status` did not end with 0.
    Status(Finished),
    /// The audit has no line of a kind that it must have.
    Audit(&'static str),
    /// The agent ended by itself.
    AgentEnded(String),
    /// The source did not connect to the service.
    Source(ConnectError),
    /// An engineer at a robot.
    Engineer {
        /// Such as `robot1`.
        robot: String,
        /// Where and why.
        error: EngineerError,
    },
    /// Comparisons that were not equal.
    Unequal(usize),
    /// Rules of the protocol that the agent broke, as the service saw them.
    Rules(Vec<String>),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Interrupted => write!(f, "interrupted"),
            Self::Late(limit) => write!(f, "the transfers were not done within {limit:?}"),
            Self::Build(why) => write!(f, "the agent was not built: {why}"),
            Self::Io(error) => write!(f, "{error}"),
            Self::NotSubscribed(wait) => {
                write!(f, "the agent did not subscribe at the broker: {wait}")
            }
            Self::Status(finished) => write!(
                f,
                "cellgate status ended with {:?}: {}",
                finished.code,
                finished.stderr.trim()
            ),
            Self::Audit(kind) => write!(f, "the audit file has no line {kind}"),
            Self::NoAgent(wait) => write!(f, "the agent did not connect to the service: {wait}"),
            Self::AgentEnded(how) => write!(f, "the agent ended by itself: {how}"),
            Self::Source(error) => write!(f, "source: {error}"),
            Self::Engineer { robot, error } => write!(f, "{robot}: {error}"),
            Self::Unequal(count) => write!(f, "{count} of the comparisons are not equal"),
            Self::Rules(broken) => write!(
                f,
                "the service saw {} broken rules: {}",
                broken.len(),
                broken.join("; ")
            ),
        }
    }
}

impl std::error::Error for Failure {}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<ConnectError> for Failure {
    fn from(error: ConnectError) -> Self {
        Self::Source(error)
    }
}
