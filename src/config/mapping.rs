//! The reference's way to say which service leads where: `svc=host:port,svc2=port`.

use super::fault::{Faults, Misfit, Place, quoted};
use super::route::{Route, check_name};
use super::routes::too_many;
use super::target::Target;
use crate::limits::ROUTES_MAX;

/// What `-d` said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Mapping {
    /// A target without a service: it serves the one service that the tunnel has.
    Bare(Target),
    /// Services and their targets.
    Named(Vec<Route>),
}

/// Reads the value of `-d`; every wrong item is a fault.
pub(super) fn parse(text: &str, place: &Place, faults: &mut Faults) -> Option<Mapping> {
    // Empty items are passed over, as the reference does.
    let items: Vec<&str> = text
        .split(',')
        .map(str::trim)
        .filter(|item| !item.is_empty())
        .collect();
    match items.as_slice() {
        [] => {
            faults.add(shape(text).at(place.clone()));
            return None;
        }
        [single] if !single.contains('=') => {
            return faults
                .keep(place.clone(), Target::parse_mapping(single))
                .map(Mapping::Bare);
        }
        [..] => {}
    }
    if items.len() > ROUTES_MAX {
        faults.add(too_many(items.len()).at(place.clone()));
        return None;
    }
    let before = faults.len();
    let mut routes: Vec<Route> = Vec::new();
    for item in items {
        let Some((service, target)) = item.split_once('=') else {
            faults.add(shape(item).at(place.clone()));
            continue;
        };
        let Some(route) = parse_pair(service.trim(), target.trim(), place, faults) else {
            continue;
        };
        if routes.iter().any(|other| other.name == route.name) {
            faults.add(twice(&route.name).at(place.clone()));
        }
        routes.push(route);
    }
    (faults.len() == before).then_some(Mapping::Named(routes))
}

/// One service and its target.
pub(super) fn parse_pair(
    service: &str,
    target: &str,
    place: &Place,
    faults: &mut Faults,
) -> Option<Route> {
    let name = faults.keep(place.clone(), check_name("service ID", service));
    let target = faults.keep(place.clone(), Target::parse_mapping(target));
    name.and(target)
        .map(|target| Route::to(service.to_owned(), target))
}

/// The fault of a service with two targets.
pub(super) fn twice(service: &str) -> Misfit {
    Misfit::new(
        format!("the service {} a second time", quoted(service)),
        "one target for each service",
        "keep the one that is right",
    )
}

fn shape(text: &str) -> Misfit {
    Misfit::new(
        quoted(text),
        "service=host:port, with commas between several, or one bare target",
        "write for example \"robot1=192.168.0.2:23,robot2=192.168.0.3:23\" or \"22\"",
    )
}
