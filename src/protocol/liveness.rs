//! Is the link alive? When to ping, and when silence means death.
//!
//! The reference sends pings and never demands the pong. We demand a sign of life: without any frame
//! from the service for [`PONG_LIMIT`], the link is dead. Any frame counts, not the pong alone: behind a
//! large message on a slow link the pong comes late, and a link that delivers is not dead.

use std::time::{Duration, Instant};

use crate::limits::{PING_EVERY, PONG_LIMIT};

/// What the clock asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pulse {
    /// Nothing yet.
    Quiet,
    /// Send a ping now.
    Ping,
    /// Nothing came for this long: the link is dead.
    Dead(Duration),
}

/// The clock of one link.
pub struct Liveness {
    heard: Instant,
    ping_due: Instant,
    /// Since when the agent itself does not read the link, because a controller is slow.
    paused: Option<Instant>,
}

impl Liveness {
    /// For a link that came up `now`.
    pub fn new(now: Instant) -> Liveness {
        Liveness {
            heard: now,
            ping_due: now + PING_EVERY,
            paused: None,
        }
    }

    /// A frame of any kind came.
    pub fn handle_frame(&mut self, now: Instant) {
        self.heard = now;
    }

    /// The agent stops or resumes reading. Silence that we made ourselves does not count.
    pub fn handle_pause(&mut self, paused: bool, now: Instant) {
        match (self.paused, paused) {
            (None, true) => self.paused = Some(now),
            (Some(since), false) => {
                self.heard += now.saturating_duration_since(since);
                self.paused = None;
            }
            (None, false) | (Some(_), true) => {}
        }
    }

    /// What is due `now`. A [`Pulse::Ping`] is told once.
    pub fn poll(&mut self, now: Instant) -> Pulse {
        let silence = now.saturating_duration_since(self.heard);
        if self.paused.is_none() && silence >= PONG_LIMIT {
            return Pulse::Dead(silence);
        }
        if now >= self.ping_due {
            self.ping_due = now + PING_EVERY;
            return Pulse::Ping;
        }
        Pulse::Quiet
    }

    /// When to ask again, if nothing else happens.
    pub fn next_deadline(&self) -> Instant {
        match self.paused {
            Some(_) => self.ping_due,
            None => self.ping_due.min(self.heard + PONG_LIMIT),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn pings_every_20_s_and_dies_after_45_s_of_silence() {
        let start = Instant::now();
        let mut liveness = Liveness::new(start);
        assert_eq!(liveness.next_deadline(), start + 20 * SECOND);
        assert_eq!(liveness.poll(start + 19 * SECOND), Pulse::Quiet);
        assert_eq!(liveness.poll(start + 20 * SECOND), Pulse::Ping);
        assert_eq!(liveness.poll(start + 20 * SECOND), Pulse::Quiet);
        assert_eq!(liveness.poll(start + 40 * SECOND), Pulse::Ping);
        assert_eq!(liveness.next_deadline(), start + 45 * SECOND);
        assert_eq!(liveness.poll(start + 44 * SECOND), Pulse::Quiet);
        assert_eq!(liveness.poll(start + 45 * SECOND), Pulse::Dead(45 * SECOND));
    }

    #[test]
    fn a_frame_is_a_sign_of_life() {
        let start = Instant::now();
        let mut liveness = Liveness::new(start);
        liveness.handle_frame(start + 30 * SECOND);
        assert_eq!(liveness.poll(start + 60 * SECOND), Pulse::Ping);
        assert_eq!(liveness.poll(start + 75 * SECOND), Pulse::Dead(45 * SECOND));
    }

    #[test]
    fn our_own_pause_does_not_kill_the_link() {
        let start = Instant::now();
        let mut liveness = Liveness::new(start);
        liveness.handle_pause(true, start + 10 * SECOND);
        liveness.handle_pause(true, start + 20 * SECOND);
        assert_eq!(liveness.poll(start + 100 * SECOND), Pulse::Ping);
        liveness.handle_pause(false, start + 110 * SECOND);
        // 10 s of silence before the pause, none in it.
        assert_eq!(liveness.poll(start + 144 * SECOND), Pulse::Ping);
        assert_eq!(
            liveness.poll(start + 145 * SECOND),
            Pulse::Dead(45 * SECOND)
        );
    }
}
