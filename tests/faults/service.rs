//! The tunnelling service fails. The source stays connected to it, as far as it is there.

use cell::service::{Kill, Refusal};

use crate::runner::{Family, hold};
use crate::scene::Scene;
use crate::table::{ALL_END, Cell, DELIVERED, Row, Stage};

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fails {
    Refuses,
    Unavailable,
    Closes,
    Resets,
    Ends,
    Nonsense,
    Silent,
    TunnelClosed,
}

const NOT_UP: Cell = Cell::No("there is no connection to the service");

/// The same for every stage in which the tunnel is up, after two cells of its own.
const fn up(first: Cell, dialling: Cell, lost: Cell, drained: Cell) -> [Cell; 8] {
    [first, dialling, lost, lost, lost, lost, drained, lost]
}

impl Family for Fails {
    const NAME: &'static str = "The service";

    fn rows() -> Vec<Row<Fails>> {
        let not_reached: &[&str] = &["not reached: ", "Connection refused"];
        let unavailable: &[&str] = &["not reached: ", "HTTP 503"];
        let closed: &[&str] = &["WebSocket lost", "(code 1001, \"going away\")"];
        let broke: &[&str] = &["WebSocket lost", "the connection to the service broke"];
        let nonsense: &[&str] = &["WebSocket lost", "what came is not the protocol"];
        let dead: &[&str] = &["WebSocket lost", "the link is dead: no pong"];
        let over: &[&str] = &["Tunnel is closed", "This token is never tried again"];
        let cut: &[&str] = &["not reached: "];
        vec![
            Row {
                fault: Fails::Refuses,
                name: "cuts, and refuses TCP",
                cells: up(
                    ALL_END.says(not_reached),
                    Cell::No("the dial has its TCP connection; see the rows below"),
                    ALL_END.says(not_reached),
                    DELIVERED.says(not_reached),
                ),
            },
            Row {
                fault: Fails::Unavailable,
                name: "cuts, and answers 503 twice",
                cells: up(
                    ALL_END.says(unavailable),
                    ALL_END.says(unavailable),
                    ALL_END.says(unavailable),
                    DELIVERED.says(unavailable),
                ),
            },
            Row {
                fault: Fails::Closes,
                name: "closes the WebSocket (1001)",
                cells: up(
                    NOT_UP,
                    Cell::No("there is no WebSocket yet"),
                    ALL_END.says(closed),
                    DELIVERED.says(closed),
                ),
            },
            Row {
                fault: Fails::Resets,
                name: "breaks off (RST)",
                cells: up(
                    NOT_UP,
                    ALL_END.says(cut),
                    ALL_END.says(broke),
                    DELIVERED.says(broke),
                ),
            },
            Row {
                fault: Fails::Ends,
                name: "ends TCP (FIN)",
                cells: up(
                    NOT_UP,
                    ALL_END.says(cut),
                    ALL_END.says(broke),
                    DELIVERED.says(broke),
                ),
            },
            Row {
                fault: Fails::Nonsense,
                name: "sends nonsense",
                cells: up(
                    NOT_UP,
                    ALL_END.says(&["not reached: ", "was no WebSocket handshake"]),
                    ALL_END.says(nonsense),
                    DELIVERED.says(nonsense),
                ),
            },
            Row {
                fault: Fails::Silent,
                name: "falls silent",
                cells: up(
                    NOT_UP,
                    ALL_END.says(&["not reached: ", "within 30 s"]).within(40),
                    ALL_END.says(dead).within(55),
                    DELIVERED.says(dead).within(55),
                ),
            },
            Row {
                fault: Fails::TunnelClosed,
                name: "closes the tunnel for good",
                cells: up(
                    ALL_END.says(over),
                    ALL_END.says(over),
                    ALL_END.says(over),
                    DELIVERED.says(over),
                ),
            },
        ]
    }

    fn arm(self, scene: &Scene, stage: Stage) -> bool {
        if stage != Stage::Dialling {
            return false;
        }
        let refuse = |count, refusal: Refusal| {
            scene.tunnel.destination.refuse_next(count, &refusal);
        };
        match self {
            Fails::Refuses | Fails::Closes => return false,
            Fails::Unavailable => refuse(2, Refusal::status(503)),
            Fails::Resets => refuse(1, Refusal::Cut(Kill::Reset)),
            Fails::Ends => refuse(1, Refusal::Cut(Kill::Fin)),
            Fails::Nonsense => refuse(1, Refusal::WrongAccept),
            Fails::Silent => refuse(1, Refusal::Hang),
            Fails::TunnelClosed => scene.tunnel.close(),
        }
        true
    }

    async fn strike(self, scene: &mut Scene, stage: Stage) {
        let side = &scene.tunnel.destination;
        let kill = |how| {
            if stage.is_up() {
                side.kill(how).expect("connected");
            }
        };
        match self {
            Fails::Refuses => {
                scene.service.stop_listening().await.expect("it listened");
                kill(Kill::Reset);
            }
            Fails::Unavailable => {
                side.refuse_next(2, &Refusal::status(503));
                kill(Kill::Reset);
            }
            Fails::Closes => side.close(1001, "going away").expect("connected"),
            Fails::Resets => kill(Kill::Reset),
            Fails::Ends => kill(Kill::Fin),
            // A frame of three bytes that are no message.
            Fails::Nonsense => side
                .send_bytes(vec![0, 3, 255, 255, 255])
                .expect("connected"),
            Fails::Silent => side.hush().expect("connected"),
            Fails::TunnelClosed => scene.tunnel.close(),
        }
    }

    async fn mend(self, scene: &mut Scene, _: Stage) {
        match self {
            Fails::Refuses => scene.service.listen_again().await.expect("its port"),
            Fails::TunnelClosed => scene.another_tunnel(),
            Fails::Unavailable
            | Fails::Closes
            | Fails::Resets
            | Fails::Ends
            | Fails::Nonsense
            | Fails::Silent => {}
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_cell_holds() {
    hold::<Fails>().await;
}
