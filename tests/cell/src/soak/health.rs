//! What the agent needs when nothing goes on: memory, descriptors, threads. It must not grow.

use std::fmt;
use std::io;

use crate::agent::Agent;

/// Resident memory with every place taken and everything full, bytes. Source: the issue, 8 MiB.
const PEAK_MAX: u64 = 8 << 20;

/// What the memory at rest may be more than the most of the first rests, bytes. What the C library gives back of a heap that
/// was used differs from rest to rest by as much; a leak is in none of the first rests, and in all later ones.
const GROWTH_MAX: u64 = 1 << 20;

/// The first rests.
const FIRST: usize = 3;

/// Descriptors at rest more than at the first: a status file that is just written.
const DESCRIPTORS_MORE: usize = 2;

/// Threads at rest more than at the first: those that resolve names stay for a moment. Source: `RESOLVERS` of the agent.
const THREADS_MORE: u64 = 3;

/// At one rest.
#[derive(Debug, Clone, Copy)]
pub(super) struct Health {
    pub(super) resident: u64,
    pub(super) anonymous: u64,
    pub(super) peak: u64,
    pub(super) descriptors: usize,
    pub(super) threads: u64,
}

impl Health {
    pub(super) fn of(agent: &Agent) -> io::Result<Health> {
        Ok(Health {
            resident: agent.rss()?,
            anonymous: agent.rss_anonymous()?,
            peak: agent.peak_rss()?,
            descriptors: agent.fds()?,
            threads: agent.threads()?,
        })
    }
}

impl fmt::Display for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mebibytes = |bytes: u64| bytes as f64 / f64::from(1 << 20);
        write!(
            f,
            "RSS {:.2} MiB ({:.2} anonymous, peak {:.2}), {} descriptors, {} threads",
            mebibytes(self.resident),
            mebibytes(self.anonymous),
            mebibytes(self.peak),
            self.descriptors,
            self.threads
        )
    }
}

/// The rests so far, and what is wrong with the last.
#[derive(Debug, Default)]
pub(super) struct Rests(Vec<Health>);

impl Rests {
    /// One more rest.
    ///
    /// # Errors
    /// What has grown.
    pub(super) fn add(&mut self, now: Health) -> Result<(), String> {
        self.0.push(now);
        let first = self.0[0];
        if now.peak > PEAK_MAX {
            return Err(format!("more than {PEAK_MAX} bytes resident: {now}"));
        }
        let most = self.0.iter().take(FIRST).map(|rest| rest.resident).max();
        if self.0.len() > FIRST && now.resident > most.unwrap_or(0) + GROWTH_MAX {
            let first = &self.0[..FIRST];
            return Err(format!("memory grows: {now}; at first: {first:?}"));
        }
        let before = format!("; at first: {first}");
        if now.descriptors > first.descriptors + DESCRIPTORS_MORE {
            return Err(format!("descriptors grow: {now}{before}"));
        }
        if now.threads > first.threads + THREADS_MORE {
            return Err(format!("threads grow: {now}{before}"));
        }
        Ok(())
    }

    /// The least and the most resident memory at rest, and of descriptors.
    pub(super) fn range(&self) -> Option<(u64, u64, usize, usize)> {
        let resident = || self.0.iter().map(|rest| rest.resident);
        let descriptors = || self.0.iter().map(|rest| rest.descriptors);
        Some((
            resident().min()?,
            resident().max()?,
            descriptors().min()?,
            descriptors().max()?,
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_grows_is_found() {
        let rest = Health {
            resident: 3 << 20,
            anonymous: 1 << 20,
            peak: 5 << 20,
            descriptors: 20,
            threads: 4,
        };
        let wrong = |later: Health| {
            let mut rests = Rests::default();
            for less in [1 << 20, 0, 1 << 20] {
                let resident = rest.resident - less;
                let first = Health { resident, ..rest };
                rests.add(first).expect("the first are what they are");
            }
            rests.add(later).err().unwrap_or_default()
        };
        let grown = |by| Health {
            resident: rest.resident + by,
            ..rest
        };
        assert_eq!(wrong(grown(0)), "");
        assert_eq!(wrong(grown(GROWTH_MAX)), "");
        assert!(wrong(grown(GROWTH_MAX + 1)).contains("memory grows"));
        assert!(
            wrong(Health {
                peak: PEAK_MAX + 1,
                ..rest
            })
            .contains("resident")
        );
        assert!(
            wrong(Health {
                descriptors: 23,
                ..rest
            })
            .contains("descriptors grow")
        );
        assert!(wrong(Health { threads: 8, ..rest }).contains("threads grow"));
    }
}
