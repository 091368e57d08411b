//! `[routes]`: each with its controller.

use std::num::NonZeroU32;

use super::document::Table;
use super::duration;
use super::fault::{Faults, Misfit};
use super::file::Content;
use super::route::{CONNECTIONS_MAX, Route, Source, check_name};
use super::target::Target;
use crate::limits::{IDLE_BOUNDS, ROUTES_MAX, SESSION_BOUNDS, STALL_BOUNDS};

/// What `[routes]` says.
pub(super) fn read(table: Table<'_>, content: &mut Content, faults: &mut Faults) {
    let place = table.place();
    let tables = table.tables(faults);
    if tables.len() > ROUTES_MAX {
        faults.add(too_many(tables.len()).at(place));
    }
    for (name, place, table) in tables {
        content.names.push(name.clone());
        let named = faults.keep(place, check_name("service ID", &name));
        let route = read_route(table, name, faults);
        content.routes.extend(named.and(route));
    }
}

/// The fault of a number of routes past [`ROUTES_MAX`].
pub(super) fn too_many(routes: usize) -> Misfit {
    Misfit::new(
        format!("{routes} routes"),
        format!("at most {ROUTES_MAX}"),
        "delete those that no tunnel uses",
    )
}

fn read_route(mut table: Table<'_>, name: String, faults: &mut Faults) -> Option<Route> {
    if !table.has("target") && table.is_certain() {
        faults.add(missing_target().at(table.place_of("target")));
    }
    let target = table
        .text("target", "192.168.0.2:23", faults)
        .and_then(|(text, place)| faults.keep(place, Target::parse(&text)));
    let most = u32::from(CONNECTIONS_MAX);
    let connections = table.number("connections", 1..=most, most, faults);
    let stall = duration::read(&mut table, "stall", "10s", STALL_BOUNDS, faults);
    let idle = duration::read(&mut table, "idle", "8h", IDLE_BOUNDS, faults);
    let session = duration::read(&mut table, "session", "4h", SESSION_BOUNDS, faults);
    let pace = table.number("pace", 1..=u32::MAX, 4000, faults);
    let source = table
        .text("source", "eth1", faults)
        .and_then(|(text, place)| faults.keep(place, Source::parse(&text)));
    table.finish(faults);

    let mut route = Route::to(name, target?);
    if let Some(connections) = connections.and_then(|number| u16::try_from(number).ok()) {
        route.connections = connections;
    }
    route.stall = stall.unwrap_or(route.stall);
    route.idle = idle;
    route.session = session;
    route.pace = pace.and_then(NonZeroU32::new);
    route.source = source;
    Some(route)
}

fn missing_target() -> Misfit {
    Misfit::new(
        "nothing",
        "the address of the controller",
        "write target = \"192.168.0.2:23\"",
    )
}
