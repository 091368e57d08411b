//! How flags, file and environment become one [`Config`]: what wins, what conflicts, what lacks.

use std::ffi::OsString;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use log::LevelFilter;

use zeroize::Zeroizing;

use super::endpoint::{Endpoint, Endpoints, Given, choose};
use super::fault::{Faults, Misfit, Place, Warning, quoted};
use super::file::{self, Content, DEFAULT_FILE};
use super::flags::{self, Command, Flag, Flags};
use super::mapping;
use super::origin::{Origin, RoutesFrom};
use super::paths::RUNTIME;
use super::proxy::{self, Proxy};
use super::route::{Routes, Source};
use super::token::{ClientToken, parse_access_token};
use super::{Config, Start, help, roots};
use crate::secret::Secret;

/// The variables of the reference.
const ACCESS_TOKEN: &str = "AWSIOT_TUNNEL_ACCESS_TOKEN";
const CLIENT_TOKEN: &str = "AWSIOT_TUNNEL_CLIENT_TOKEN";
const ENDPOINT: &str = "AWSIOT_TUNNEL_ENDPOINT";
const REGION: &str = "AWSIOT_TUNNEL_REGION";

/// The variables of every program that knows proxies; the first that is set goes before the other.
const PROXIES: [&str; 2] = ["HTTPS_PROXY", "https_proxy"];
const EXCEPTS: [&str; 2] = ["NO_PROXY", "no_proxy"];

/// Every variable that [`Config::load`] asks for.
pub const VARIABLES: [&str; 8] = [
    ACCESS_TOKEN,
    CLIENT_TOKEN,
    ENDPOINT,
    REGION,
    PROXIES[0],
    PROXIES[1],
    EXCEPTS[0],
    EXCEPTS[1],
];

impl Config {
    /// Reads everything. `args` is the command line without the program's name; `env` gives the value
    /// of one of [`VARIABLES`] and is asked once for each, so that it may hand a token over and keep no copy.
    ///
    /// # Errors
    /// Every fault at once.
    pub fn load(
        args: impl Iterator<Item = OsString>,
        env: &mut dyn FnMut(&str) -> Option<OsString>,
    ) -> Result<Start, Faults> {
        let mut faults = Faults::none();
        match flags::parse(args, &mut faults) {
            Command::Help => Ok(Start::Help(help::HELP.to_owned())),
            Command::Version => Ok(Start::Version(help::VERSION.to_owned())),
            Command::Run(flags) => {
                let mut loader = Loader {
                    flags,
                    env,
                    faults,
                    warnings: Vec::new(),
                };
                let config = loader.config();
                let warnings = loader.warnings;
                let (config, access_token) = loader.faults.or(config)?;
                Ok(Start::Run {
                    config: Box::new(config),
                    access_token,
                    warnings,
                })
            }
        }
    }

    /// What [`reload`](Config::reload) reads: the folder or the file of the routes. Beside `-d` it is the
    /// file, whose `default` names one of its services; with `-d` alone there is nothing.
    pub fn routes_source(&self) -> Option<&Path> {
        match &self.origin.routes {
            RoutesFrom::Flag(_) => self.file.as_deref(),
            RoutesFrom::Folder(path) | RoutesFrom::File(path) => Some(path),
        }
    }

    /// Reads the routes again, from where they came from. Nothing else changes: endpoint,
    /// certificates and tokens take a restart. What is not wise about them is logged.
    ///
    /// # Errors
    /// Every fault of the file at once; the routes there are stay good.
    pub fn reload(&self) -> Result<Routes, Faults> {
        let mut faults = Faults::none();
        let mut warnings = Vec::new();
        let content = match &self.file {
            Some(path) => file::read(path, &mut faults, &mut warnings),
            None => Content::default(),
        };
        let routes = self.origin.routes(content, &mut faults, &mut warnings);
        let routes = faults.or(routes)?;
        for warning in warnings {
            log::warn!("{warning}");
        }
        Ok(routes)
    }
}

struct Loader<'e> {
    flags: Flags,
    env: &'e mut dyn FnMut(&str) -> Option<OsString>,
    faults: Faults,
    warnings: Vec<Warning>,
}

/// The access token, as far as flags and environment go.
enum Token {
    /// None, and none is needed.
    Nothing,
    /// A fault.
    Broken,
    /// This one.
    Given(Secret),
}

