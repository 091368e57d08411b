//! A disk that is soon full.

// Each test binary uses its own part of it.
#![allow(dead_code)]

use std::io::Write as _;
use std::path::PathBuf;
use std::process::Command;

/// A file system of 64 KiB.
#[derive(Debug)]
pub(crate) struct Small(PathBuf);

impl Small {
    /// The error is why this machine cannot have one.
    pub(crate) fn mount(folder: PathBuf) -> Result<Small, String> {
        std::fs::create_dir(&folder).expect("a folder");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=64k", "cellgate-test"])
            .arg(&folder)
            .output();
        if mounted.is_ok_and(|done| done.status.success()) {
            Ok(Small(folder))
        } else {
            Err("only root can mount a small disk".to_owned())
        }
    }

    /// Mounts it anew, for reading alone or as it was. Nobody may have a file open for writing.
    pub(crate) fn remount(&self, how: &str) {
        let done = Command::new("mount")
            .args(["-o", &format!("remount,{how}")])
            .arg(&self.0)
            .status();
        assert!(done.is_ok_and(|status| status.success()), "remount,{how}");
    }

    /// Writes until nothing more fits.
    pub(crate) fn fill(&self) {
        let mut file = std::fs::File::create(self.0.join("filler")).expect("a file");
        while file.write_all(&[0; 512]).is_ok() {}
    }

    pub(crate) fn free(&self) {
        std::fs::remove_file(self.0.join("filler")).expect("it is there");
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        // Lazily: the agent may still have the file open.
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}
