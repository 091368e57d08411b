//! The memory of this process.

use std::fs;

use nix::unistd::{SysconfVar, sysconf};

/// Memory in use (RSS), in bytes; none without `/proc`. Source: proc_pid_statm(5).
pub(super) fn rss() -> Option<u64> {
    let statm = fs::read_to_string("/proc/self/statm").ok()?;
    let pages = resident(&statm)?;
    let page = sysconf(SysconfVar::PAGE_SIZE).ok().flatten()?;
    Some(pages * u64::try_from(page).ok()?)
}

/// The second field, in pages.
fn resident(statm: &str) -> Option<u64> {
    statm.split_ascii_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_knows_its_memory() {
        assert_eq!(resident("2201 512 400 10 0 300 0\n"), Some(512));
        assert_eq!(resident(""), None);
        let own = rss().expect("/proc");
        assert!((1 << 20..1 << 34).contains(&own), "{own}");
    }
}
