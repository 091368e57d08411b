//! What the agent answers: one JSON line.

use serde::{Deserialize, Serialize};

use super::status::Status;

/// An answer of the agent. On the socket it is one line, `{"done":"…"}`, `{"refused":"…"}` or
/// `{"status":{…}}`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reply {
    /// It is done; the sentence says what.
    Done(String),
    /// It is not done; the sentence says why, and what to do.
    Refused(String),
    /// What goes on.
    Status(Box<Status>),
}

impl Reply {
    /// The line, with its newline.
    pub(super) fn to_line(&self) -> Vec<u8> {
        // Nothing in it can fail: no map has keys that are not text.
        let mut line = serde_json::to_vec(self).unwrap_or_default();
        line.push(b'\n');
        line
    }

    /// The answer from its line.
    ///
    /// # Errors
    /// Why it is none; an agent of another version may answer what this one does not know.
    pub(super) fn from_line(line: &[u8]) -> Result<Reply, serde_json::Error> {
        serde_json::from_slice(line)
    }
}
