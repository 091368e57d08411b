//! The controller fails. It is one of three, and nobody else may feel it.

use std::time::Duration;

use cell::controller::{Controller, ControllerOptions, Faults, Jam, Stall};
use cell::target::Then;

use crate::runner::{Family, hold};
use crate::scene::{Plan, Scene};
use crate::table::{Cell, GOES_ON, Row, Stage, THIS_ENDS};

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fails {
    Refuses,
    Closes,
    Breaks,
    StandsStill,
}

const NOT_OPEN: Cell = Cell::No("no connection to it is open");

impl Family for Fails {
    const NAME: &'static str = "The controller";

    fn rows() -> Vec<Row<Fails>> {
        let refused: &[&str] = &["cannot reach the target", "it refuses the connection"];
        let closed = THIS_ENDS.says(&["service robot1 ", "the controller closed the connection"]);
        let broke = THIS_ENDS.abrupt();
        let broken = broke.says(&["service robot1 ", "the connection to the controller broke"]);
        vec![
            Row {
                fault: Fails::Refuses,
                name: "refuses connections",
                cells: [
                    GOES_ON,
                    GOES_ON,
                    GOES_ON,
                    THIS_ENDS.says(refused),
                    GOES_ON,
                    GOES_ON,
                    GOES_ON,
                    GOES_ON,
                ],
            },
            Row {
                fault: Fails::Closes,
                name: "closes (FIN)",
                cells: [
                    NOT_OPEN, NOT_OPEN, NOT_OPEN, NOT_OPEN, closed, closed, GOES_ON, NOT_OPEN,
                ],
            },
            Row {
                fault: Fails::Breaks,
                name: "breaks off (RST)",
                cells: [
                    NOT_OPEN,
                    NOT_OPEN,
                    NOT_OPEN,
                    NOT_OPEN,
                    broken,
                    broken,
                    broke.says(&["service robot3 ", "could not be written out and are lost"]),
                    NOT_OPEN,
                ],
            },
            Row {
                fault: Fails::StandsStill,
                name: "takes no bytes",
                cells: [
                    NOT_OPEN,
                    NOT_OPEN,
                    NOT_OPEN,
                    NOT_OPEN,
                    GOES_ON.within(20),
                    Cell::No("it has nothing to take"),
                    broke.says(&["service robot3 ", "took no byte for 2 s"]),
                    NOT_OPEN,
                ],
            },
        ]
    }

    async fn plan(self, mut plan: Plan, stage: Stage) -> Result<Plan, String> {
        if self != Fails::StandsStill {
            return Ok(plan);
        }
        if stage == Stage::Draining {
            plan.slow_lines = "stall = \"2s\"";
            return Ok(plan);
        }
        let stall = Stall {
            // A block or two behind the moment at which a fault comes.
            after: 6_000,
            lasts: Duration::from_secs(3),
        };
        let options = ControllerOptions {
            jam: Jam::For(Duration::ZERO),
            faults: Faults {
                stall: Some(stall),
                ..Faults::default()
            },
            ..ControllerOptions::default()
        };
        plan.robot = Controller::start(options).await.expect("a free port");
        plan.robot_at = plan.robot.address().to_string();
        Ok(plan)
    }

    fn keeps_refusing(self) -> bool {
        self == Fails::Refuses
    }

    async fn strike(self, scene: &mut Scene, stage: Stage) {
        match self {
            Fails::Refuses => scene.robot.refuse(true).await.expect("its port"),
            Fails::Closes if stage == Stage::Draining => scene.slow.end(Then::Close),
            Fails::Breaks if stage == Stage::Draining => scene.slow.end(Then::Reset),
            Fails::StandsStill if stage == Stage::Draining => scene.slow.pause(),
            Fails::Closes => scene.robot.hang_up(),
            Fails::Breaks => scene.robot.reboot(),
            // It does so by itself.
            Fails::StandsStill => {}
        }
    }

    async fn mend(self, scene: &mut Scene, _: Stage) {
        scene.robot.refuse(false).await.expect("its port");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_cell_holds() {
    hold::<Fails>().await;
}
