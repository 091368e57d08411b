//! The MQTT broker fails. It tells of tunnels; those that are there do not need it.

use crate::runner::{Family, hold};
use crate::scene::{Scene, THING};
use crate::table::{ALL_END, Cell, GOES_ON, Row, Stage};

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fails {
    Down,
    Unavailable,
    LoginRefused,
    Resets,
    Silent,
}

/// Nobody hears of the tunnel at first; whoever has one does not feel it.
const fn row(untold: Cell, said: Cell) -> [Cell; 8] {
    [untold, said, said, said, said, said, said, said]
}

impl Family for Fails {
    const NAME: &'static str = "The MQTT broker";

    fn rows() -> Vec<Row<Fails>> {
        let down: &[&str] = &["mqtt: ", "Connection refused", "next attempt in"];
        let busy: &[&str] = &["mqtt: ", "(0x88", "next attempt in"];
        let refused: &[&str] = &["mqtt: ", "(0x87", "next attempt in"];
        let lost: &[&str] = &["mqtt: ", "next attempt in"];
        let dead: &[&str] = &["mqtt: ", "no answer", "next attempt in"];
        vec![
            Row {
                fault: Fails::Down,
                name: "is away",
                cells: row(ALL_END.says(down), GOES_ON.says(down)),
            },
            Row {
                fault: Fails::Unavailable,
                name: "cuts, and is not available (0x88)",
                cells: row(ALL_END.says(busy), GOES_ON.says(busy)),
            },
            Row {
                fault: Fails::LoginRefused,
                name: "cuts, and refuses the login (0x87)",
                cells: row(ALL_END.says(refused).back(75), GOES_ON.says(refused)),
            },
            Row {
                fault: Fails::Resets,
                name: "breaks off (RST)",
                cells: row(ALL_END.says(lost), GOES_ON.says(lost)),
            },
            Row {
                fault: Fails::Silent,
                name: "falls silent",
                cells: row(ALL_END.says(dead).within(55), GOES_ON.says(dead).within(55)),
            },
        ]
    }

    async fn strike(self, scene: &mut Scene, _: Stage) {
        match self {
            Fails::Down => scene.broker.stop().await,
            Fails::Unavailable => {
                scene.broker.switch(|turn| turn.refuse_connect = Some(0x88));
                scene.broker.kill(THING).expect("connected");
            }
            Fails::LoginRefused => {
                scene.broker.switch(|turn| turn.refuse_connect = Some(0x87));
                scene.broker.kill(THING).expect("connected");
            }
            Fails::Resets => scene.broker.kill(THING).expect("connected"),
            Fails::Silent => scene.broker.switch(|turn| turn.silence = true),
        }
    }

    async fn mend(self, scene: &mut Scene, _: Stage) {
        match self {
            Fails::Down => scene.broker.start_again().expect("its port"),
            Fails::Unavailable | Fails::LoginRefused => {
                scene.broker.switch(|turn| turn.refuse_connect = None);
            }
            Fails::Resets => {}
            Fails::Silent => scene.broker.switch(|turn| turn.silence = false),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_cell_holds() {
    hold::<Fails>().await;
}
