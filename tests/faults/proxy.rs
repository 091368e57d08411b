//! The HTTP proxy fails by which the gateway reaches service and broker.

use cell::held::HeldPort;
use cell::proxy::{Answer, Proxy, ProxyOptions};
use cell::service::Kill;

use crate::runner::{Family, hold};
use crate::scene::{Ground, Plan, Scene};
use crate::table::{ALL_END, Cell, DELIVERED, GOES_ON, Row, Stage};

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fails {
    Down,
    WantsLogin,
    Silent,
    Closes,
}

/// Where a connection is there the proxy is asked for nothing: so the link is cut as well.
const fn row(lost: Cell, drained: Cell) -> [Cell; 8] {
    [lost, GOES_ON, lost, lost, lost, lost, drained, lost]
}

impl Family for Fails {
    const NAME: &'static str = "The proxy";

    fn rows() -> Vec<Row<Fails>> {
        let down: &[&str] = &["not reached: ", "the proxy ", "Connection refused"];
        let untold: &[&str] = &["mqtt: ", "the proxy ", "Connection refused"];
        let login: &[&str] = &["not reached: ", "the proxy ", "HTTP 407: it wants a login"];
        let silent: &[&str] = &["not reached: ", "the proxy ", "did not answer within 15 s"];
        let closes: &[&str] = &["not reached: ", "the proxy ", "closed the connection"];
        let (lost, drained) = (ALL_END.says(down), DELIVERED.says(down));
        vec![
            Row {
                fault: Fails::Down,
                name: "goes away",
                cells: [
                    ALL_END.says(untold),
                    lost,
                    lost,
                    lost,
                    lost,
                    lost,
                    drained,
                    lost,
                ],
            },
            Row {
                fault: Fails::WantsLogin,
                name: "answers 407, and the link is cut",
                cells: row(ALL_END.says(login), DELIVERED.says(login)),
            },
            Row {
                fault: Fails::Closes,
                name: "closes in place of an answer, and the link is cut",
                cells: row(ALL_END.says(closes), DELIVERED.says(closes)),
            },
            Row {
                fault: Fails::Silent,
                name: "says nothing, and the link is cut",
                cells: row(
                    ALL_END.says(silent).within(25),
                    DELIVERED.says(silent).within(25),
                ),
            },
        ]
    }

    async fn plan(self, mut plan: Plan, _: Stage) -> Result<Plan, String> {
        let proxy = Proxy::start(ProxyOptions::default()).await;
        let proxy = proxy.expect("a free port");
        let url = format!("url = \"http://{}\"", proxy.address());
        plan.tables.push(("proxy", url));
        let held = HeldPort::new(proxy.address()).expect("its port");
        plan.ground = Ground::Proxy(held, Some(proxy));
        Ok(plan)
    }

    async fn strike(self, scene: &mut Scene, stage: Stage) {
        let Ground::Proxy(_, place) = &mut scene.ground else {
            return;
        };
        let proxy = place.as_ref().expect("it runs");
        match self {
            // With it go the connections that it carries.
            Fails::Down => {
                *place = None;
                return;
            }
            Fails::WantsLogin => proxy.answer(Answer::Head(
                "407 Proxy Authentication Required".to_owned(),
                vec!["Proxy-Authenticate: Basic realm=\"the plant\"".to_owned()],
            )),
            Fails::Closes => proxy.answer(Answer::Close),
            Fails::Silent => proxy.answer(Answer::Silence),
        }
        if stage.is_up() {
            let side = &scene.tunnel.destination;
            side.kill(Kill::Reset).expect("connected");
        }
    }

    async fn mend(self, scene: &mut Scene, _: Stage) {
        let Ground::Proxy(held, place) = &mut scene.ground else {
            return;
        };
        if let Some(proxy) = place {
            return proxy.answer(Answer::LetThrough);
        }
        let options = ProxyOptions {
            address: held.address(),
            ..ProxyOptions::default()
        };
        *place = Some(Proxy::start(options).await.expect("its port"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_cell_holds() {
    hold::<Fails>().await;
}
