//! The audit in real files.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

use cell::agent::Folder;
use serde_json::Value;

use super::file::{AuditFile, Turn};
use super::{Audit, Event};
use crate::limits::{AUDIT_FILE_MAX, AUDIT_LINE_MAX};

fn folder() -> Folder {
    Folder::new("audit").expect("a folder")
}

fn opened(path: &Path) -> AuditFile {
    let (file, turn) = AuditFile::open(path.to_owned());
    assert!(turn.is_none(), "{turn:?}");
    file
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).expect("the audit file")
}

fn assert_fails(turn: Option<Turn>, words: &str) {
    match turn {
        Some(Turn::Fails(error)) => assert!(error.to_string().contains(words), "{error}"),
        Some(Turn::WorksAgain(_)) | None => panic!("{turn:?} instead of {words:?}"),
    }
}

fn assert_works_again(turn: Option<Turn>, lines: u64) {
    assert!(
        matches!(turn, Some(Turn::WorksAgain(lost)) if lost == lines),
        "{turn:?} instead of {lines}"
    );
}

#[test]
fn events_are_lines_of_json_in_a_file_for_the_group() {
    let folder = folder();
    let path = folder.path().join("audit.jsonl");
    let audit = Audit::open(Some(path.clone()));
    for reason in ["one", "two\n{\"event\":\"forged\"}", "three"] {
        audit.write(&Event::AccessOff { reason });
    }
    let text = read(&path);
    let lines: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    let reasons: Vec<_> = lines
        .iter()
        .filter_map(|line| line["reason"].as_str())
        .collect();
    assert_eq!(reasons, ["one", "two\n{\"event\":\"forged\"}", "three"]);
    let mode = fs::metadata(&path).expect("the file").permissions().mode();
    // Whatever the umask is.
    assert_eq!(mode & 0o777, 0o640, "{mode:o}");
}

#[test]
fn without_a_file_there_is_the_log() {
    Audit::open(None).write(&Event::AccessOn { reason: "x" });
}

#[test]
fn a_full_file_becomes_the_older_one() {
    let folder = folder();
    let path = folder.path().join("audit.jsonl");
    let older = folder.path().join("audit.jsonl.1");
    let mut file = opened(&path);
    let body = "x".repeat(AUDIT_LINE_MAX - 30);
    let mut number = 0;
    for _ in 0..3 {
        let before = fs::metadata(&older).map(|found| found.len()).unwrap_or(0);
        // Two files' worth of lines.
        for _ in 0..2 * AUDIT_FILE_MAX / (AUDIT_LINE_MAX as u64) {
            assert!(file.append(&format!("{number:08} {body}")).is_none());
            number += 1;
            let size = fs::metadata(&path).expect("the file").len();
            assert!(size <= AUDIT_FILE_MAX, "{size}");
        }
        let after = fs::metadata(&older).expect("a rotation").len();
        assert!(after <= AUDIT_FILE_MAX && after >= before, "{after}");
    }
    // Both together hold the newest lines, without a gap.
    let both = read(&older) + &read(&path);
    let kept: Vec<u64> = both
        .lines()
        .map(|line| line[..8].parse().expect("a number"))
        .collect();
    let first = kept[0];
    assert!(
        kept.iter().copied().eq(first..number),
        "{first} to {number}"
    );
    assert_eq!(fs::read_dir(folder.path()).expect("the folder").count(), 2);
}

#[test]
fn a_file_that_is_too_large_already_is_rotated_first() {
    let folder = folder();
    let path = folder.path().join("audit.jsonl");
    let large = "y".repeat(2_000_000) + "\n";
    fs::write(&path, &large).expect("a file");
    assert!(opened(&path).append("new").is_none());
    assert_eq!(read(&path), "new\n");
    assert_eq!(read(&folder.path().join("audit.jsonl.1")), large);
}

#[test]
fn it_survives_that_others_move_delete_or_truncate_it() {
    let folder = folder();
    let path = folder.path().join("audit.jsonl");
    let moved = folder.path().join("moved");
    let mut file = opened(&path);
    assert!(file.append("1").is_none());
    fs::rename(&path, &moved).expect("a move");
    assert!(file.append("2").is_none());
    assert_eq!(
        (read(&moved).as_str(), read(&path).as_str()),
        ("1\n", "2\n")
    );
    fs::remove_file(&path).expect("a removal");
    assert!(file.append("3").is_none());
    assert_eq!(read(&path), "3\n");
    fs::write(&path, "").expect("a truncation");
    assert!(file.append("4").is_none());
    assert_eq!(read(&path), "4\n");
    fs::write(&moved, "theirs\n").expect("a file");
    fs::rename(&moved, &path).expect("a move");
    assert!(file.append("5").is_none());
    assert_eq!(read(&path), "theirs\n5\n");
}

#[test]
fn a_line_that_a_crash_cut_is_closed_at_the_next_start() {
    let folder = folder();
    for (left, then) in [
        ("", "new\n"),
        ("whole\n", "whole\nnew\n"),
        ("whole\n{\"ti", "whole\n{\"ti\nnew\n"),
        ("x", "x\nnew\n"),
    ] {
        let path = folder.write("audit.jsonl", left).expect("a file");
        let mut file = opened(&path);
        assert!(read(&path).is_empty() || read(&path).ends_with('\n'));
        assert!(file.append("new").is_none());
        assert_eq!(read(&path), then);
    }
}

