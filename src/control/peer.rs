//! Who may ask: the agent's own user, root, and the members of the agent's group.
//!
//! The first line of defence is the socket's mode, 0660: whoever cannot write to it cannot connect. This is
//! only the second, for a mode that somebody widened: it believes what the kernel noted when the peer
//! connected, and where that is not enough (`Groups:` in `/proc`) what is there *now*, which a process that
//! hands its connection on, or one whose ID is used again, could turn in its favour.

use std::fs::File;
use std::io::Read;

use nix::unistd::{getegid, geteuid};
use tokio::net::unix::UCred;

/// Bytes of `/proc/PID/status` that are looked at; 65,536 groups, the kernel's bound, would be more, and then
/// only the first ten thousand or so count.
const STATUS_MAX: u64 = 64 * 1024;

/// Whether the peer may ask.
pub(super) fn may_ask(peer: &UCred) -> bool {
    let groups = || peer.pid().and_then(groups_of).unwrap_or_default();
    decide(
        peer.uid(),
        peer.gid(),
        groups,
        geteuid().as_raw(),
        getegid().as_raw(),
    )
}

fn decide(
    user: u32,
    group: u32,
    groups: impl FnOnce() -> Vec<u32>,
    own_user: u32,
    own_group: u32,
) -> bool {
    user == 0 || user == own_user || group == own_group || groups().contains(&own_group)
}

fn groups_of(pid: i32) -> Option<Vec<u32>> {
    let mut status = String::new();
    File::open(format!("/proc/{pid}/status"))
        .and_then(|file| file.take(STATUS_MAX).read_to_string(&mut status))
        .ok()?;
    groups_in(&status)
}

/// The supplementary groups. Source: proc_pid_status(5).
fn groups_in(status: &str) -> Option<Vec<u32>> {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("Groups:"))?;
    let groups = line.split_ascii_whitespace();
    Some(groups.filter_map(|group| group.parse().ok()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_the_own_user_and_the_group_may_ask() {
        let (own_user, own_group) = (990, 980);
        for (user, group, groups, may) in [
            (0, 0, vec![], true),
            (990, 5, vec![], true),
            (1000, 980, vec![], true),
            (1000, 1000, vec![24, 980], true),
            (1000, 1000, vec![24, 98], false),
            (1000, 0, vec![0], false),
            (980, 990, vec![990], false),
        ] {
            let shown = format!("{user} {group} {groups:?}");
            assert_eq!(
                decide(user, group, || groups, own_user, own_group),
                may,
                "{shown}"
            );
        }
    }

    #[test]
    fn groups_stand_in_proc() {
        let status = "Name:\tGroups: 1\nUid:\t1000\nGroups:\t4 24 1000 \nNStgid:\t7\n";
        assert_eq!(groups_in(status), Some(vec![4, 24, 1000]));
        assert_eq!(groups_in("Groups:\t\n"), Some(vec![]));
        assert_eq!(groups_in("Uid:\t0\n"), None);
        let own = i32::try_from(std::process::id()).expect("a process ID");
        assert!(groups_of(own).is_some());
        assert_eq!(groups_of(-1), None);
    }
}
