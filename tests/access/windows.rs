//! Windows of the week, in the local time of the agent.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use cell::journal::Mark;
use cell::service::{Event, ServiceOptions};
use cell::target::{Behaviour, Target};
use cell::wire::{Kind, Message, Mode};

use crate::faked::Faked;
use crate::site::{Plan, connected_after};
use crate::stage::{LIMIT, is};

const HOUR: u64 = 3_600;

/// A window that begins `before` now and ends `after` it, in UTC.
fn around_now(before: i64, after: i64) -> String {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("a clock")
        .as_secs();
    let wall = |shift: i64| {
        let seconds = now.saturating_add_signed(shift);
        // 1970 began on a Thursday.
        let day =
            ["thu", "fri", "sat", "sun", "mon", "tue", "wed"][(seconds / (24 * HOUR) % 7) as usize];
        (
            day,
            format!("{:02}:{:02}", seconds / HOUR % 24, seconds / 60 % 60),
        )
    };
    let ((day, from), (_, until)) = (wall(-before), wall(after));
    format!("{day} {from}-{until}")
}

/// Whether a tunnel is dialled in this window, with this zone.
async fn is_dialled(window: &str, zone: &str, on: bool) {
    let plan = Plan::new(ServiceOptions::default()).await;
    let plan = plan.table("access", &format!("windows = [\"{window}\"]"));
    let plan = plan.table("routes.robot1", "target = \"127.0.0.1:9\"");
    let plan = plan.change(|gateway| gateway.build(|builder| builder.env("TZ", zone)));
    let site = plan.start().await;
    let tunnel = site.service.open_tunnel(&["robot1"]);
    site.open(&tunnel).await;
    if on {
        connected_after(&tunnel, Mark::START).await;
        site.wait_log(&["access: on: inside the windows: ", window])
            .await;
    } else {
        let status = site.wait_state("waits for access").await;
        let reason = status["access"]["reason"].as_str().unwrap_or_default();
        assert!(
            reason.starts_with(&format!("outside the windows: {window} (it is ")),
            "{reason}"
        );
        assert_eq!(tunnel.events().len(), 0, "it was dialled");
    }
    site.end(&[&tunnel]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn inside_it_is_dialled_and_outside_not() {
    let hour = 3_600;
    let now = around_now(hour, hour);
    let past = around_now(3 * hour, -hour);
    let future = around_now(-hour, 3 * hour);
    // A POSIX zone counts from the wall to UTC: IST is five and a half hours ahead.
    let ahead = around_now(-5 * hour, 6 * hour);
    tokio::join!(
        is_dialled(&now, "UTC0", true),
        is_dialled(&past, "UTC0", false),
        is_dialled(&future, "UTC0", false),
        is_dialled(&now, "IST-5:30", false),
        is_dialled(&ahead, "IST-5:30", true),
    );
}

/// The window closes at noon while somebody is in the cell.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_window_that_closes_ends_live_streams_in_order() {
    let Some(faked) = Faked::at("2026-12-01T11:59:55Z", "a window that closes") else {
        return;
    };
    let robot = Target::start(Behaviour::Echo).expect("a free port");
    let plan = Plan::new(ServiceOptions::default()).await;
    let plan = plan.table("access", "windows = [\"tue 07:00-12:00\"]");
    let plan = plan.route("robot1", robot.address(), "");
    let plan =
        plan.change(|gateway| gateway.build(|builder| faked.built(builder.env("TZ", "UTC0"))));
    let site = plan.start().await;
    let tunnel = site.service.open_tunnel(&["robot1"]);
    site.open_up(&tunnel).await;
    let mut source = site.raw(&tunnel).await;
    source
        .send_many(&[
            Message::stream_start(1, "robot1", 1),
            Message::data(1, "robot1", 1, "hello"),
        ])
        .await
        .expect("connected");
    source.expect(is(Kind::Data), LIMIT).await.expect("an echo");
    source
        .expect(is(Kind::StreamReset), LIMIT)
        .await
        .expect("noon");
    let record = robot.wait_ended(0, LIMIT).await.expect("it ends");
    assert!(record.ended_by_fin(), "{:?}", record.ended);
    let closed = |event: &Event| event.is_closed(Mode::Destination);
    tunnel
        .wait_event(closed, LIMIT)
        .await
        .expect("the WebSocket is closed");
    let line = site
        .gateway
        .wait_audit(|line| line["event"] == "access-off", Duration::from_secs(5))
        .await
        .expect("it is audited");
    assert_eq!(
        line["reason"],
        "outside the windows: tue 07:00-12:00 (it is Tue 12:00 UTC)"
    );
    let time = line["time"].as_str().unwrap_or_default();
    assert!(time.starts_with("2026-12-01T12:00:0"), "{time}");
    site.end(&[&tunnel]);
}