#[test]
fn trouble_is_told_once_when_it_begins_and_once_when_it_ends() {
    let folder = folder();
    let path = folder.path().join("later").join("audit.jsonl");
    let (mut file, turn) = AuditFile::open(path.clone());
    assert_fails(turn, "cannot be opened: No such file");
    for _ in 0..3 {
        assert!(file.append("lost").is_none());
    }
    fs::create_dir(folder.path().join("later")).expect("a folder");
    assert_works_again(file.append("kept"), 3);
    assert!(file.append("kept").is_none());
    assert_eq!(read(&path), "kept\nkept\n");
    // And again.
    fs::remove_dir_all(folder.path().join("later")).expect("a removal");
    assert_fails(file.append("lost"), "make its folder");
    fs::create_dir(folder.path().join("later")).expect("a folder");
    assert_works_again(file.append("kept"), 1);
}

#[test]
fn what_is_no_file_of_ours_is_refused() {
    let folder = folder();
    let target = folder.write("shadow", "theirs\n").expect("a file");
    let link = folder.path().join("link");
    symlink(&target, &link).expect("a link");
    let (mut file, turn) = AuditFile::open(link);
    assert_fails(turn, "symbolic link");
    assert!(file.append("lost").is_none());
    assert_eq!(read(&target), "theirs\n");
    let (_, turn) = AuditFile::open(folder.path().to_owned());
    assert_fails(turn, "name a file in that folder");
}

#[test]
fn an_older_name_that_is_taken_keeps_the_bound() {
    let folder = folder();
    let path = folder.path().join("audit.jsonl");
    fs::create_dir(folder.path().join("audit.jsonl.1")).expect("a folder");
    let mut file = opened(&path);
    let line = "x".repeat(AUDIT_LINE_MAX);
    let turn = (0..1000).find_map(|_| file.append(&line));
    assert_fails(turn, "cannot be moved to its older name");
    assert!(fs::metadata(&path).expect("the file").len() <= AUDIT_FILE_MAX);
    fs::remove_dir(folder.path().join("audit.jsonl.1")).expect("a removal");
    assert_works_again(file.append(&line), 1);
    assert_eq!(read(&path), line + "\n");
}

#[test]
fn a_device_without_room_stops_nothing() {
    let (mut file, turn) = AuditFile::open("/dev/full".into());
    assert!(turn.is_none(), "{turn:?}");
    assert_fails(file.append("lost"), "No space left");
    for _ in 0..10 {
        assert!(file.append("lost").is_none());
    }
    let audit = Audit::open(Some("/dev/full".into()));
    audit.write(&Event::AccessOn { reason: "x" });
}

/// A FIFO that nobody reads takes what it holds and then says no; it never waits.
#[test]
fn a_fifo_that_nobody_reads_does_not_block() {
    let folder = folder();
    let path = folder.path().join("fifo");
    nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).expect("a FIFO");
    let mut file = opened(&path);
    let line = "x".repeat(1000);
    let turn = (0..1000).find_map(|_| file.append(&line));
    assert_fails(turn, "cannot be written");
}

/// A small file system in memory.
struct Disk<'a>(&'a Path);

impl Disk<'_> {
    /// None where one may not be mounted.
    fn mount(at: &Path) -> Option<Disk<'_>> {
        run(
            "mount",
            &["-t", "tmpfs", "-o", "size=64k", "cellgate-test"],
            at,
        )
        .then_some(Disk(at))
    }
}

impl Drop for Disk<'_> {
    fn drop(&mut self) {
        run("umount", &[], self.0);
    }
}

fn run(program: &str, arguments: &[&str], last: &Path) -> bool {
    let output = Command::new(program).args(arguments).arg(last).output();
    output.is_ok_and(|output| output.status.success())
}

#[test]
fn a_full_and_a_read_only_disk_lose_lines_and_nothing_else() {
    let folder = folder();
    let Some(disk) = Disk::mount(folder.path()) else {
        println!("SKIPPED: audit on a full disk: no tmpfs may be mounted here");
        return;
    };
    let path = disk.0.join("audit.jsonl");
    let mut file = opened(&path);
    let line = format!("{{{}}}", "x".repeat(998));
    let mut kept = 0;
    let turn = loop {
        match file.append(&line) {
            None => kept += 1,
            Some(turn) => break turn,
        }
        assert!(kept < 1000, "the disk has no end");
    };
    assert_fails(Some(turn), "see to its disk");
    assert!(file.append(&line).is_none());
    // What did not fit whole is not there in part.
    assert_eq!(read(&path), format!("{line}\n").repeat(kept));
    assert!(run("mount", &["-o", "remount,size=1m"], disk.0));
    assert_works_again(file.append("after"), 2);
    assert!(read(&path).ends_with(&format!("{line}\nafter\n")));

    // While it is open for writing it cannot be made read-only.
    drop(file);
    assert!(run("mount", &["-o", "remount,ro"], disk.0));
    let (mut file, turn) = AuditFile::open(path.clone());
    assert_fails(turn, "mount its file system writable");
    assert!(file.append("lost").is_none());
    assert!(run("mount", &["-o", "remount,rw"], disk.0));
    assert_works_again(file.append("kept"), 1);
}
