//! The one timer of a tunnel: it sleeps once, until the next deadline of anything.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;

use tokio::time::{Sleep, sleep_until};

/// A timer that is only set anew when it would fire too late. One that fires early costs a turn of the loop;
/// setting it for every message would cost more.
pub(super) struct Clock {
    sleep: Pin<Box<Sleep>>,
    armed: Option<Instant>,
}

impl Clock {
    /// Not set yet.
    pub(super) fn new() -> Clock {
        Clock {
            sleep: Box::pin(sleep_until(tokio::time::Instant::now())),
            armed: None,
        }
    }

    /// The time, as the rules of the tunnel count it.
    pub(super) fn now() -> Instant {
        tokio::time::Instant::now().into_std()
    }

    /// Wakes the task at `deadline` at the latest. Ready if that is now.
    pub(super) fn poll_until(&mut self, deadline: Instant, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            if self.armed.is_none_or(|armed| armed > deadline) {
                if Clock::now() >= deadline {
                    // A timer that is set to what is past wakes the task once more.
                    return Poll::Ready(());
                }
                self.sleep.as_mut().reset(deadline.into());
                self.armed = Some(deadline);
            }
            if self.sleep.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            self.armed = None;
            if Clock::now() >= deadline {
                return Poll::Ready(());
            }
        }
    }
}
