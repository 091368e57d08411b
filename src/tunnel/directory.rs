//! Which route a stream means: the owner's routes, the services the tunnel declares, and the gates.

use std::fmt;
use std::rc::Rc;
use std::sync::Arc;

use log::{info, warn};

use crate::config::{Route, Routes};
use crate::protocol::ids::ServiceId;
use crate::relay::gate::{Admission, Gates};

/// Why a stream has no way to a controller.
#[derive(Debug)]
pub enum NoWay {
    /// No route has the service's name.
    NoRoute,
    /// The source names no service, and no route is the default.
    NoDefault,
    /// The route has its limit of connections.
    Full {
        /// The route.
        route: Arc<Route>,
        /// Its limit.
        limit: u16,
    },
}

impl fmt::Display for NoWay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NoWay::NoRoute => write!(
                f,
                "refused: no route has this service's name; only configured targets are ever dialled"
            ),
            NoWay::NoDefault => write!(
                f,
                "refused: the source names no service (V1) and there is no single route; set `default`"
            ),
            NoWay::Full { route, limit: 1 } => write!(
                f,
                "target {}: refused: the route is exclusive (connections = 1) and somebody is connected",
                route.target
            ),
            NoWay::Full { route, limit } => write!(
                f,
                "target {}: refused: the route's limit of {limit} connections is reached",
                route.target
            ),
        }
    }
}

/// The owner's routes, as they are now.
pub struct Directory {
    routes: Routes,
    gates: Rc<Gates>,
}

impl Directory {
    /// `gates` are shared by all tunnels: a controller does not care which tunnel an engineer comes through.
    pub fn new(routes: Routes, gates: Rc<Gates>) -> Directory {
        Directory { routes, gates }
    }

    /// The owner changed the routes.
    pub fn replace(&mut self, routes: Routes) {
        self.routes = routes;
    }

    /// The route of a service, and a place at its gate. `service` is none for a V1 source, `declared` is what
    /// SERVICE_IDS told.
    ///
    /// # Errors
    /// Deny by default: why there is no way.
    pub fn admit(
        &self,
        service: Option<&ServiceId>,
        declared: Option<&[ServiceId]>,
    ) -> Result<(Arc<Route>, Admission), NoWay> {
        let route = match service {
            Some(service) => self.named(service, declared).ok_or(NoWay::NoRoute)?,
            None => self.unnamed(declared).ok_or(NoWay::NoDefault)?,
        };
        let gate = self.gates.of(&route.name, route.connections);
        match gate.admit() {
            Some(admission) => Ok((Arc::clone(route), admission)),
            None => Err(NoWay::Full {
                route: Arc::clone(route),
                limit: route.connections,
            }),
        }
    }

    /// Whether the owner's routes still have this one, with the same name and target.
    pub fn keeps(&self, route: &Route) -> bool {
        self.routes
            .iter()
            .any(|now| now.name == route.name && now.target == route.target)
    }

    /// Tells which of the tunnel's services will be served.
    pub fn log_declared(&self, tunnel: &str, declared: &[ServiceId]) {
        if declared.is_empty() {
            info!(
                "{tunnel}: the tunnel has no services; a source that names none reaches the default route"
            );
            return;
        }
        for service in declared {
            match self.named(service, Some(declared)) {
                Some(route) => info!(
                    "{tunnel} service {service}: served by target {}",
                    route.target
                ),
                None => warn!(
                    "{tunnel} service {service}: no route serves it; its streams will be refused. \
                     Add [routes.{service}] to the configuration"
                ),
            }
        }
    }

    fn named(&self, service: &ServiceId, declared: Option<&[ServiceId]>) -> Option<&Arc<Route>> {
        self.routes.by_name(service.as_str()).or_else(|| {
            // `-d 22`, the way of V1: one target, for whatever single service the tunnel has.
            let single = declared.is_none_or(|declared| declared.len() == 1);
            self.routes.any().filter(|_| single)
        })
    }

    fn unnamed(&self, declared: Option<&[ServiceId]>) -> Option<&Arc<Route>> {
        self.routes.default_route().or_else(|| match declared {
            Some([single]) => self.named(single, declared),
            Some(_) | None => None,
        })
    }
}