impl Loader<'_> {
    fn config(&mut self) -> Option<(Config, Option<Secret>)> {
        self.check_mode();
        let log_level = self.log_level();
        let bind = self.bind();
        let mut extra_roots = self.capath();
        let from_flags = self.endpoint_of_flags();
        let file = self.file();
        let token = self.access_token(file.is_some());
        let client_token = self.client_token(&token);

        let mut content = match &file {
            Some(path) => file::read(path, &mut self.faults, &mut self.warnings),
            None => Content::default(),
        };
        let from_file = std::mem::take(&mut content.endpoint);
        let endpoints = self.endpoints([from_flags, from_file], &content, &token);
        let proxy = self.proxy(&mut content);
        extra_roots.append(&mut content.extra_roots);
        let beside = std::mem::take(&mut content.beside);
        let thing = content.thing.take();
        let notify = content.notify.take();
        let access = std::mem::take(&mut content.access);
        let places = content.places;
        let watchdog = std::mem::take(&mut content.watchdog);
        let mut paths = std::mem::take(&mut content.paths);
        if paths.runtime.is_none() && (content.has_notify || matches!(token, Token::Nothing)) {
            paths.runtime = Some(PathBuf::from(RUNTIME));
        }
        let routes_from = self.routes_from(file.as_deref());

        let origin = Origin {
            routes: routes_from?,
            bind,
        };
        let routes = origin.routes(content, &mut self.faults, &mut self.warnings);
        let config = Config {
            thing,
            endpoints: endpoints?,
            extra_roots,
            routes: routes?,
            client_token,
            notify,
            proxy,
            access,
            places,
            paths,
            watchdog,
            log_level,
            file,
            beside,
            origin,
        };
        let access_token = match token {
            Token::Nothing => None,
            Token::Broken => return None,
            Token::Given(token) => Some(token),
        };
        Some((config, access_token))
    }

    fn check_mode(&mut self) {
        let Some((mode, place)) = self.flags.text(Flag::Mode, &mut self.faults) else {
            return;
        };
        let advice = match mode.as_str() {
            "dst" | "destination" => return,
            "src" | "source" => "cellgate is the destination side; for a source run localproxy",
            _ => "leave it out: cellgate is always the destination side",
        };
        let misfit = Misfit::new(quoted(&mode), "dst or destination", advice);
        self.faults.add(misfit.at(place));
    }

    fn log_level(&mut self) -> LevelFilter {
        let Some((text, place)) = self.flags.text(Flag::Verbose, &mut self.faults) else {
            return LevelFilter::Info;
        };
        let level = match text.parse::<u8>() {
            Ok(0) => Ok(LevelFilter::Off),
            // The reference has a level above error, fatal, that nothing here needs.
            Ok(1 | 2) => Ok(LevelFilter::Error),
            Ok(3) => Ok(LevelFilter::Warn),
            Ok(4) => Ok(LevelFilter::Info),
            Ok(5) => Ok(LevelFilter::Debug),
            Ok(6..) => Ok(LevelFilter::Trace),
            Err(_) => Err(Misfit::new(
                quoted(&text),
                "a number from 0 to 255",
                "4 is the usual, 6 shows everything",
            )),
        };
        let level = self.faults.keep(place, level);
        level.unwrap_or(LevelFilter::Info)
    }

    fn bind(&mut self) -> Option<Source> {
        let (text, place) = self.flags.text(Flag::Bind, &mut self.faults)?;
        let address = text.parse::<IpAddr>().map_err(|_| {
            Misfit::new(
                quoted(&text),
                "an IP address of this gateway",
                "for an interface write source = \"eth1\" in a route of cellgate.toml",
            )
        });
        self.faults.keep(place, address).map(Source::Address)
    }

    fn capath(&mut self) -> Vec<rustls::pki_types::CertificateDer<'static>> {
        match self.flags.path(Flag::CaPath) {
            Some(path) => roots::read(
                &path,
                &Flag::CaPath.place(),
                &mut self.faults,
                &mut self.warnings,
            ),
            None => Vec::new(),
        }
    }

    /// Without a file there is nothing but the tunnel of this token to live for.
    fn access_token(&mut self, has_file: bool) -> Token {
        let flag = self.flags.text(Flag::AccessToken, &mut self.faults);
        if let Some((_, place)) = &flag {
            self.warnings.push(Warning::new(format!(
                "{place}: the access token was visible to every user of this machine until now; \
                 prefer the variable {ACCESS_TOKEN}"
            )));
        }
        if let Some((text, place)) = flag.or_else(|| self.variable(ACCESS_TOKEN)) {
            let parsed = parse_access_token(Secret::new(text));
            let token = self.faults.keep(place, parsed);
            return token.map_or(Token::Broken, Token::Given);
        }
        let places = [Flag::AccessToken.place(), Place::Variable(ACCESS_TOKEN)];
        if places.iter().any(|place| self.faults.concern(place)) {
            return Token::Broken;
        }
        if has_file {
            return Token::Nothing;
        }
        // A --config without its file is a fault already.
        if !self.faults.concern(&Flag::Config.place()) {
            let misfit = Misfit::new(
                "no access token",
                "the destination access token of the tunnel",
                format!(
                    "set the variable {ACCESS_TOKEN}, or give -t; \
                     a service that waits for tunnels needs --config FILE"
                ),
            );
            self.faults.add(misfit.at(Place::Whole));
        }
        Token::Broken
    }

    fn client_token(&mut self, access_token: &Token) -> Option<ClientToken> {
        let flag = self.flags.text(Flag::ClientToken, &mut self.faults);
        let (text, place) = flag.or_else(|| self.variable(CLIENT_TOKEN))?;
        if matches!(access_token, Token::Nothing) {
            self.warnings.push(Warning::new(format!(
                "{place} is not used: it belongs to an access token, and none is given"
            )));
        }
        self.faults
            .keep(place, ClientToken::parse(Secret::new(text)))
    }

    fn endpoint_of_flags(&mut self) -> Given {
        let endpoint = self.flags.text(Flag::Endpoint, &mut self.faults);
        let region = self.flags.text(Flag::Region, &mut self.faults);
        let places = [Flag::Endpoint.place(), Flag::Region.place()];
        let given = choose(endpoint, region, &mut self.faults);
        // A flag without its value is a fault already.
        if given == Given::Nothing && places.iter().any(|place| self.faults.concern(place)) {
            return Given::Broken;
        }
        given
    }

    /// What the highest level that names an endpoint or a region says: flags, file, environment. Where none
    /// does, the broker's region is the tunnels' as well.
    fn endpoints(
        &mut self,
        levels: [Given; 2],
        file: &Content,
        token: &Token,
    ) -> Option<Endpoints> {
        let mut chosen: Option<(Endpoints, Place)> = None;
        for level in levels {
            match (level, &chosen) {
                (Given::Nothing, _) => {}
                (Given::Broken, _) => return None,
                (Given::Named(endpoints, place), None) => chosen = Some((endpoints, place)),
                (Given::Named(_, lower), Some((_, place))) => {
                    let text = format!("{lower} is not used: {place} goes before it");
                    self.warnings.push(Warning::new(text));
                }
            }
        }
        if let Some((endpoints, _)) = chosen {
            return Some(endpoints);
        }
        let endpoint = self.variable(ENDPOINT);
        let region = self.variable(REGION);
        match choose(endpoint, region, &mut self.faults) {
            Given::Named(endpoints, _) => return Some(endpoints),
            Given::Broken => return None,
            Given::Nothing => {}
        }
        let broker = file.notify.as_ref().map(|notify| &notify.endpoint);
        if let Some(region) = broker.and_then(Endpoint::region) {
            return Some(Endpoints::usual(Endpoint::of(&region)));
        }
        // Notifications and hand-overs name the region of their tunnel.
        if matches!(token, Token::Nothing) {
            return Some(Endpoints::default());
        }
        if !file.broken && (broker.is_some() || !file.has_notify) {
            let misfit = Misfit::new(
                "neither region nor endpoint",
                "one of them",
                "give -r, or region in [tunnel] of the file",
            );
            self.faults.add(misfit.at(Place::Whole));
        }
        None
    }

    /// The proxy of the file, or else of the environment.
    fn proxy(&mut self, file: &mut Content) -> Option<Proxy> {
        let [upper, lower] = PROXIES.map(|name| {
            let (url, place) = self.variable(name)?;
            Some((Zeroizing::new(url), place))
        });
        let [no_upper, no_lower] = EXCEPTS.map(|name| self.variable(name));
        let url = upper.or(lower);
        if let Some(place) = &file.proxy_place {
            if let Some((_, variable)) = url {
                let text = format!("{variable} is not used: {place} goes before it");
                self.warnings.push(Warning::new(text));
            }
            return file.proxy.take();
        }
        proxy::of_variables(url?, no_upper.or(no_lower), &mut self.faults)
    }

    /// The file to read: the one that was named, or the usual one if nothing says where to.
    fn file(&mut self) -> Option<PathBuf> {
        if let Some(named) = self.flags.path(Flag::Config) {
            return Some(named);
        }
        // One of these without its value is a fault already, and no reason to read another file.
        let silent = [Flag::Config, Flag::Destination, Flag::ConfigDir]
            .iter()
            .all(|flag| !self.flags.has(*flag) && !self.faults.concern(&flag.place()));
        silent.then(|| PathBuf::from(DEFAULT_FILE))
    }

    fn routes_from(&mut self, file: Option<&Path>) -> Option<RoutesFrom> {
        let folder = self.flags.path(Flag::ConfigDir);
        if let Some((text, place)) = self.flags.text(Flag::Destination, &mut self.faults) {
            if folder.is_some() {
                let folder = Flag::ConfigDir.place();
                let text =
                    format!("{folder} is not read: {place} goes before it, as in localproxy");
                self.warnings.push(Warning::new(text));
            }
            return mapping::parse(&text, &place, &mut self.faults).map(RoutesFrom::Flag);
        }
        match (folder, file) {
            (Some(folder), _) => Some(RoutesFrom::Folder(folder)),
            (None, Some(file)) => Some(RoutesFrom::File(file.to_owned())),
            (None, None) => None,
        }
    }

    /// A variable of the environment; an empty one counts as not set, as systemd units leave them.
    fn variable(&mut self, name: &'static str) -> Option<(String, Place)> {
        let value = (self.env)(name).filter(|value| !value.is_empty())?;
        let place = Place::Variable(name);
        let text = value
            .into_string()
            .map_err(|_| Misfit::new("a value that is no UTF-8", "text", "set it again"));
        let text = self.faults.keep(place.clone(), text)?;
        Some((text, place))
    }
}
