//! An agent that crashes again and again.

use std::time::{Duration, Instant};

use cell::agent::Signal;

use crate::manager::Managed;
use crate::stage::LIMIT;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_loop_slows_down_and_an_orderly_stop_forgets_it() {
    let managed = Managed::new().await;
    for crash in 0..2 {
        let began = Instant::now();
        let mut agent = managed.gateway.start().expect("the agent");
        managed.hear_until("READY=1", LIMIT);
        assert!(
            began.elapsed() < Duration::from_secs(2),
            "start {crash} waits"
        );
        agent.kill().await.expect("killed");
    }
    managed.forget();
    let began = Instant::now();
    let mut agent = managed.gateway.start().expect("the agent");
    let heard = managed.hear_until("READY=1", LIMIT);
    assert!(
        began.elapsed() >= Duration::from_secs(2),
        "the third start does not wait"
    );
    assert!(
        heard[0].starts_with("EXTEND_TIMEOUT_USEC=32000000\n"),
        "{heard:?}"
    );
    let why = "ended 2 times in a row before it had served for 60 s; it waits 2 s";
    assert!(
        agent.log().iter().any(|line| line.contains(why)),
        "{:?}",
        agent.log()
    );
    agent.signal(Signal::SIGTERM).expect("it runs");
    assert_eq!(agent.wait_exit(LIMIT).await.expect("ends"), 0);
    managed.forget();

    let began = Instant::now();
    let mut agent = managed.gateway.start().expect("the agent");
    managed.hear_until("READY=1", LIMIT);
    assert!(
        began.elapsed() < Duration::from_secs(2),
        "an orderly stop is no crash"
    );
    agent.kill().await.expect("killed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_is_heard_while_it_waits() {
    let managed = Managed::new().await;
    let runtime = managed.gateway.runtime();
    std::fs::write(runtime.join("restarts"), "9\n").expect("a file");
    let mut agent = managed.gateway.start().expect("the agent");
    managed.hear_until("EXTEND_TIMEOUT_USEC=90000000", LIMIT);
    agent.signal(Signal::SIGTERM).expect("it runs");
    assert_eq!(agent.wait_exit(LIMIT).await.expect("ends"), 0);
    assert!(!runtime.join("restarts").exists());
}
