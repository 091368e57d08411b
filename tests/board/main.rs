//! The agent on a board of its own: a machine of QEMU with 64 MB, a kernel, BusyBox and the hardware watchdog i6300esb.
//! The cell around it is on this host: service, broker, source, controller.
//!
//! `tests/qemu/board` makes the image and names it in `CELL_BOARD`; without it nothing is run here.

mod full;
mod machine;
mod site;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::site::{BOOT, Site, TIMEOUT};

/// What the watchdog may be late: the machine is emulated.
const LATE: Duration = Duration::from_secs(4);

#[tokio::test(flavor = "multi_thread")]
async fn a_board_that_nobody_visits() {
    let Some(image) = std::env::var_os("CELL_BOARD").map(PathBuf::from) else {
        println!("SKIPPED: board: CELL_BOARD names no image; tests/qemu/board makes one");
        return;
    };
    let mut site = Site::start(&image).await;
    site.uploads("after the first boot").await;
    site.every_place_is_taken().await;
    site.uploads("after every place was taken").await;

    a_dead_network_is_no_hang(&mut site).await;
    an_orderly_stop_disarms(&mut site).await;
    a_killed_agent_is_started_again_in_time(&mut site).await;
    a_hang_in_the_middle_of_an_upload_resets(&mut site).await;
    nobody_starts_it_again(&mut site).await;
    a_real_line_is_a_key_switch(&mut site).await;
    site.end().await;
}

async fn a_dead_network_is_no_hang(site: &mut Site) {
    let (moment, mark) = (site.machine.moment(), site.machine.mark());
    let link = |up| json!({ "name": "nic", "up": up });
    site.machine.execute("set_link", link(false)).await;
    tokio::time::sleep(3 * TIMEOUT).await;
    site.machine.execute("set_link", link(true)).await;
    assert_eq!(site.machine.count(moment, "WATCHDOG"), 0);
    site.uploads("after 24 s without a network").await;
    assert_eq!(site.machine.lines(mark, "board: up"), Vec::<String>::new());
}

/// SIGTERM: the watchdog is disarmed by its magic close, and nobody starts the agent for three times its timeout.
async fn an_orderly_stop_disarms(site: &mut Site) {
    let (moment, mark) = (site.machine.moment(), site.machine.mark());
    site.machine
        .does("touch /run/stay-down; killall cellgate")
        .await;
    site.machine.says(mark, "agent ended with 0", BOOT).await;
    tokio::time::sleep(3 * TIMEOUT).await;
    assert_eq!(site.machine.count(moment, "WATCHDOG"), 0);
    site.comes_back_to_its_tunnel("rm /run/stay-down").await;
    site.uploads("after an orderly stop").await;
}

/// SIGKILL, and init starts the next within the timeout.
async fn a_killed_agent_is_started_again_in_time(site: &mut Site) {
    let moment = site.machine.moment();
    site.comes_back_to_its_tunnel("killall -KILL cellgate")
        .await;
    tokio::time::sleep(2 * TIMEOUT).await;
    assert_eq!(site.machine.count(moment, "WATCHDOG"), 0);
    site.uploads("after SIGKILL").await;
}

async fn a_hang_in_the_middle_of_an_upload_resets(site: &mut Site) {
    let moment = site.machine.moment();
    let mark = site.machine.mark();
    let hung = site.upload_that_hangs("killall -STOP cellgate").await;
    site.is_reset(moment, mark, hung, "SIGSTOP in the middle of an upload")
        .await;
    site.new_tunnel().await;
    site.uploads("after the reset").await;
}

/// SIGKILL, and init starts nobody: the machine does not stay without an agent.
async fn nobody_starts_it_again(site: &mut Site) {
    let moment = site.machine.moment();
    let mark = site.machine.mark();
    let order = "touch /run/stay-down; killall -KILL cellgate";
    site.machine.does(order).await;
    site.is_reset(moment, mark, Instant::now(), "SIGKILL and no restart")
        .await;
    site.new_tunnel().await;
    site.uploads("after the second reset").await;
}

/// The power button of the machine is line 3 of its PL061: QEMU holds it for a tenth of a second.
async fn a_real_line_is_a_key_switch(site: &mut Site) {
    let mark = site.machine.mark();
    let order = "printf '[access]\\nkey-switch = \"gpiochip0:3\"\\n' >>/etc/cellgate/cellgate.toml; \
                 killall cellgate";
    site.machine.does(order).await;
    site.machine.says(mark, "access: off", BOOT).await;
    let mark = site.machine.mark();
    site.machine.execute("system_powerdown", json!({})).await;
    site.machine.says(mark, "access: on", BOOT).await;
    site.machine.says(mark, "access: off", BOOT).await;
    println!("the key switch at gpiochip0:3 was seen on and off");
}

impl Site {
    /// The watchdog has reset the machine, in time; it comes back by itself and says why it went.
    async fn is_reset(
        &mut self,
        moment: cell::journal::Mark,
        mark: cell::journal::Mark,
        since: Instant,
        what: &str,
    ) {
        let waited = self.machine.event(moment, "WATCHDOG", TIMEOUT + LATE).await;
        let (at, _) = waited.expect("the watchdog resets the machine");
        let after = at.saturating_duration_since(since);
        let (_, event) = self
            .machine
            .event(moment, "RESET", LATE)
            .await
            .expect("a reset");
        assert_eq!(event["data"]["guest"], true, "{event}");
        self.machine.says(mark, "board: up", BOOT).await;
        let said = self.machine.says(mark, "last reset", BOOT).await;
        assert!(said.contains("the watchdog"), "{said}");
        self.subscribed_again().await;
        println!(
            "{what}: reset after {:.1} s, serving again after {:.1} s more; the agent says: {said}",
            after.as_secs_f64(),
            at.elapsed().as_secs_f64()
        );
    }
}
