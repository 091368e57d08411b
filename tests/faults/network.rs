//! The network between the gateway and AWS fails, for service and broker at once.

use std::time::Duration;

use tokio::time::sleep;

use crate::line::{Line, Way};
use crate::runner::{Family, hold};
use crate::scene::{Ground, Plan, Scene};
use crate::table::{ALL_END, Cell, DELIVERED, GOES_ON, Row, Stage};

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fails {
    Pauses,
    Cut,
    Dead,
}

const fn row(waiting: Cell, dialling: Cell, lost: Cell, drained: Cell) -> [Cell; 8] {
    [waiting, dialling, lost, lost, lost, lost, drained, lost]
}

impl Family for Fails {
    const NAME: &'static str = "The network";

    fn rows() -> Vec<Row<Fails>> {
        let untold: &[&str] = &["mqtt: ", "Connection refused", "next attempt in"];
        let refused: &[&str] = &["not reached: ", "Connection refused"];
        let unheard: &[&str] = &["mqtt: ", "no answer", "next attempt in"];
        let slow: &[&str] = &["not reached: ", "within 30 s"];
        let dead: &[&str] = &["WebSocket lost", "the link is dead: no pong"];
        vec![
            Row {
                fault: Fails::Pauses,
                name: "stands still for 3 s",
                cells: [GOES_ON; 8],
            },
            Row {
                fault: Fails::Cut,
                name: "is cut (RST, then refused)",
                cells: row(
                    ALL_END.says(untold),
                    ALL_END.says(refused),
                    ALL_END.says(refused),
                    DELIVERED.says(refused),
                ),
            },
            Row {
                fault: Fails::Dead,
                name: "stands still until that is noticed",
                cells: row(
                    ALL_END.says(unheard).within(55).back(30),
                    ALL_END.says(slow).within(40).back(30),
                    ALL_END.says(dead).within(55).back(30),
                    DELIVERED.says(dead).within(55).back(30),
                ),
            },
        ]
    }

    async fn plan(self, mut plan: Plan, _: Stage) -> Result<Plan, String> {
        let through = |at: &str| {
            let port = at.rsplit_once(':').and_then(|(_, port)| port.parse().ok());
            Line::new(([127, 0, 0, 1], port.expect("a port")).into())
        };
        let service = through(&plan.service_at);
        let broker = through(&plan.broker_at);
        plan.service_at = format!("localhost:{}", service.port());
        plan.broker_at = format!("localhost:{}", broker.port());
        plan.ground = Ground::Lines([service, broker]);
        Ok(plan)
    }

    fn cuts_the_source_off(self) -> bool {
        self == Fails::Dead
    }

    async fn strike(self, scene: &mut Scene, _: Stage) {
        match self {
            Fails::Pauses => {
                turn(scene, Way::Still);
                sleep(Duration::from_secs(3)).await;
                turn(scene, Way::Open);
            }
            Fails::Cut => turn(scene, Way::Cut),
            Fails::Dead => turn(scene, Way::Still),
        }
    }

    async fn mend(self, scene: &mut Scene, _: Stage) {
        turn(scene, Way::Open);
    }
}

fn turn(scene: &Scene, way: Way) {
    if let Ground::Lines(lines) = &scene.ground {
        for line in lines {
            line.turn(way);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_cell_holds() {
    hold::<Fails>().await;
}
