//! The end of a WebSocket: what was received is handed out, and every connection finishes.

use std::task::Context;
use std::time::Instant;

use bytes::Bytes;

use super::Up;
use crate::protocol::session::Command;
use crate::protocol::streams::Slot;
use crate::tunnel::down::{Down, reason};

impl Up<'_> {
    /// Hands out what was received, and finishes every connection.
    pub(super) fn end_connections(&mut self, down: &Down, now: Instant, cx: &mut Context<'_>) {
        if let Some(held) = self.held.take() {
            self.deliver_last(held.slot, held.bytes, now, cx);
        }
        if !matches!(down, Down::Violation(_)) {
            self.hand_out_received(now, cx);
        }
        match down {
            Down::Stop(_) | Down::NoAccess => {
                self.parting = Some(down.to_string());
                self.session.handle_stop();
            }
            Down::Lost(_) | Down::Dead(_) | Down::Violation(_) => self.session.handle_link_lost(),
        }
        self.take_answers(now, cx);
    }

    /// What the controllers are owed of the last WebSocket message.
    fn hand_out_received(&mut self, now: Instant, cx: &mut Context<'_>) {
        while let Ok(Some(command)) = self.session.poll_command() {
            match command {
                Command::Deliver(slot, bytes) => self.deliver_last(slot, bytes, now, cx),
                Command::Finish(slot, why) => self.tunnel.relays.finish(slot, reason(why), now),
                // There is nobody to dial for, and nobody to answer.
                Command::Connect(_) | Command::Send(_) | Command::Declared | Command::Note(_) => {}
            }
        }
    }

    pub(super) fn deliver_last(
        &mut self,
        slot: Slot,
        bytes: Bytes,
        now: Instant,
        cx: &mut Context<'_>,
    ) {
        let may_overflow = self.tunnel.relays.may_overflow();
        if let Some(relay) = self.tunnel.relays.get(slot) {
            relay.deliver_last(bytes, may_overflow, now, cx);
        }
    }
}
