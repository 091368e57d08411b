//! What the system wants: to stop, or to read the routes again.

use log::{error, info, warn};

use super::gateway::Gateway;
use crate::config::{Config, Routes};
use crate::confine::landlock;

impl Gateway {
    /// SIGHUP: the routes are read again. Faulty ones are not taken.
    pub(super) fn reload(&mut self) {
        self.watchdog.reloading();
        if let Some(routes) = reload(&self.config) {
            self.take_routes(routes);
        }
        // Good or bad, it is over: a manager that waits for the word would take the agent for dead.
        self.watchdog.ready();
    }

    fn take_routes(&mut self, routes: Routes) {
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
            if let Some(reason) = landlock::outside(&routes) {
                error!("{}: not taken: {reason}", source.display());
                return None;
            }
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
