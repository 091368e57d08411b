//! What can go wrong for an engineer, and where.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

/// A failed step, with the stage it belongs to.
#[derive(Debug)]
pub struct EngineerError {
    /// How far the engineer had come.
    pub stage: Stage,
    /// What happened there.
    pub cause: Cause,
}

/// The steps of an engineer's work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stage {
    /// The TCP connection to this address.
    Connect(SocketAddr),
    /// Waiting for `login: `.
    Opening,
    /// From the name to the first prompt.
    Login,
    /// A command, from its sending to the prompt.
    Command(String),
    /// LOAD of a program, behind so many blocks.
    Load {
        /// The program.
        name: String,
        /// The blocks that were done.
        block: usize,
    },
    /// SAVE of a program, behind so many blocks.
    Save {
        /// The program.
        name: String,
        /// The blocks that were done.
        block: usize,
    },
    /// Closing the connection.
    Close,
}

/// What happened.
#[derive(Debug)]
pub enum Cause {
    /// The system's word for it.
    Io(io::Error),
    /// The controller closed the connection; what it had said at last.
    Closed {
        /// Its last bytes, escaped.
        last: String,
    },
    /// Nothing that was waited for came in time.
    Silent {
        /// How long the wait was.
        waited: Duration,
        /// The last bytes that did come, escaped.
        last: String,
    },
    /// The controller said no, in these words.
    Refused(String),
    /// Something came that does not fit.
    Unexpected {
        /// What came.
        got: String,
        /// What was expected.
        expected: String,
    },
    /// The block framing has no escape for this byte of the program.
    Unsendable {
        /// The byte.
        byte: u8,
        /// Where in the program it stands.
        offset: usize,
    },
}

impl EngineerError {
    pub(super) fn new(stage: Stage, cause: Cause) -> Self {
        Self { stage, cause }
    }
}

impl From<io::Error> for Cause {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl fmt::Display for EngineerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.stage, self.cause)
    }
}

impl std::error::Error for EngineerError {}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connect(address) => write!(f, "connecting to {address}"),
            Self::Opening => write!(f, "waiting for the login question"),
            Self::Login => write!(f, "logging in"),
            Self::Command(command) => write!(f, "command {command:?}"),
            Self::Load { name, block } => write!(f, "LOAD {name}, behind block {block}"),
            Self::Save { name, block } => write!(f, "SAVE {name}, behind block {block}"),
            Self::Close => write!(f, "closing"),
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => write!(f, "{error}"),
            Self::Closed { last } => write!(f, "connection closed; last received: \"{last}\""),
            Self::Silent { waited, last } => {
                write!(f, "no answer within {waited:?}; last received: \"{last}\"")
            }
            Self::Refused(words) => write!(f, "the controller said: {words}"),
            Self::Unexpected { got, expected } => write!(f, "got {got:?}, expected {expected}"),
            Self::Unsendable { byte, offset } => write!(
                f,
                "the program has the byte {byte:02X} at {offset}, which the framing cannot carry"
            ),
        }
    }
}
