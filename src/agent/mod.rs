//! The gateway: holds the tunnel, and passes on what the system wants.
//!
//! Is responsible for: making a tunnel of the configuration, and for signals while it lives.

use std::io;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use log::{error, info, warn};
use tokio::sync::mpsc;

use crate::config::{ClientToken, Config};
use crate::ledger::tunnel::Came;
use crate::ledger::{self, Ledger};
use crate::limits::{ORDERS_MAX, POOL_BLOCKS};
use crate::link::tls;
use crate::link::way::Way;
use crate::relay::gate::Gates;
use crate::relay::pool::Pool;
use crate::secret::Secret;
use crate::supervise::signals::{Signals, Wish};
use crate::tunnel::directory::Directory;
use crate::tunnel::order::Order;
use crate::tunnel::{Over, Setup, Tunnel};

/// Holds the tunnel of `access_token` until it is over.
///
/// # Errors
/// The system gives no signals or no random numbers, or TLS cannot be set up.
pub async fn run(mut config: Config, access_token: Option<Secret>) -> io::Result<Over> {
    let mut signals = Signals::listen()?;
    let client_token = match config.client_token.take() {
        Some(token) => token,
        None => ClientToken::random()
            .map_err(|_| io::Error::other("the system gives no random numbers"))?,
    };
    let access_token = access_token.ok_or_else(|| io::Error::other("no access token"))?;
    let ledger = Ledger::new(Rc::default());
    let name = ledger::name_of(&access_token);
    let (orders, receiver) = mpsc::channel(ORDERS_MAX);
    let tunnel = Tunnel::new(Setup {
        endpoint: config
            .endpoints
            .choose(None)
            .ok_or_else(|| io::Error::other("no endpoint"))?,
        entry: ledger.open_tunnel(name, Came::CommandLine, None, Instant::now()),
        way: Way::new(config.proxy.take(), &config.extra_roots).map_err(io::Error::other)?,
        tls: tls::client(&config.extra_roots).map_err(io::Error::other)?,
        access_token: Arc::new(access_token),
        client_token: Arc::new(client_token),
        directory: Directory::new(config.routes.clone(), Rc::new(Gates::default())),
        pool: Pool::new(POOL_BLOCKS),
        orders: receiver,
    });
    let mut life = pin!(Box::pin(tunnel.run()));
    loop {
        tokio::select! {
            over = &mut life => return Ok(over),
            wish = signals.next() => carry_out(wish, &config, &orders),
        }
    }
}

fn carry_out(wish: Wish, config: &Config, orders: &mpsc::Sender<Order>) {
    let order = match wish {
        Wish::Stop => {
            info!("asked to stop");
            Order::Stop
        }
        Wish::Reload => match reload(config) {
            Some(order) => order,
            None => return,
        },
    };
    if orders.try_send(order).is_err() {
        warn!("the tunnel is busy with earlier orders; this one is dropped");
    }
}

fn reload(config: &Config) -> Option<Order> {
    let Some(source) = config.routes_source() else {
        warn!("asked to reload, but the routes came from -d alone: there is nothing to read again");
        return None;
    };
    match config.reload() {
        Ok(routes) => {
            info!("{}: routes read again", source.display());
            Some(Order::Routes(routes))
        }
        Err(faults) => {
            for fault in faults.to_string().lines() {
                error!("{fault}");
            }
            error!(
                "{}: not taken; the routes stay as they were",
                source.display()
            );
            None
        }
    }
}
