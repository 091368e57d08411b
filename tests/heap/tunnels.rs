//! Ten thousand tunnels, one after the other in the four places: handed over, dialled, used and closed.

use cell::bench::service::Tunnel;

use crate::budget::{ONE_TUNNEL, hold, hold_back};
use crate::site::{SERVICES, Site};
use crate::targets::{Manner, Target};

/// Tunnels in all.
const TUNNELS: usize = 10_000;

/// What is made once is there behind these.
const FIRST: usize = 1_000;

/// Every one of them carries a byte to a controller and back.
pub(crate) async fn opened_and_closed() {
    let targets = SERVICES.map(|_| Target::start(Manner::Echo));
    let mut site = Site::start(targets.each_ref().map(Target::address), |file| file).await;
    site.meter.forget();
    let mut before = (0, site.handles());
    for opened in (0..TUNNELS).step_by(SERVICES.len()) {
        if opened == FIRST {
            site.empty().await;
            before = (site.settled().await, site.handles());
        }
        let mut open = Vec::new();
        for _ in SERVICES {
            open.push(site.open().await);
        }
        for ((_, tunnel), service) in open.iter_mut().zip(SERVICES) {
            used(tunnel, service).await;
        }
        for (name, _) in &open {
            site.close(name).await;
        }
        for (_, mut tunnel) in open {
            tunnel.ended().await;
        }
    }
    site.empty().await;
    let (heap, handles) = before;
    let after = site.handles_back_to(handles).await;
    let live = site.settled().await;
    let scene = format!("{TUNNELS} tunnels");
    hold(&scene, site.meter.count().peak, ONE_TUNNEL);
    hold_back(&format!("{scene}, behind the first {FIRST}"), heap, live);
    println!("heap: {scene}: {handles:?} before, {after:?} after");
    assert_eq!(handles, after);
    let carried: u64 = targets.iter().map(Target::received).sum();
    assert_eq!(carried, TUNNELS as u64);
    site.end();
}

async fn used(tunnel: &mut Tunnel, service: &'static str) {
    let stream = tunnel.open(service, 1).await.expect("up");
    tunnel.send(stream.data(0, "x")).await.expect("up");
    tunnel.receive(stream, 1).await.expect("the echo");
}
