//! The way to a WebSocket, and back from it when something interrupts.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;

use heapless::Deque;
use log::info;
use tokio::time::timeout;

use super::Tunnel;
use super::desk::Interrupt;
use super::down::Farewell;
use super::stop::say;
use crate::ledger::tunnel::TunnelState;
use crate::limits::{CLOSE_LIMIT, STOP_LIMIT};
use crate::link::dial::{DialError, Dialled, Stage, dial};
use crate::link::room::Room;
use crate::link::websocket::CloseCode;

impl Tunnel {
    /// Dials. One that is interrupted while the service answers the request may be up already for the service, so
    /// it is closed in order.
    pub(super) async fn dial(&mut self) -> Result<Result<Dialled, DialError>, Interrupt> {
        info!("{}: connecting to {}", self.name, self.setup.endpoint);
        self.enter(TunnelState::Dialling);
        let endpoint = self.setup.endpoint.clone();
        let way = Rc::clone(&self.setup.way);
        let tls = Arc::clone(&self.setup.tls);
        let access_token = Rc::clone(&self.setup.access_token);
        let client_token = Rc::clone(&self.setup.client_token);
        let room = self.take_room();
        let stage = Cell::new(Stage::Way);
        // Boxed: a TLS handshake is far larger than everything else that waits here.
        let mut dialling = Box::pin(dial(
            &way,
            &endpoint,
            tls,
            &access_token,
            &client_token,
            &room,
            &stage,
        ));
        let interrupt = match self.meanwhile(&mut dialling).await {
            Ok(dialled) => return Ok(dialled),
            Err(interrupt) => interrupt,
        };
        if stage.get() == Stage::WebSocket {
            let parting = Box::pin(async {
                if let Ok(Ok(Dialled { link, .. })) = timeout(CLOSE_LIMIT, dialling).await {
                    let code = CloseCode::Normal;
                    let outbox = Deque::new();
                    let _ = say(Farewell { link, outbox, code }).await;
                }
            });
            let _ = self.beside_relays(timeout(STOP_LIMIT, parting)).await;
        }
        Err(interrupt)
    }

    /// The tunnel's room: kept from link to link, but for a wide one that has become free.
    fn take_room(&mut self) -> Rc<Room> {
        if let Some(room) = &self.room
            && room.is_wide()
        {
            return Rc::clone(room);
        }
        let room = Rc::new(self.setup.rooms.take());
        self.room = Some(Rc::clone(&room));
        room
    }
}
