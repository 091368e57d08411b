//! An orderly end: resets to the source, what is queued to the controllers, FIN, WebSocket close.
//!
//! The link's TCP connection ends by FIN on both sides: one that is closed with unread bytes is reset by the
//! kernel, and what we said last may get lost with it.

use std::future::poll_fn;
use std::task::{Context, Poll};

use bytes::Bytes;
use heapless::Deque;
use log::{info, warn};
use tokio::time::error::Elapsed;
use tokio::time::timeout;

use super::desk::Why;
use super::down::Farewell;
use super::{Over, Tunnel};
use crate::ledger::tunnel::TunnelState;
use crate::limits::{CLOSE_LIMIT, HANG_UP_LIMIT, OUTBOX_MAX, STOP_LIMIT};
use crate::link::websocket::{CloseCode, Link, Lost};

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
        let close = say(farewell);
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

/// Sends what waits and the close, awaits the service's, and ends the connection. What became of the close; all
/// within [`CLOSE_LIMIT`] and [`HANG_UP_LIMIT`].
pub(super) async fn say(farewell: Farewell) -> Result<Result<(), Lost>, Elapsed> {
    let mut link = farewell.link;
    let said = timeout(
        CLOSE_LIMIT,
        exchange(&mut link, farewell.outbox, farewell.code),
    )
    .await;
    // However it went: what is still to come from the service is none of our business any more.
    let _ = timeout(HANG_UP_LIMIT, async {
        poll_fn(|cx| link.poll_finish(cx)).await?;
        poll_fn(|cx| link.poll_rest(cx)).await
    })
    .await;
    said
}

async fn exchange(
    link: &mut Link,
    outbox: Deque<Bytes, OUTBOX_MAX>,
    code: CloseCode,
) -> Result<(), Lost> {
    for frame in outbox {
        passing_over(link, Link::poll_ready).await?;
        link.send(&frame)?;
    }
    passing_over(link, Link::poll_ready).await?;
    link.close(code)?;
    passing_over(link, Link::poll_flush).await?;
    match passing_over(link, |_, _| Poll::Pending).await {
        Ok(()) | Err(Lost::Closed(_)) => Ok(()),
        Err(lost @ (Lost::Text | Lost::Fault(_) | Lost::Broken(_))) => Err(lost),
    }
}

/// Waits for something of the link, and passes over what comes meanwhile: a service that wants to be rid of its own
/// bytes first may read none of ours before.
async fn passing_over(
    link: &mut Link,
    mut wanted: impl FnMut(&mut Link, &mut Context<'_>) -> Poll<Result<(), Lost>>,
) -> Result<(), Lost> {
    poll_fn(|cx| {
        if let Poll::Ready(done) = wanted(link, cx) {
            return Poll::Ready(done);
        }
        while let Poll::Ready(received) = link.poll_receive(cx) {
            if let Err(lost) = received {
                return Poll::Ready(Err(lost));
            }
        }
        Poll::Pending
    })
    .await
}
