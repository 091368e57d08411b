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

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use super::*;
    use crate::config::{Config, Start};

    /// Two routes, the first exclusive, and no default.
    const TWO: &str = "[routes.robot1]\ntarget = \"192.168.0.2:23\"\nconnections = 1\n\
                       [routes.robot2]\ntarget = \"192.168.0.3:23\"\n";

    fn routes_of(args: &[&str]) -> Routes {
        let all = ["-e", "localhost:1"].iter().chain(args);
        let mut env = |name: &str| {
            (name == "AWSIOT_TUNNEL_ACCESS_TOKEN").then(|| OsString::from("AQGAAXh-token"))
        };
        match Config::load(all.map(OsString::from), &mut env) {
            Ok(Start::Run { config, .. }) => config.routes,
            Ok(other) => panic!("{args:?}: {other:?}"),
            Err(faults) => panic!("{args:?}: {faults}"),
        }
    }

    /// The routes of a file; `test` names it, for tests run side by side.
    fn routes_in(test: &str, text: &str) -> Routes {
        let name = format!("cellgate-directory-{}-{test}.toml", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::write(&path, text).expect("a writable temporary folder");
        let routes = routes_of(&["--config", path.to_str().expect("a path in UTF-8")]);
        std::fs::remove_file(&path).expect("it was just written");
        routes
    }

    fn directory(routes: Routes) -> Directory {
        Directory::new(routes, Rc::default())
    }

    fn ids(names: &[&str]) -> Vec<ServiceId> {
        let id = |name: &&str| ServiceId::new(name).expect("a service ID");
        names.iter().map(id).collect()
    }

    /// Where a stream leads: a target, or the first words of why not. The place at the gate is free again.
    fn leads(directory: &Directory, service: &str, declared: Option<&[&str]>) -> String {
        let declared = declared.map(ids);
        match directory.admit(ServiceId::new(service).as_ref(), declared.as_deref()) {
            Ok((route, _admission)) => route.target.to_string(),
            Err(NoWay::NoRoute) => "no route".to_owned(),
            Err(NoWay::NoDefault) => "no default".to_owned(),
            Err(NoWay::Full { limit, .. }) => format!("full at {limit}"),
        }
    }

    #[test]
    fn a_service_leads_to_the_route_of_its_name_and_nowhere_else() {
        let directory = directory(routes_in("named", TWO));
        for declared in [None, Some(&["robot1", "robot2"][..])] {
            assert_eq!(leads(&directory, "robot1", declared), "192.168.0.2:23");
            assert_eq!(leads(&directory, "robot2", declared), "192.168.0.3:23");
            for stranger in ["robot3", "Robot1", "robot", "robot11"] {
                assert_eq!(leads(&directory, stranger, declared), "no route");
            }
        }
        // Alone in its tunnel or not: a file never has a route for any name.
        assert_eq!(leads(&directory, "robot3", Some(&["robot3"])), "no route");
    }

    #[test]
    fn a_bare_target_serves_a_single_service_and_no_two() {
        let directory = directory(routes_of(&["-d", "22"]));
        let target = "localhost:22";
        assert_eq!(leads(&directory, "ssh", Some(&["ssh"])), target);
        // SERVICE_IDS is still on its way.
        assert_eq!(leads(&directory, "ssh", None), target);
        for declared in [&["ssh", "web"][..], &["ssh", "web", "vnc"], &[]] {
            assert_eq!(leads(&directory, "ssh", Some(declared)), "no route");
        }
    }

    #[test]
    fn a_bare_target_serves_a_source_that_names_none() {
        let directory = directory(routes_of(&["-d", "22"]));
        for declared in [None, Some(&[][..]), Some(&["ssh"])] {
            assert_eq!(leads(&directory, "", declared), "localhost:22");
        }
    }

    #[test]
    fn the_default_is_for_a_source_that_names_none() {
        let text = format!("default = \"robot2\"\n{TWO}");
        let directory = directory(routes_in("default", &text));
        for declared in [None, Some(&[][..]), Some(&["robot1"])] {
            assert_eq!(leads(&directory, "", declared), "192.168.0.3:23");
        }
        assert_eq!(leads(&directory, "robot3", None), "no route");
    }

    #[test]
    fn a_single_route_is_the_default_of_itself() {
        let directory = directory(routes_of(&["-d", "robot1=192.168.0.2:23"]));
        for declared in [None, Some(&[][..]), Some(&["robot1"])] {
            assert_eq!(leads(&directory, "", declared), "192.168.0.2:23");
        }
        assert_eq!(leads(&directory, "robot2", Some(&["robot2"])), "no route");
    }

    #[test]
    fn without_a_default_the_only_declared_service_is_meant() {
        let directory = directory(routes_in("declared", TWO));
        let only = Some(&["robot2"][..]);
        assert_eq!(leads(&directory, "", only), "192.168.0.3:23");
        for declared in [
            None,
            Some(&[][..]),
            Some(&["robot1", "robot2"]),
            Some(&["robot3"]),
        ] {
            assert_eq!(leads(&directory, "", declared), "no default");
        }
    }

    #[test]
    fn an_exclusive_route_is_full_until_its_engineer_goes() {
        let directory = directory(routes_in("exclusive", TWO));
        let [robot1] = &ids(&["robot1"])[..] else {
            panic!("one");
        };
        let (_, admission) = directory.admit(Some(robot1), None).expect("it is free");
        let Err(refused) = directory.admit(Some(robot1), None) else {
            panic!("two engineers at one terminal");
        };
        let said = refused.to_string();
        assert!(said.contains("192.168.0.2:23"), "{said}");
        assert!(said.contains("exclusive"), "{said}");
        assert_eq!(leads(&directory, "robot1", None), "full at 1");
        assert_eq!(leads(&directory, "robot2", None), "192.168.0.3:23");
        drop(admission);
        assert_eq!(leads(&directory, "robot1", None), "192.168.0.2:23");
    }

    #[test]
    fn a_connection_is_kept_while_its_route_has_name_and_target() {
        let mut directory = directory(routes_in("before", TWO));
        let robot1 = Arc::clone(directory.routes.by_name("robot1").expect("a route"));
        let robot2 = Arc::clone(directory.routes.by_name("robot2").expect("a route"));
        assert!(directory.keeps(&robot1) && directory.keeps(&robot2));

        // The same target in another name, another target in the same name.
        let text = "[routes.robot9]\ntarget = \"192.168.0.2:23\"\n\
                    [routes.robot2]\ntarget = \"192.168.0.3:24\"\n";
        directory.replace(routes_in("moved", text));
        assert!(!directory.keeps(&robot1), "its name is gone");
        assert!(!directory.keeps(&robot2), "its port is another");

        let text = "[routes.robot1]\ntarget = \"192.168.0.2:23\"\nstall = \"3s\"\n";
        directory.replace(routes_in("after", text));
        assert!(directory.keeps(&robot1), "only its stall time is another");
        assert!(!directory.keeps(&robot2), "it is gone");
    }
}
