//! What the service manager hears.

use std::time::Duration;

use cell::agent::Signal;

use crate::manager::{Managed, TIMEOUT};
use crate::stage::LIMIT;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_is_ready_when_it_serves_and_says_how_it_is() {
    let (managed, service) = Managed::with_service().await;
    let mut agent = managed.gateway.start().expect("the agent");
    let heard = managed.hear_until("STATUS=", LIMIT);
    assert!(heard.contains(&"READY=1".to_owned()), "{heard:?}");
    assert_eq!(
        heard.last().map(String::as_str),
        Some("STATUS=0 of 4 places taken, 0 tunnels up, 0 streams; access on")
    );
    // It takes requests from then on.
    let status = managed.gateway.run(&["status"], b"").await.expect("runs");
    assert_eq!(status.code, Some(0), "{status:?}");
    let tunnel = service.open_tunnel(&["robot1"]);
    managed.open(&tunnel).await;
    managed.hear_until("STATUS=1 of 4 places taken, 1 tunnel up", LIMIT);
    agent.signal(Signal::SIGTERM).expect("it runs");
    let heard = managed.hear_until("STOPPING=1", LIMIT);
    assert!(
        heard.iter().all(|word| !word.contains("READY")),
        "{heard:?}"
    );
    assert_eq!(agent.wait_exit(LIMIT).await.expect("ends"), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reload_is_announced_and_ends_whether_the_file_is_good_or_bad() {
    let managed = Managed::new().await;
    let agent = managed.gateway.start().expect("the agent");
    managed.hear_until("READY=1", LIMIT);
    for text in [None, Some("this is no TOML")] {
        if let Some(text) = text {
            agent.write_file("cellgate.toml", text).expect("a file");
        }
        agent.signal(Signal::SIGHUP).expect("it runs");
        let heard = managed.hear_until("READY=1", LIMIT);
        let micros = heard
            .iter()
            .find_map(|word| word.strip_prefix("RELOADING=1\nMONOTONIC_USEC="));
        let micros: u64 = micros
            .and_then(|micros| micros.parse().ok())
            .unwrap_or_else(|| panic!("{heard:?}"));
        assert!(micros > 0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_network_is_no_hang() {
    let (managed, service) = Managed::with_service().await;
    let tunnel = service.open_tunnel(&["robot1"]);
    let _agent = managed.gateway.start().expect("the agent");
    managed.hear_until("READY=1", LIMIT);
    managed.open(&tunnel).await;
    managed.hear_until("1 tunnel up", LIMIT);
    drop(service);
    managed.hear_until("0 tunnels up", LIMIT);
    managed.forget();
    let signs = managed.signs_of_life(2 * TIMEOUT);
    assert!(signs >= 4, "{signs} signs of life in {:?}", 2 * TIMEOUT);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stopped_agent_is_silent_and_one_that_goes_on_is_innocent() {
    let managed = Managed::new().await;
    let mut agent = managed.gateway.start().expect("the agent");
    managed.hear_until("WATCHDOG=1", LIMIT);
    agent.signal(Signal::SIGSTOP).expect("it runs");
    tokio::time::sleep(Duration::from_millis(100)).await;
    managed.forget();
    assert_eq!(managed.signs_of_life(2 * TIMEOUT), 0);
    agent.signal(Signal::SIGCONT).expect("it runs");
    managed.hear_until("WATCHDOG=1", TIMEOUT);
    assert!(managed.signs_of_life(TIMEOUT) >= 2);
    assert!(agent.is_running().expect("a process"));
    let said = agent.log();
    assert!(
        !said.iter().any(|line| line.contains("error in cellgate")),
        "{said:?}"
    );
}
