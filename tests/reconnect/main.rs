//! Links that are lost: what is queued goes to the controllers, then FIN; the agent comes back with the same tokens,
//! never too fast, and not at all when its token is dead.

#[path = "../stage/client.rs"]
mod client;
#[path = "../stage/mod.rs"]
mod stage;

mod dead;
mod idle;
mod lost;
mod waits;

use std::time::Duration;

use cell::journal::Mark;
use cell::service::Event;
use cell::wire::Mode;

use crate::stage::Stage;

/// The last cap of the backoff that these tests meet is 2 s, so the link is back within this.
const BACK: Duration = Duration::from_secs(15);

/// The agent reconnects with the client token of its first handshake; the service checks the access token.
async fn comes_back(stage: &Stage, mark: Mark) {
    let first = stage.connected_after(Mark::START).await;
    let destination = |event: &Event| event.is_connected(Mode::Destination);
    let (again, _) = stage
        .tunnel
        .wait_event_after(mark, destination, BACK)
        .await
        .expect("it comes back");
    let token = |event: &Event| {
        let Event::Connected { client_token, .. } = event else {
            return None;
        };
        client_token.clone()
    };
    assert!(
        token(&first).is_some_and(|token| token.len() == 36),
        "a UUID of its own making"
    );
    assert_eq!(token(&again), token(&first));
    let refused = |event: &Event| matches!(event, Event::Rejected { status: 400.., .. });
    assert_eq!(stage.service.count_events(Mark::START, refused), 0);
}
