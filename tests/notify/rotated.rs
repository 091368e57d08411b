//! RotateTunnelAccessToken: the old token is dead, and the new one comes as any other.

use cell::journal::Mark;
use cell::notification::payload;
use cell::service::{Event, Kill};
use cell::wire::Mode;

use crate::scene::{Scene, THING, name, says, up, up_after};

/// The link is lost behind the rotation: the agent tries its old token once, and never again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_new_token_comes_when_the_old_one_is_dead() {
    let (scene, broker) = Scene::strict(1, |file| file.table("places", "tunnels = 1")).await;
    let agent = scene.start().await;
    let old = scene.tunnel(1);
    broker.notify(THING, &payload(&old)).expect("published");
    up(&old).await;
    let new = old.rotate(Mode::Destination);
    scene.transfer(&old, 1, 10_000).await;
    old.destination.kill(Kill::Reset).expect("connected");
    says(&agent, Mark::START, &[&name(&old), "never tried again"]).await;
    scene.wait_audit("tunnel-ended", &old).await;
    let mark = new.mark();
    broker.notify(THING, &payload(&new)).expect("published");
    up_after(&new, mark).await;
    scene.transfer(&new, 1, 10_000).await;
    let refused = |event: &Event| matches!(event, Event::Rejected { status: 400.., .. });
    assert_eq!(scene.service.count_events(Mark::START, refused), 1);
    scene.end(agent, &[&old, &new]);
}

/// The notification comes while the old connection is still up: the service closes that one, and its token is dead.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_new_token_comes_while_the_old_one_is_up() {
    let (scene, broker) = Scene::strict(1, |file| file).await;
    let agent = scene.start().await;
    let old = scene.tunnel(1);
    broker.notify(THING, &payload(&old)).expect("published");
    up(&old).await;
    let new = old.rotate(Mode::Destination);
    let mark = new.mark();
    broker.notify(THING, &payload(&new)).expect("published");
    up_after(&new, mark).await;
    scene.wait_audit("tunnel-ended", &old).await;
    scene.transfer(&new, 1, 10_000).await;
    assert_eq!(new.destination.traffic().connections, 2, "a fight");
    scene.end(agent, &[&old, &new]);
}
