//! `cellgate.toml`: its tables, each read by a module of its own.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use zeroize::Zeroizing;

use super::access::{self, Access};
use super::document::{self, Table};
use super::endpoint::{Given, choose};
use super::fault::{Faults, Misfit, Place, Warning, shown};
use super::notify::{self, Notify};
use super::paths::{self, Paths};
use super::places::{self, Places};
use super::proxy::{self, Proxy};
use super::reading::{self, is_open_to_all};
use super::roots;
use super::route::{Route, check_name};
use super::routes;
use super::watchdog::{self, Watchdog};

/// The file that is read when the command line names neither a file nor targets.
pub(super) const DEFAULT_FILE: &str = "/etc/cellgate/cellgate.toml";

/// What a file says. Where a part of it is broken, `faults` have the reason.
#[derive(Default)]
pub(super) struct Content {
    pub(super) thing: Option<String>,
    pub(super) default: Option<(String, Place)>,
    pub(super) endpoint: Given,
    pub(super) extra_roots: Vec<CertificateDer<'static>>,
    /// The files that it names and that are read with it: certificates and the key.
    pub(super) beside: Vec<PathBuf>,
    /// The routes without a fault.
    pub(super) routes: Vec<Route>,
    /// The names of all routes.
    pub(super) names: Vec<String>,
    /// What connections of routes without a session of their own may take.
    pub(super) session: Option<Duration>,
    /// `[notify]` is there, whole or not.
    pub(super) has_notify: bool,
    pub(super) notify: Option<Notify>,
    pub(super) proxy: Option<Proxy>,
    /// Where `[proxy]` is, whole or not.
    pub(super) proxy_place: Option<Place>,
    pub(super) access: Access,
    pub(super) places: Places,
    pub(super) paths: Paths,
    pub(super) watchdog: Watchdog,
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
    // It may hold the password of a proxy.
    let text = Zeroizing::new(text);
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
    let has_thing = root.has("thing");
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
        routes::read(routes, &mut content, faults);
    }
    content.has_notify = root.has("notify");
    let place = root.place_of_key("notify");
    if let Some(notify) = root.table("notify", faults) {
        content.notify = notify::read(notify, &mut content.beside, faults, warnings);
    }
    if let (Some(place), false, true) = (place, has_thing, root.is_certain()) {
        faults.add(missing_thing().at(place));
    }
    if let Some(table) = root.table("proxy", faults) {
        content.proxy_place = Some(table.place());
        content.proxy = proxy::read(table, faults);
        warn_of_password(path, content.proxy.as_ref(), warnings);
    }
    if let Some(access) = root.table("access", faults) {
        (content.access, content.session) = access::read(access, faults);
    }
    if let Some(places) = root.table("places", faults) {
        content.places = places::read(places, faults);
    }
    if let Some(paths) = root.table("paths", faults) {
        content.paths = paths::read(paths, faults);
    }
    if let Some(watchdog) = root.table("watchdog", faults) {
        content.watchdog = watchdog::read(watchdog, faults);
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
        let path = PathBuf::from(path);
        content.extra_roots = roots::read(&path, &place, faults, warnings);
        content.beside.push(path);
    }
    table.finish(faults);
}

fn missing_thing() -> Misfit {
    Misfit::new(
        "no thing",
        "the name of the thing whose notifications are meant",
        "write thing = \"cell-0042\" at the top of the file",
    )
}

fn warn_of_password(path: &Path, proxy: Option<&Proxy>, warnings: &mut Vec<Warning>) {
    if proxy.is_some_and(|proxy| proxy.login.is_some()) && is_open_to_all(path) {
        warnings.push(Warning::new(format!(
            "{}: every user of this machine can read the proxy's password; `chmod o-rwx` the file",
            shown(path)
        )));
    }
}
