//! Addresses that lead nowhere, beside one that answers.

use std::time::{Duration, Instant};

use cell::target::{Behaviour, BlackHole, RefusingPort, Target};
use cellgate::link::reach::reach;
use cellgate::link::room::Room;

#[tokio::test]
async fn an_address_that_does_not_answer_holds_nothing_up() {
    let hole = BlackHole::new().await.expect("a full queue");
    let refuses = RefusingPort::new().expect("a free port");
    let good = Target::start(Behaviour::Sink).expect("a free port");
    let start = Instant::now();
    let all = vec![hole.address(), refuses.address(), good.address()];
    let (_, address) = reach(all, &Room::link()).await.expect("the last");
    let took = start.elapsed();
    assert_eq!(address, good.address());
    assert!(
        took >= Duration::from_millis(250),
        "{took:?}: the first one has its time"
    );
    assert!(took < Duration::from_secs(2), "{took:?}");
}

#[tokio::test]
async fn all_addresses_are_named_when_none_answers() {
    let ports = [RefusingPort::new(), RefusingPort::new()].map(|port| port.expect("a free port"));
    let all = ports.iter().map(RefusingPort::address).collect();
    let failed = reach(all, &Room::link()).await;
    let said = failed.expect_err("nobody listens").to_string();
    for port in &ports {
        assert!(said.contains(&port.address().to_string()), "{said}");
    }
    assert_eq!(said.matches("refused").count(), 1, "said once: {said}");
}
