//! Where the routes come from, and how they become [`Routes`]; the same at start and at SIGHUP.

use std::path::PathBuf;

use super::fault::{Faults, Misfit, Place, Warning, quoted};
use super::file::Content;
use super::flags::Flag;
use super::folder;
use super::mapping::Mapping;
use super::route::{Route, Routes, Source};
use super::target::Target;

/// Where the routes come from.
#[derive(Clone, Debug)]
pub(super) struct Origin {
    /// What names services and targets.
    pub(super) routes: RoutesFrom,
    /// `-b`: it holds for all routes.
    pub(super) bind: Option<Source>,
}

/// One of the three ways to say which service leads where.
#[derive(Clone, Debug)]
pub(super) enum RoutesFrom {
    /// `-d`: nothing to read again.
    Flag(Mapping),
    /// `--config-dir`.
    Folder(PathBuf),
    /// The `[routes]` of this file.
    File(PathBuf),
}

impl Origin {
    /// The routes, with what the file adds to them.
    pub(super) fn routes(
        &self,
        file: Content,
        faults: &mut Faults,
        warnings: &mut Vec<Warning>,
    ) -> Option<Routes> {
        let (mut routes, names) = match &self.routes {
            RoutesFrom::File(path) => {
                if file.names.is_empty() && !file.broken {
                    faults.add(no_routes().at(Place::Path(path.clone())));
                }
                (file.routes, file.names)
            }
            RoutesFrom::Flag(mapping) => {
                refuse_both(&Flag::Destination.place(), &file.names, faults);
                match mapping {
                    Mapping::Bare(target) => return self.bare(target, file, faults),
                    Mapping::Named(routes) => (routes.clone(), names_of(routes)),
                }
            }
            RoutesFrom::Folder(folder) => {
                let place = Flag::ConfigDir.place();
                refuse_both(&place, &file.names, faults);
                let routes = folder::read(folder, &place, faults, warnings);
                let names = names_of(&routes);
                (routes, names)
            }
        };
        if let Some((default, place)) = &file.default
            && !file.broken
            && !names.is_empty()
            && !names.contains(default)
        {
            faults.add(dangling_default(default, &names).at(place.clone()));
        }
        for route in &mut routes {
            route.session = route.session.or(file.session);
            if let Some(bind) = &self.bind {
                route.source = Some(bind.clone());
            }
        }
        warn_of_shared_targets(&routes, warnings);
        let default = file.default.as_ref().map(|(name, _)| name.as_str());
        Some(Routes::named(routes, default))
    }

    fn bare(&self, target: &Target, file: Content, faults: &mut Faults) -> Option<Routes> {
        if let Some((name, place)) = file.default {
            faults.add(dangling_default(&name, &[]).at(place));
        }
        let mut route = Route::to(String::new(), target.clone());
        route.source = self.bind.clone();
        route.session = file.session;
        Some(Routes::bare(route))
    }
}

fn names_of(routes: &[Route]) -> Vec<String> {
    routes.iter().map(|route| route.name.clone()).collect()
}

fn no_routes() -> Misfit {
    Misfit::new(
        "no route",
        "at least one: only what has a route is ever dialled",
        "add [routes.robot1] with target = \"192.168.0.2:23\"",
    )
}

fn refuse_both(flag: &Place, names: &[String], faults: &mut Faults) {
    if let Some(name) = names.first() {
        let misfit = Misfit::new(
            format!("targets beside those of the file, such as {}", quoted(name)),
            "targets in one place",
            "leave the flag out, or delete [routes] from the file",
        );
        faults.add(misfit.at(flag.clone()));
    }
}

fn dangling_default(name: &str, names: &[String]) -> Misfit {
    let expected = if names.is_empty() {
        "no default: the one bare target of -d serves every source".to_owned()
    } else {
        let names = names.join(", ");
        format!("the name of a route: {}", names.escape_debug())
    };
    Misfit::new(
        quoted(name),
        expected,
        "name one of them, or delete the key",
    )
}

/// Two services of one controller are allowed, but exclusive they are only each for itself.
fn warn_of_shared_targets(routes: &[Route], warnings: &mut Vec<Warning>) {
    for (index, route) in routes.iter().enumerate() {
        let earlier = routes.iter().take(index);
        if let Some(other) = earlier.rev().find(|other| other.target == route.target) {
            warnings.push(Warning::new(format!(
                "the routes {} and {} both lead to {}; each counts its connections for itself",
                other.name, route.name, route.target
            )));
        }
    }
}
