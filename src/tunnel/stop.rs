//! An orderly end: resets to the source, what is queued to the controllers, FIN, WebSocket close.

use std::future::poll_fn;

use log::{info, warn};
use tokio::time::timeout;

use super::desk::Why;
use super::down::Farewell;
use super::{Over, Tunnel};
use crate::ledger::tunnel::TunnelState;
use crate::limits::{CLOSE_LIMIT, STOP_LIMIT};
use crate::link::websocket::Lost;

impl Tunnel {
    /// Ends a tunnel whose link is down; what is queued is written out, within [`STOP_LIMIT`].
    pub(super) async fn stop(&mut self, why: Why) -> Over {
        self.enter(TunnelState::Ending);
        let drained = poll_fn(|cx| self.poll_drained(cx));
        if timeout(STOP_LIMIT, drained).await.is_err() {
            warn!(
                "{}: stopped before the controllers took everything: {why}",
                self.name
            );
        } else {
            info!("{}: stopped: {why}", self.name);
        }
        Over::Ended(why)
    }

    /// Sends the resets, closes the WebSocket, and lets the controllers take what is queued for them; all
    /// within [`STOP_LIMIT`].
    pub(super) async fn say_farewell(&mut self, farewell: Farewell, why: Why) {
        self.enter(TunnelState::Ending);
        let name = self.name.clone();
        let close = timeout(CLOSE_LIMIT, say(farewell));
        let both = async {
            let drained = poll_fn(|cx| self.poll_drained(cx));
            tokio::join!(close, drained)
        };
        match timeout(STOP_LIMIT, both).await {
            Ok((Ok(Ok(())), ())) => info!("{name}: stopped: {why}; the WebSocket is closed"),
            Ok((Ok(Err(lost)), ())) => info!("{name}: stopped: {why}; {lost}"),
            Ok((Err(_), ())) => {
                warn!("{name}: stopped: {why}; the service did not answer our close");
            }
            Err(_) => warn!("{name}: stopped before the controllers took everything: {why}"),
        }
    }
}

/// Sends what waits and the close, and awaits the service's; to be bounded by [`CLOSE_LIMIT`].
pub(super) async fn say(farewell: Farewell) -> Result<(), Lost> {
    let Farewell {
        mut link,
        outbox,
        code,
    } = farewell;
    for frame in outbox {
        poll_fn(|cx| link.poll_ready(cx)).await?;
        link.send(frame)?;
    }
    poll_fn(|cx| link.poll_ready(cx)).await?;
    link.close(code)?;
    poll_fn(|cx| link.poll_flush(cx)).await?;
    loop {
        match poll_fn(|cx| link.poll_receive(cx)).await {
            Ok(_) => {}
            Err(Lost::Closed(_)) => return Ok(()),
            Err(lost @ (Lost::Text | Lost::Broken(_))) => return Err(lost),
        }
    }
}
