//! What the system wants: to stop, or to read the routes again.

use log::{error, info, warn};

use super::gateway::Gateway;
use crate::config::{Config, Routes};

impl Gateway {
    /// SIGHUP: the routes are read again. Faulty ones are not taken.
    pub(super) fn reload(&mut self) {
        let Some(routes) = reload(&self.config) else {
            return;
        };
        for place in &self.places {
            place.desk.replace_routes(routes.clone());
        }
        self.config.routes = routes;
    }
}

fn reload(config: &Config) -> Option<Routes> {
    let Some(source) = config.routes_source() else {
        warn!("asked to reload, but the routes came from -d alone: there is nothing to read again");
        return None;
    };
    match config.reload() {
        Ok(routes) => {
            info!("{}: routes read again", source.display());
            Some(routes)
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
