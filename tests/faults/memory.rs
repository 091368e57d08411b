//! The system gives no more memory. Whatever is asked for then is refused: an agent that needs it ends with a line that
//! says so, and is back with its tunnels after a restart; one that needs none does not feel it.

use std::process::Command;

use crate::runner::{Family, hold};
use crate::scene::{Plan, Scene};
use crate::table::{ALL_END, Cell, EITHER, Exit, Row, Stage};

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fails {
    Refused,
}

impl Family for Fails {
    const NAME: &'static str = "Memory";

    fn rows() -> Vec<Row<Fails>> {
        let words: &[&str] = &["memory allocation of ", " bytes failed"];
        let aborted = |cell: Cell| cell.says(words).exit(Exit::Signal(6)).abrupt();
        let either = aborted(EITHER);
        vec![Row {
            fault: Fails::Refused,
            name: "is refused (RLIMIT_DATA), and a restart",
            cells: [
                // A dial takes more than the agent has at hand.
                aborted(ALL_END),
                either,
                either,
                either,
                either,
                either,
                either,
                either,
            ],
        }]
    }

    async fn plan(self, plan: Plan, _: Stage) -> Result<Plan, String> {
        let there = Command::new("prlimit").arg("--version").output();
        there.map_err(|why| format!("no prlimit of util-linux here ({why})"))?;
        Ok(plan)
    }

    async fn strike(self, scene: &mut Scene, _: Stage) {
        limit(scene, "1");
    }

    async fn mend(self, scene: &mut Scene, _: Stage) {
        if scene.agent.is_running().expect("the system knows") {
            limit(scene, "unlimited");
        }
    }
}

/// The soft limit on what the agent writes to, bytes. What it has it keeps. Not RLIMIT_AS, which also keeps the stack
/// from growing: that ends any program without a word.
fn limit(scene: &Scene, bytes: &str) {
    let pid = scene.agent.pid().to_string();
    let done = Command::new("prlimit")
        .args(["--pid", &pid, &format!("--data={bytes}:unlimited")])
        .status();
    assert!(done.is_ok_and(|status| status.success()), "prlimit");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_cell_holds() {
    hold::<Fails>().await;
}
