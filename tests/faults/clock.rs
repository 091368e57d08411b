//! The clock on the wall is wrong, or jumps. The clock that timers run by does not.

use cell::service::Kill;

use crate::faked::Faked;
use crate::runner::{Family, hold};
use crate::scene::{Ground, Plan, Scene};
use crate::table::{ALL_END, Cell, DELIVERED, GOES_ON, Row, Stage};

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fails {
    JumpsBack,
    JumpsBackAndCut,
    StartsIn1970,
    JumpsAhead,
}

impl Family for Fails {
    const NAME: &'static str = "The clock";

    fn rows() -> Vec<Row<Fails>> {
        const NO_LINK: Cell = Cell::No("there is no link to cut; see above");
        let waits: &[&str] = &["tunnel ", "the clock says 1970-01-01", "waits until NTP"];
        let (lost, drained) = (ALL_END.says(waits), DELIVERED.says(waits));
        let untold: &[&str] = &["mqtt: ", "the clock says 1970-01-01", "waits until NTP"];
        let again = ALL_END.says(waits).abrupt();
        vec![
            Row {
                fault: Fails::JumpsBack,
                name: "jumps to 1970",
                cells: [
                    lost, GOES_ON, GOES_ON, GOES_ON, GOES_ON, GOES_ON, GOES_ON, GOES_ON,
                ],
            },
            Row {
                fault: Fails::JumpsBackAndCut,
                name: "jumps to 1970, and the link is cut",
                cells: [NO_LINK, NO_LINK, lost, lost, lost, lost, drained, lost],
            },
            Row {
                fault: Fails::StartsIn1970,
                name: "stands in 1970 behind a SIGKILL and a restart",
                cells: [
                    ALL_END.says(untold),
                    again,
                    again,
                    again,
                    again,
                    again,
                    again,
                    again,
                ],
            },
            Row {
                fault: Fails::JumpsAhead,
                name: "jumps to 2035",
                cells: [GOES_ON; 8],
            },
        ]
    }

    async fn plan(self, plan: Plan, _: Stage) -> Result<Plan, String> {
        let faked = Faked::new()?;
        let mut plan = plan.build(|builder| faked.built(builder));
        plan.ground = Ground::Clock(faked);
        Ok(plan)
    }

    async fn strike(self, scene: &mut Scene, _: Stage) {
        let Ground::Clock(clock) = &scene.ground else {
            return;
        };
        match self {
            Fails::JumpsAhead => clock.set("2035-01-01T00:00:00Z"),
            Fails::JumpsBack => clock.set("1970-01-01T00:03:20Z"),
            Fails::JumpsBackAndCut => {
                clock.set("1970-01-01T00:03:20Z");
                let side = &scene.tunnel.destination;
                side.kill(Kill::Reset).expect("connected");
            }
            Fails::StartsIn1970 => {
                clock.set("1970-01-01T00:03:20Z");
                scene.agent.kill().await.expect("it ran");
                scene.restart();
            }
        }
    }

    async fn mend(self, scene: &mut Scene, _: Stage) {
        if let Ground::Clock(clock) = &scene.ground {
            clock.right();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_cell_holds() {
    hold::<Fails>().await;
}
