//! What the agent needs when nothing goes on: memory, descriptors, threads. It must not grow.

use std::fmt;
use std::io;

use crate::agent::Agent;

/// Resident memory with every place taken and everything full, bytes. Source: the issue, 8 MiB.
const PEAK_MAX: u64 = 8 << 20;

/// What the memory at rest of one process may grow by from its first rest to any later one, bytes. There are pages of its
/// code and of its heap that it did not need in its first minute.
const WARMING_MAX: u64 = 1 << 20;

/// The same from its third rest on, by when it has needed them.
const GROWTH_MAX: u64 = 512 << 10;

/// Rests of a process until it is warm.
const WARM: usize = 3;

/// Descriptors at rest more than at the first: a status file that is just written.
const DESCRIPTORS_MORE: usize = 2;

/// Threads at rest more than at the first: those that resolve names stay for a moment. Source: `RESOLVERS` of the agent.
const THREADS_MORE: u64 = 3;

/// At one rest.
#[derive(Debug, Clone, Copy)]
pub(super) struct Health {
    pid: i32,
    pub(super) resident: u64,
    pub(super) anonymous: u64,
    pub(super) peak: u64,
    pub(super) descriptors: usize,
    pub(super) threads: u64,
}

impl Health {
    pub(super) fn of(agent: &Agent) -> io::Result<Health> {
        Ok(Health {
            pid: agent.pid(),
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
        let ours = self.0.iter().filter(|rest| rest.pid == now.pid);
        let ours: Vec<Health> = ours.copied().collect();
        if now.peak > PEAK_MAX {
            return Err(format!("more than {PEAK_MAX} bytes resident: {now}"));
        }
        if now.resident > ours[0].resident + WARMING_MAX {
            return Err(format!(
                "memory grows: {now}; at its first rest: {}",
                ours[0]
            ));
        }
        if let Some(warm) = ours.get(WARM - 1)
            && now.resident > warm.resident + GROWTH_MAX
        {
            return Err(format!("memory grows: {now}; when it was warm: {warm}"));
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
            pid: 1,
            resident: 3 << 20,
            anonymous: 1 << 20,
            peak: 5 << 20,
            descriptors: 20,
            threads: 4,
        };
        let wrong = |later: Health| {
            let mut rests = Rests::default();
            rests.add(rest).expect("the first is what it is");
            rests.add(later).err().unwrap_or_default()
        };
        assert_eq!(wrong(rest), "");
        let resident = rest.resident + WARMING_MAX + 1;
        assert!(wrong(Health { resident, ..rest }).contains("memory grows"));
        let more = Health {
            resident: rest.resident + GROWTH_MAX + 1,
            ..rest
        };
        assert_eq!(wrong(more), "", "it is not warm");
        let mut warm = Rests::default();
        let added = [rest, rest, rest].map(|rest| warm.add(rest));
        assert_eq!(added, [Ok(()), Ok(()), Ok(())]);
        assert!(warm.add(more).is_err(), "it was warm");
        let another = Health {
            pid: 2,
            resident,
            ..rest
        };
        assert_eq!(wrong(another), "", "another process");
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
