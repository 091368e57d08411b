//! The controllers' TCP ports: a connection as a stream would make it, closed at once by a FIN.

use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::Trial;
use super::agent::Agent;
use super::item::Item;
use crate::config::{Route, Routes};
use crate::limits::LINGER_LIMIT;
use crate::relay::connect::connect;
use crate::relay::gate::Gate;
use crate::relay::seat::Seats;

/// Bytes of a greeting that are read at a time, to be thrown away.
const GREETING: usize = 512;

/// One trial for each controller; routes to the same one share it, for some take one connection only.
pub(super) fn trials<'t>(routes: &Routes, agent: &'t Agent) -> Vec<Trial<'t>> {
    let mut kinds: Vec<(Arc<Route>, Vec<String>)> = Vec::new();
    for route in routes.iter() {
        let same = |kind: &&mut (Arc<Route>, Vec<String>)| {
            kind.0.target == route.target && kind.0.source == route.source
        };
        match kinds.iter_mut().find(same) {
            Some((_, names)) => names.push(route.name.clone()),
            None => kinds.push((Arc::clone(route), vec![route.name.clone()])),
        }
    }
    let trial = |(route, names): (Arc<Route>, Vec<String>)| -> Trial<'t> {
        Box::pin(async move { vec![tried(route, &names.join(", "), agent).await] })
    };
    kinds.into_iter().map(trial).collect()
}

async fn tried(route: Arc<Route>, names: &str, agent: &Agent) -> Item {
    let item = match names {
        "" => "target".to_owned(),
        names => format!("route {names}"),
    };
    let target = route.target.clone();
    match agent.uses(&target) {
        Some(true) => return Item::well(item, format!("{target}: in use by the running agent")),
        None => {
            let why = "not tried: an agent may be using it, and some controllers take one connection only";
            return Item::unknown(item, format!("{target}: {why}; see \"agent\""));
        }
        Some(false) => {}
    }
    // It is another process than the agent, and has seats of its own.
    let reached = connect(Arc::clone(&route), Gate::new(1), Seats::new());
    match Box::pin(reached).await {
        Ok(mut wire) => {
            close(&mut wire.stream).await;
            Item::well(item, format!("{target}: takes connections"))
        }
        Err(error) => Item::failed(item, format!("{target}: {error}")),
    }
}

/// Closes in order. What the controller greets with is read: closing over unread bytes would be a reset.
async fn close(stream: &mut TcpStream) {
    let _ = timeout(LINGER_LIMIT, async {
        if stream.shutdown().await.is_err() {
            return;
        }
        let mut greeting = [0; GREETING];
        while !matches!(stream.read(&mut greeting).await, Ok(0) | Err(_)) {}
    })
    .await;
}
