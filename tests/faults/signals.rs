//! Signals. What ends the agent is followed by a restart, as by any supervisor; it then rejoins its tunnels.

use std::time::Duration;

use cell::agent::Signal;
use tokio::time::sleep;

use crate::runner::{Family, hold};
use crate::scene::Scene;
use crate::table::{ALL_END, Cell, DELIVERED, Exit, GOES_ON, Row, Stage};

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Comes {
    Term,
    Kill,
    Stop,
    Hup,
    Pipe,
}

const fn row(cell: Cell, drained: Cell) -> [Cell; 8] {
    [cell, cell, cell, cell, cell, cell, drained, cell]
}

impl Family for Comes {
    const NAME: &'static str = "Signals";

    fn rows() -> Vec<Row<Comes>> {
        let stopped = Exit::Code(0);
        let killed = ALL_END.exit(Exit::Signal(9)).abrupt();
        let goes_on = |cell| [cell; 8];
        vec![
            Row {
                fault: Comes::Term,
                name: "SIGTERM, and a restart",
                cells: row(
                    ALL_END.says(&["asked to stop"]).exit(stopped),
                    DELIVERED.says(&["asked to stop"]).exit(stopped),
                ),
            },
            Row {
                fault: Comes::Kill,
                name: "SIGKILL, and a restart",
                cells: row(killed, killed),
            },
            Row {
                fault: Comes::Stop,
                name: "SIGSTOP for 3 s, then SIGCONT",
                cells: goes_on(GOES_ON),
            },
            Row {
                fault: Comes::Hup,
                name: "SIGHUP",
                cells: goes_on(GOES_ON.says(&["routes read again"])),
            },
            Row {
                fault: Comes::Pipe,
                name: "SIGPIPE",
                cells: goes_on(GOES_ON),
            },
        ]
    }

    async fn strike(self, scene: &mut Scene, _: Stage) {
        let send = |signal| scene.agent.signal(signal).expect("it runs");
        match self {
            Comes::Term => send(Signal::SIGTERM),
            Comes::Kill => send(Signal::SIGKILL),
            Comes::Stop => {
                send(Signal::SIGSTOP);
                sleep(Duration::from_secs(3)).await;
                send(Signal::SIGCONT);
            }
            Comes::Hup => send(Signal::SIGHUP),
            Comes::Pipe => send(Signal::SIGPIPE),
        }
    }

    /// The runner starts an agent again that has ended.
    async fn mend(self, _: &mut Scene, _: Stage) {}
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_cell_holds() {
    hold::<Comes>().await;
}
