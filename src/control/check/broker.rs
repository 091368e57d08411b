//! The MQTT broker: a running agent says how it stands with it, and only without one there is a login.

use super::agent::Agent;
use super::item::Item;
use super::service;
use crate::config::Config;
use crate::control::Status;
use crate::link::way::Way;
use crate::notify;
use crate::resolve;

const ITEM: &str = "MQTT login";

/// The login, or what the running agent says of it; nothing without `[notify]`.
pub(super) async fn tried(config: &Config, way: &Way, agent: &Agent) -> Vec<Item> {
    let Some(notify) = &config.notify else {
        return Vec::new();
    };
    let mut items = Vec::new();
    let found = service::name(
        &resolve::BROKER,
        "broker",
        way,
        &notify.endpoint,
        &mut items,
    )
    .await;
    let endpoint = &notify.endpoint;
    items.push(match (agent, &config.thing) {
        (Agent::Runs(status), _) => of_agent(status),
        (Agent::Unknown(_), _) => Item::unknown(
            ITEM,
            "not tried: an agent may run, and a second login would throw it out; see \"agent\"",
        ),
        (Agent::Absent, _) if !found => return items,
        (Agent::Absent, None) => Item::failed(ITEM, "there is no `thing` to log in as"),
        (Agent::Absent, Some(thing)) => match notify::probe::log_in(thing, notify, way).await {
            Ok(true) => Item::well(
                ITEM,
                format!("{endpoint}: logged in as {thing}; it knows this gateway"),
            ),
            Ok(false) => Item::well(
                ITEM,
                format!("{endpoint}: logged in as {thing}; it did not know this gateway before"),
            ),
            Err(why) => Item::failed(ITEM, format!("{endpoint}: {why}")),
        },
    });
    items
}

fn of_agent(status: &Status) -> Item {
    match &status.mqtt {
        Some(mqtt) if mqtt.connected => Item::well(
            ITEM,
            format!(
                "the running agent is connected to {} and subscribed",
                mqtt.endpoint
            ),
        ),
        Some(mqtt) => {
            let why = mqtt
                .last_error
                .as_deref()
                .unwrap_or("it has only just begun; check again");
            Item::failed(
                ITEM,
                format!(
                    "the running agent has no connection to {} ({}): {why}",
                    mqtt.endpoint, mqtt.state
                ),
            )
        }
        None => Item::failed(
            ITEM,
            "the running agent knows of no broker; restart it, so that it reads [notify]",
        ),
    }
}
