//! The way to the tunnelling service: names, the proxy, TLS. No token is sent.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;

use rustls::pki_types::ServerName;
use tokio::io::AsyncWriteExt;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::item::Item;
use crate::config::{Config, Endpoint};
use crate::limits::{CLOSE_LIMIT, DIAL_LIMIT};
use crate::link::room::Room;
use crate::link::tls;
use crate::link::way::{ReachError, Reached, Way};
use crate::resolve::{self, Lane};

/// Addresses of a name that are shown.
const ADDRESSES_SHOWN: usize = 3;

/// The service as a tunnel would reach it.
pub(super) async fn tried(config: &Config, way: &Way) -> Vec<Item> {
    let Some(endpoint) = config.endpoints.choose(None) else {
        return vec![Item::well(
            "service",
            "each notification names its region; write `region` in [tunnel] to have it tried here",
        )];
    };
    let mut items = Vec::new();
    let found = name(&resolve::SERVICE, "service", way, &endpoint, &mut items).await;
    if !found {
        return items;
    }
    match way.reach(&resolve::SERVICE, &endpoint, &Room::link()).await {
        Ok(reached) => {
            if let Some(proxy) = way.proxy_for(&endpoint) {
                items.push(Item::well(
                    "proxy",
                    format!("{} lets us through to {endpoint}", proxy.endpoint),
                ));
            }
            items.push(handshake(config, &endpoint, reached).await);
        }
        Err(error) => {
            let item = match error {
                ReachError::Proxy(..) => "proxy",
                ReachError::Resolve(_) | ReachError::Tcp(_) => "service TCP",
            };
            items.push(Item::failed(item, format!("{endpoint}: {error}")));
        }
    }
    items
}

/// The name of a host, or of the proxy that resolves it for us; tells whether it has an address.
pub(super) async fn name(
    lane: &'static Lane,
    what: &str,
    way: &Way,
    endpoint: &Endpoint,
    items: &mut Vec<Item>,
) -> bool {
    let (what, asked) = match way.proxy_for(endpoint) {
        Some(proxy) => (format!("{what} proxy name"), &proxy.endpoint),
        None => (format!("{what} name"), endpoint),
    };
    match resolve::addresses(lane, &asked.host, asked.port).await {
        Ok(addresses) => {
            items.push(Item::well(
                what,
                format!("{} is {}", asked.host, listed(&addresses)),
            ));
            true
        }
        Err(error) => {
            items.push(Item::failed(
                what,
                format!("{}: its name {error}", asked.host),
            ));
            false
        }
    }
}

fn listed(addresses: &[SocketAddr]) -> String {
    let mut text = String::new();
    for (number, address) in addresses.iter().take(ADDRESSES_SHOWN).enumerate() {
        let comma = if number == 0 { "" } else { ", " };
        // Writing to a text does not fail.
        let _ = write!(text, "{comma}{}", address.ip());
    }
    match addresses.len().saturating_sub(ADDRESSES_SHOWN) {
        0 => {}
        more => {
            let _ = write!(text, " and {more} more");
        }
    }
    text
}

async fn handshake(config: &Config, endpoint: &Endpoint, reached: Reached) -> Item {
    const ITEM: &str = "service TLS";
    let Ok(name) = ServerName::try_from(endpoint.host.clone()) else {
        return Item::failed(
            ITEM,
            format!("{endpoint}: its name is not one that a certificate can carry"),
        );
    };
    let connector = match tls::client(&config.extra_roots) {
        Ok(client) => TlsConnector::from(Arc::clone(&client)),
        Err(error) => return Item::failed(ITEM, error.to_string()),
    };
    let shaking = Box::pin(connector.connect(name, reached.stream));
    match timeout(DIAL_LIMIT, shaking).await {
        Ok(Ok(mut stream)) => {
            // In order, so that no server logs a fault of ours.
            let _ = timeout(CLOSE_LIMIT, stream.shutdown()).await;
            Item::well(
                ITEM,
                format!("{endpoint}: its certificate is trusted and its own"),
            )
        }
        Ok(Err(error)) => Item::failed(ITEM, format!("{endpoint}: {}", tls::Failed(&error))),
        Err(_) => Item::failed(
            ITEM,
            format!(
                "{endpoint}: no TLS within {} s; check the uplink, and what answers in its place",
                DIAL_LIMIT.as_secs()
            ),
        ),
    }
}
