//! `cellgate.toml`: its keys, each checked.

use std::num::NonZeroU32;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustls::pki_types::CertificateDer;

use super::document::{self, Table};
use super::endpoint::{Given, choose};
use super::fault::{Faults, Misfit, Place, Warning, quoted};
use super::reading;
use super::roots;
use super::route::{CONNECTIONS_MAX, Route, Source, check_name};
use super::target::Target;
use crate::limits::{IDLE_BOUNDS, ROUTES_MAX, STALL_BOUNDS};

/// The file that is read when the command line names neither a file nor targets.
pub(super) const DEFAULT_FILE: &str = "/etc/cellgate/cellgate.toml";

/// What a file says. Where a part of it is broken, `faults` have the reason.
#[derive(Default)]
pub(super) struct Content {
    pub(super) thing: Option<String>,
    pub(super) default: Option<(String, Place)>,
    pub(super) endpoint: Given,
    pub(super) extra_roots: Vec<CertificateDer<'static>>,
    /// The routes without a fault.
    pub(super) routes: Vec<Route>,
    /// The names of all routes.
    pub(super) names: Vec<String>,
    /// Its syntax is broken, so that what seems to be missing may be there.
    pub(super) broken: bool,
}

/// Reads and checks the whole file.
pub(super) fn read(path: &Path, faults: &mut Faults, warnings: &mut Vec<Warning>) -> Content {
    let Some(text) = faults.keep(Place::Path(path.to_owned()), reading::read_text(path)) else {
        return Content {
            broken: true,
            ..Content::default()
        };
    };
    parse(path, &text, faults, warnings)
}

pub(super) fn parse(
    path: &Path,
    text: &str,
    faults: &mut Faults,
    warnings: &mut Vec<Warning>,
) -> Content {
    let mut content = Content::default();
    let mut root = document::parse(path, text, faults);
    if let Some((thing, place)) = root.text("thing", "cell-0042", faults) {
        let checked = check_name("thing name", &thing);
        content.thing = faults.keep(place, checked).map(|()| thing);
    }
    content.default = root.text("default", "robot1", faults);
    if root.has("tunnel") {
        content.endpoint = Given::Broken;
    }
    if let Some(tunnel) = root.table("tunnel", faults) {
        read_tunnel(tunnel, &mut content, faults, warnings);
    }
    if let Some(routes) = root.table("routes", faults) {
        read_routes(routes, &mut content, faults);
    }
    content.broken = !root.is_certain();
    root.finish(faults);
    content
}

fn read_tunnel(
    mut table: Table<'_>,
    content: &mut Content,
    faults: &mut Faults,
    warnings: &mut Vec<Warning>,
) {
    let said = table.has("endpoint") || table.has("region");
    let endpoint = table.text("endpoint", "localhost:8443", faults);
    let region = table.text("region", "eu-central-1", faults);
    content.endpoint = choose(endpoint, region, faults);
    if said && content.endpoint == Given::Nothing {
        content.endpoint = Given::Broken;
    }
    if let Some((path, place)) = table.text("ca", "/etc/cellgate/extra-ca.pem", faults) {
        content.extra_roots = roots::read(&PathBuf::from(path), &place, faults, warnings);
    }
    table.finish(faults);
}

fn read_routes(table: Table<'_>, content: &mut Content, faults: &mut Faults) {
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
    let connections = table.number("connections", 1..=u32::from(CONNECTIONS_MAX), faults);
    let stall = duration(&mut table, "stall", "10s", STALL_BOUNDS, faults);
    let idle = duration(&mut table, "idle", "8h", IDLE_BOUNDS, faults);
    let pace = table.number("pace", 1..=u32::MAX, faults);
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

fn duration(
    table: &mut Table<'_>,
    key: &'static str,
    example: &str,
    bounds: RangeInclusive<Duration>,
    faults: &mut Faults,
) -> Option<Duration> {
    let (text, place) = table.text(key, example, faults)?;
    let parsed = match humantime::parse_duration(&text) {
        Ok(duration) if bounds.contains(&duration) => Ok(duration),
        Ok(_) | Err(_) => {
            let (least, most) = bounds.into_inner();
            let least = humantime::format_duration(least);
            let most = humantime::format_duration(most);
            Err(Misfit::new(
                quoted(&text),
                format!("a duration from {least} to {most}"),
                format!("write a number with its unit, for example {key} = \"{example}\""),
            ))
        }
    };
    faults.keep(place, parsed)
}
