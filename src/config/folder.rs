//! `--config-dir`: the reference's folder of `.ini` maps, one `service=host:port` a line.
//!
//! The reference passes over files that it cannot read and takes the first of two targets in the
//! order of the disk. Here both are faults: nobody on site would find out which robot it was.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::fault::{Faults, Misfit, Place, Warning, quoted, shown, shown_key};
use super::mapping::parse_pair;
use super::reading;
use super::route::Route;
use super::routes::too_many;
use crate::limits::{MAP_DEPTH_MAX, MAP_ENTRIES_MAX, ROUTES_MAX};

/// Reads every regular file below `folder`.
pub(super) fn read(
    folder: &Path,
    flag: &Place,
    faults: &mut Faults,
    warnings: &mut Vec<Warning>,
) -> Vec<Route> {
    let mut files = Vec::new();
    let mut budget = MAP_ENTRIES_MAX;
    if let Err(misfit) = collect(folder, MAP_DEPTH_MAX, &mut budget, &mut files) {
        faults.add(misfit.at(flag.clone()));
        return Vec::new();
    }
    files.sort();
    let before = faults.len();
    let mut map = Map::default();
    for file in &files {
        let place = Place::Path(file.clone());
        if let Some(text) = faults.keep(place, reading::read_text(file)) {
            map.parse(file, &text, faults, warnings);
        }
    }
    if map.routes.is_empty() && faults.len() == before {
        let misfit = Misfit::new(
            format!(
                "no mapping in the {} files below {}",
                files.len(),
                shown(folder)
            ),
            "at least one line service=host:port",
            "add a file, for example cell.ini with the line robot1=192.168.0.2:23",
        );
        faults.add(misfit.at(flag.clone()));
    }
    if map.routes.len() > ROUTES_MAX {
        faults.add(too_many(map.routes.len()).at(flag.clone()));
    }
    map.routes
}

/// All regular files below a folder. Links to files are followed, links to folders are not.
fn collect(
    folder: &Path,
    depth: usize,
    budget: &mut usize,
    files: &mut Vec<PathBuf>,
) -> Result<(), Misfit> {
    let unreadable = |error: std::io::Error| {
        Misfit::new(
            format!("no content ({error})"),
            "a readable folder",
            "look at its path, owner and mode (`ls -ld`)",
        )
        .about(folder)
    };
    for entry in std::fs::read_dir(folder).map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        let kind = entry.file_type().map_err(unreadable)?;
        if *budget == 0 || (kind.is_dir() && depth == 0) {
            let misfit = Misfit::new(
                "more files or folders than a configuration has",
                format!("at most {MAP_ENTRIES_MAX}, in at most {MAP_DEPTH_MAX} levels"),
                "give the folder that holds nothing but mappings",
            );
            return Err(misfit.about(folder));
        }
        *budget -= 1;
        let path = entry.path();
        if kind.is_dir() {
            collect(&path, depth - 1, budget, files)?;
        } else if kind.is_file() || (kind.is_symlink() && path.is_file()) {
            files.push(path);
        }
    }
    Ok(())
}

/// The mappings found so far, and where each stood.
#[derive(Default)]
pub(super) struct Map {
    routes: Vec<Route>,
    places: HashMap<String, Place>,
}

impl Map {
    /// Reads one file as boost's `read_ini` does: comments with `;` or `#`, blanks trimmed.
    pub(super) fn parse(
        &mut self,
        file: &Path,
        text: &str,
        faults: &mut Faults,
        warnings: &mut Vec<Warning>,
    ) {
        let mut section = None;
        for (index, line) in text.lines().enumerate() {
            let line = line.trim();
            let number = index + 1;
            if line.is_empty() || line.starts_with([';', '#']) {
                continue;
            }
            if line.starts_with('[') {
                section = Some(number);
                warnings.push(Warning::new(format!(
                    "{}:{number}: the mappings of section {} are not read, as in localproxy",
                    shown(file),
                    quoted(line)
                )));
                continue;
            }
            if section.is_none() {
                self.parse_line(file, number, line, faults);
            }
        }
    }

    fn parse_line(&mut self, file: &Path, number: usize, line: &str, faults: &mut Faults) {
        let Some((service, target)) = line.split_once('=') else {
            let place = Place::Line {
                file: file.to_owned(),
                line: number,
                column: None,
                key: None,
            };
            let misfit = Misfit::new(
                quoted(line),
                "a line service=host:port",
                "write for example robot1=192.168.0.2:23; a comment starts with ;",
            );
            faults.add(misfit.at(place));
            return;
        };
        let service = service.trim();
        let place = Place::line(file, number, &shown_key(service));
        let Some(route) = parse_pair(service, target.trim(), &place, faults) else {
            return;
        };
        if let Some(first) = self.places.get(&route.name) {
            let misfit = Misfit::new(
                format!("this service a second time (first {first})"),
                "one target for each service",
                "keep the one that is right",
            );
            faults.add(misfit.at(place));
            return;
        }
        self.places.insert(route.name.clone(), place);
        self.routes.push(route);
    }
}
