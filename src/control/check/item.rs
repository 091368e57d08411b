//! One thing that was tried.

use serde::Serialize;

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Verdict {
    /// All is well.
    Well,
    /// It does not work.
    Failed,
    /// It was not tried, so nobody knows.
    Unknown,
}

/// One thing that was tried, what came of it, and what to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Item {
    /// Its name.
    pub(super) item: String,
    /// What came of it.
    pub(super) verdict: Verdict,
    /// In words, with what to do.
    pub(super) said: String,
}

impl Item {
    pub(super) fn well(item: impl Into<String>, said: impl Into<String>) -> Item {
        Item::new(item.into(), Verdict::Well, said.into())
    }

    pub(super) fn failed(item: impl Into<String>, said: impl Into<String>) -> Item {
        Item::new(item.into(), Verdict::Failed, said.into())
    }

    pub(super) fn unknown(item: impl Into<String>, said: impl Into<String>) -> Item {
        Item::new(item.into(), Verdict::Unknown, said.into())
    }

    fn new(item: String, verdict: Verdict, said: String) -> Item {
        Item {
            item,
            verdict,
            said,
        }
    }
}
