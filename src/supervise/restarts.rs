//! How often the agent ended without having served: a crash loop slows down.
//!
//! Is responsible for: the pause before an agent serves that failed several times in a row. The init system restarts it
//! at once, always: after one crash an engineer is back in a second. It counts here, and not there, since not every
//! init can. The count stands in a file of the runtime folder, which a reboot empties.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use log::warn;

use crate::limits::{RESTART_HEALTHY, RESTART_PAUSE_MAX};

/// The count of this run and those before it.
pub struct Restarts {
    file: Option<PathBuf>,
    failed: u32,
}

impl Restarts {
    /// Counts this run as failed, until it has served for a while or ends in order. Without a folder nothing is
    /// counted.
    pub fn begin(runtime: Option<&Path>) -> Restarts {
        let file = runtime.map(|runtime| runtime.join("restarts"));
        let failed = file.as_deref().map_or(0, read);
        let restarts = Restarts { file, failed };
        if let Some(file) = &restarts.file
            && let Err(error) = fs::write(file, format!("{}\n", failed.saturating_add(1)))
        {
            warn!(
                "{}: {error}: an agent that crashes again and again will not slow down",
                file.display()
            );
        }
        restarts
    }

    /// How long to wait before serving. The first restart is at once.
    pub fn pause(&self) -> Duration {
        let doubled = self
            .failed
            .checked_sub(2)
            .map_or(0, |more| 2 << more.min(16));
        let pause = Duration::from_secs(doubled).min(RESTART_PAUSE_MAX);
        if !pause.is_zero() {
            warn!(
                "the agent ended {} times in a row before it had served for {} s; it waits {} s before it serves again. \
                 The log above says why it ended",
                self.failed,
                RESTART_HEALTHY.as_secs(),
                pause.as_secs()
            );
        }
        pause
    }

    /// This run went well.
    pub fn forget(&self) {
        let removed = self.file.as_deref().map(fs::remove_file);
        if let Some(Err(error)) = removed
            && error.kind() != io::ErrorKind::NotFound
        {
            warn!("the count of restarts cannot be removed ({error})");
        }
    }
}

/// What the file says; nothing if it is not there or not ours.
fn read(file: &Path) -> u32 {
    let text = fs::read_to_string(file).unwrap_or_default();
    text.trim().parse().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crash_loop_slows_down_and_a_good_run_is_quick_again() {
        let folder = std::env::temp_dir().join(format!("cellgate-restarts-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("a folder");
        let run = || Restarts::begin(Some(&folder));
        let pauses: Vec<u64> = (0..10).map(|_| run().pause().as_secs()).collect();
        assert_eq!(pauses, [0, 0, 2, 4, 8, 16, 32, 60, 60, 60]);
        run().forget();
        assert_eq!(run().pause(), Duration::ZERO);
        run().forget();
        run().forget();
        fs::write(folder.join("restarts"), "nonsense").expect("written");
        assert_eq!(run().pause(), Duration::ZERO);
        fs::write(folder.join("restarts"), u32::MAX.to_string()).expect("written");
        assert_eq!(run().pause(), RESTART_PAUSE_MAX);
        fs::remove_dir_all(folder).expect("removed");
    }

    #[test]
    fn without_a_folder_nothing_is_counted() {
        assert_eq!(Restarts::begin(None).pause(), Duration::ZERO);
        Restarts::begin(None).forget();
        let none = Path::new("/nonexistent");
        assert_eq!(Restarts::begin(Some(none)).pause(), Duration::ZERO);
    }
}
