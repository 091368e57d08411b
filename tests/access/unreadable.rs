//! A key switch that cannot be read.

use cell::journal::Mark;
use cell::service::ServiceOptions;

use crate::site::{Plan, connected_after};

/// With this key switch and these lines of `[access]` the tunnel is dialled, or waits.
async fn counts(switch: impl FnOnce(&Plan) -> String, lines: &str, on: bool) {
    let plan = Plan::new(ServiceOptions::default()).await;
    let switch = switch(&plan);
    let plan = plan.table("access", &format!("key-switch = \"{switch}\"\n{lines}"));
    let plan = plan.table("routes.robot1", "target = \"127.0.0.1:9\"");
    let site = plan.start().await;
    let word = if on {
        "it counts as on"
    } else {
        "it counts as off"
    };
    site.wait_log(&["access: the key switch", &switch, "cannot be read: ", word])
        .await;
    let tunnel = site.service.open_tunnel(&["robot1"]);
    site.open(&tunnel).await;
    let status = if on {
        connected_after(&tunnel, Mark::START).await;
        site.wait_state("up").await
    } else {
        let status = site.wait_state("waits for access").await;
        assert_eq!(tunnel.events().len(), 0, "it was dialled");
        status
    };
    assert_eq!(status["access"]["on"], on);
    let reason = status["access"]["reason"].as_str().unwrap_or_default();
    let closed = if on {
        "; not fail-closed"
    } else {
        "; fail-closed"
    };
    assert!(
        reason.contains("cannot be read") && reason.ends_with(closed),
        "{reason:?}"
    );
    site.end(&[&tunnel]);
}

/// Below a regular file there is nothing to look for: ENOTDIR.
fn below_a_file(plan: &Plan) -> String {
    let file = plan.gateway.folder().join("file");
    std::fs::write(&file, "").expect("a folder");
    file.join("remote-enabled").display().to_string()
}

/// No kernel numbers its chips so.
fn no_chip(_: &Plan) -> String {
    "gpiochip65000:17".to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_counts_as_the_configuration_says() {
    tokio::join!(
        counts(below_a_file, "", false),
        counts(below_a_file, "fail-closed = true", false),
        counts(below_a_file, "fail-closed = false", true),
        counts(no_chip, "", false),
        counts(no_chip, "fail-closed = true", false),
        counts(no_chip, "fail-closed = false", true),
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_can_be_read_again_counts() {
    let plan = Plan::new(ServiceOptions::default()).await;
    let switch = below_a_file(&plan);
    let plan = plan.table("access", &format!("key-switch = \"{switch}\""));
    let plan = plan.table("routes.robot1", "target = \"127.0.0.1:9\"");
    let site = plan.start().await;
    let tunnel = site.service.open_tunnel(&["robot1"]);
    site.open(&tunnel).await;
    site.wait_state("waits for access").await;
    let folder = site.gateway.folder().join("file");
    std::fs::remove_file(&folder).expect("it is there");
    std::fs::create_dir(&folder).expect("a folder");
    std::fs::write(folder.join("remote-enabled"), "").expect("a folder");
    connected_after(&tunnel, Mark::START).await;
    site.wait_log(&["can be read again"]).await;
    site.end(&[&tunnel]);
}
