//! The disk is full, or can only be read: that of the audit file, and the runtime folder.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::Path;

use crate::runner::{Family, hold};
use crate::scene::{Ground, Plan, Scene};
use crate::small::Small;
use crate::table::{ALL_END, GOES_ON, Row, Stage};

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fails {
    AuditFull,
    AuditReadOnly,
    RuntimeFull,
}

impl Family for Fails {
    const NAME: &'static str = "The disk";

    fn rows() -> Vec<Row<Fails>> {
        let full: &[&str] = &["ERROR audit: ", "cannot be written", "see to its disk"];
        let told = GOES_ON.says(full);
        let closed: &[&str] = &["ERROR audit: ", "Read-only file system"];
        let again = ALL_END.says(closed).abrupt();
        let forgets: &[&str] = &["after a restart the agent will not find its tunnels again"];
        let forgetful = GOES_ON.says(forgets);
        let old: &[&str] = &[
            "status.json: cannot be written",
            "panels show an old status",
        ];
        let blind = GOES_ON.says(old);
        vec![
            Row {
                fault: Fails::AuditFull,
                name: "of the audit file is full",
                cells: [told, told, GOES_ON, told, told, told, told, GOES_ON],
            },
            Row {
                fault: Fails::AuditReadOnly,
                name: "of the audit file is read-only behind a SIGKILL and a restart",
                cells: [again; 8],
            },
            Row {
                fault: Fails::RuntimeFull,
                name: "of the runtime folder is full",
                // A stream that drains is no longer in the file: it may have been written before the fault, or not.
                cells: [
                    forgetful, blind, blind, blind, forgetful, forgetful, blind, blind,
                ],
            },
        ]
    }

    async fn plan(self, mut plan: Plan, _: Stage) -> Result<Plan, String> {
        let folder = plan.gateway.folder().join("small");
        let disk = Small::mount(folder.clone())?;
        if self == Fails::RuntimeFull {
            plan.runtime = folder;
        } else {
            plan.audit = folder.join("audit.jsonl");
        }
        plan.ground = Ground::Disk(disk);
        Ok(plan)
    }

    async fn strike(self, scene: &mut Scene, _: Stage) {
        if self == Fails::AuditReadOnly {
            scene.agent.kill().await.expect("it ran");
        }
        let Ground::Disk(disk) = &scene.ground else {
            return;
        };
        match self {
            Fails::AuditFull => {
                disk.fill();
                fill_page(&scene.audit);
            }
            Fails::RuntimeFull => disk.fill(),
            Fails::AuditReadOnly => {
                disk.remount("ro");
                scene.restart();
            }
        }
    }

    async fn mend(self, scene: &mut Scene, _: Stage) {
        let Ground::Disk(disk) = &scene.ground else {
            return;
        };
        match self {
            Fails::AuditFull | Fails::RuntimeFull => disk.free(),
            Fails::AuditReadOnly => disk.remount("rw"),
        }
    }
}

/// The page that is begun would still take a few lines. The agent may be writing one just now, so it is not reckoned
/// how many: a full disk takes as much of the page as there is.
fn fill_page(audit: &Path) {
    const PAGE: usize = 4_096;
    let file = OpenOptions::new().append(true).create(true).open(audit);
    let filled = file.expect("a file").write_all(&[b'\n'; PAGE]);
    assert!(filled.is_err(), "the disk is full");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_cell_holds() {
    hold::<Fails>().await;
}
