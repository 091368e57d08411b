//! The agent as it is installed: the real unit and the shipped arm64 binary under systemd, in an emulated Debian; the
//! service, the broker, the source and the controllers are on this machine.
//!
//! One boot carries all checks, since it takes as long as they do. `tests/qemu/guest` makes image and binary and names
//! them in `CELL_GUEST` and `CELL_GUEST_AGENT`; without them there is nothing to run here.

mod crash;
mod full;
mod hang;
mod machine;
mod network;
mod plug;
mod scene;
mod shell;
mod unit;

use std::io::Write as _;
use std::path::PathBuf;
use std::time::Instant;

use crate::scene::Scene;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "it takes minutes, and an image that tests/qemu/guest makes"]
async fn the_agent_under_systemd() {
    let variable = |name: &str| std::env::var_os(name).map(PathBuf::from);
    let (Some(image), Some(agent)) = (variable("CELL_GUEST"), variable("CELL_GUEST_AGENT")) else {
        let _ = writeln!(
            std::io::stderr(),
            "SKIPPED: no image of the systemd guest is named in CELL_GUEST (tests/qemu/guest does it)"
        );
        return;
    };
    let mut clock = Clock(Instant::now());
    let scene = Scene::boot(&image, &agent).await;
    clock.done("the guest has booted");
    unit::starts(&scene).await;
    clock.done("the unit is up and confined");
    hang::stopped(&scene).await;
    clock.done("an agent that was stopped is restarted by its watchdog");
    hang::frozen(&scene).await;
    clock.done("so is one whose loop hangs in a write");
    crash::killed(&scene).await;
    clock.done("an agent that was killed is back");
    crash::again_and_again(&scene).await;
    clock.done("a crash loop slows down");
    crash::wrong_configuration(&scene).await;
    clock.done("a wrong configuration is no crash loop");
    network::poor(&scene).await;
    clock.done("an upload over a poor network");
    network::dead(&scene).await;
    clock.done("a dead network is no hang");
    full::silent(&scene).await;
    clock.done("256 controllers that take nothing stay within the unit's memory");
    full::talking(&scene).await;
    clock.done("so do 256 that also send without end, while nobody reads");
    plug::pulled(&scene).await;
    clock.done("the plug was pulled in the middle of an upload");
}

/// How long the pieces take. Said at once, since a stage that runs for minutes should tell where it is.
struct Clock(Instant);

impl Clock {
    fn done(&mut self, what: &str) {
        let seconds = self.0.elapsed().as_secs();
        let _ = writeln!(std::io::stderr(), "guest: {what}: {seconds} s");
        self.0 = Instant::now();
    }
}
