//! The DNS fails. Service, broker and robot have their addresses from it, and each of them for itself.

use cell::certs::{BROKER_NAME, TUNNEL_NAME};
use cell::service::Kill;

use crate::nameserver::{Nameserver, Says};
use crate::runner::{Family, hold};
use crate::scene::{Ground, Plan, Scene};
use crate::table::{ALL_END, Cell, DELIVERED, GOES_ON, Row, Stage, THIS_ENDS};

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fails {
    Silent,
    Failure,
    SilentAndCut,
    FailureAndCut,
}

impl Fails {
    fn cuts(self) -> bool {
        match self {
            Fails::Silent | Fails::Failure => false,
            Fails::SilentAndCut | Fails::FailureAndCut => true,
        }
    }
}

/// Whoever has an address asks for none.
const fn quiet(waiting: Cell, starting: Cell) -> [Cell; 8] {
    [
        waiting, GOES_ON, GOES_ON, starting, GOES_ON, GOES_ON, GOES_ON, GOES_ON,
    ]
}

const fn cut(lost: Cell, drained: Cell) -> [Cell; 8] {
    const ABOVE: Cell = Cell::No("there is no link to cut; see above");
    [ABOVE, ABOVE, lost, lost, lost, lost, drained, lost]
}

impl Family for Fails {
    const NAME: &'static str = "DNS";

    fn rows() -> Vec<Row<Fails>> {
        let silent: &[&str] = &["not reached: ", "its name ", "no answer within 5 s"];
        let failure: &[&str] = &["not reached: ", "its name ", "check the DNS server"];
        let robot: &[&str] = &["cannot reach the target", "its name ", "check the DNS"];
        // The thread of the resolver goes on asking for as long as the C library likes.
        let hung = ALL_END.says(silent).within(15).back(40);
        vec![
            Row {
                fault: Fails::Silent,
                name: "does not answer",
                cells: quiet(hung, THIS_ENDS.says(robot).within(15).back(40)),
            },
            Row {
                fault: Fails::Failure,
                name: "answers SERVFAIL",
                cells: quiet(ALL_END.says(failure), THIS_ENDS.says(robot).within(15)),
            },
            Row {
                fault: Fails::SilentAndCut,
                name: "does not answer, and the link is cut",
                cells: cut(hung, DELIVERED.says(silent).within(15).back(40)),
            },
            Row {
                fault: Fails::FailureAndCut,
                name: "answers SERVFAIL, and the link is cut",
                cells: cut(ALL_END.says(failure), DELIVERED.says(failure)),
            },
        ]
    }

    async fn plan(self, mut plan: Plan, _: Stage) -> Result<Plan, String> {
        let server = Nameserver::start().await?;
        let named = |at: &str, name: &str| {
            let port = at.rsplit_once(':').map_or(at, |(_, port)| port);
            format!("{name}:{port}")
        };
        plan.service_at = named(&plan.service_at, TUNNEL_NAME);
        plan.broker_at = named(&plan.broker_at, BROKER_NAME);
        plan.robot_at = named(&plan.robot_at, "robot1.cell.example");
        let mut plan = plan.build(|builder| server.asked_by(builder));
        plan.ground = Ground::Names(server);
        Ok(plan)
    }

    /// No attempt gets through whose address was there before the fault.
    fn keeps_refusing(self) -> bool {
        true
    }

    async fn strike(self, scene: &mut Scene, _: Stage) {
        turn(
            scene,
            match self {
                Fails::Silent | Fails::SilentAndCut => Says::Nothing,
                Fails::Failure | Fails::FailureAndCut => Says::Failure,
            },
        );
        if self.cuts() {
            let side = &scene.tunnel.destination;
            side.kill(Kill::Reset).expect("connected");
        }
    }

    async fn mend(self, scene: &mut Scene, _: Stage) {
        turn(scene, Says::Here);
        scene.robot.refuse(false).await.expect("its port");
    }
}

fn turn(scene: &Scene, says: Says) {
    if let Ground::Names(server) = &scene.ground {
        server.turn(says);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_cell_holds() {
    hold::<Fails>().await;
}
