//! The owner's word. File, drop-in flags and environment become ONE checked [`Config`]; nothing
//! later can fail on it.
//!
//! Is responsible for: reading and checking, and for saying every fault at once. It dials nothing
//! and starts nothing. docs/configuration.md is the reference for owners.

mod access;
mod document;
mod duration;
mod endpoint;
mod except;
mod fault;
mod file;
mod flags;
mod folder;
mod help;
mod identity;
mod load;
mod mapping;
mod notify;
mod origin;
pub mod paths;
mod places;
mod proxy;
mod reading;
mod region;
mod roots;
mod route;
mod routes;
mod target;
mod token;
mod watchdog;
mod window;

#[cfg(test)]
mod tests;

use std::path::PathBuf;

use log::LevelFilter;
use rustls::pki_types::CertificateDer;

use crate::secret::Secret;

pub use access::{Access, KeySwitch};
pub use endpoint::{Endpoint, Endpoints};
pub use except::Except;
pub use fault::{Fault, Faults, Place, Warning};
pub use identity::Identity;
pub use load::VARIABLES;
pub use notify::Notify;
pub use paths::{Paths, runtime_folder};
pub use places::Places;
pub use proxy::Proxy;
pub use region::Region;
pub use route::{Route, Routes, Source};
pub use target::{Host, Target};
pub use token::{ClientToken, is_access_token};
pub use watchdog::Watchdog;
pub use window::Window;

/// What the agent is to do, checked.
#[derive(Debug)]
pub struct Config {
    /// The thing's name, for the log.
    pub thing: Option<String>,
    /// The tunnelling service.
    pub endpoints: Endpoints,
    /// Certificates to trust beside the built-in roots; each can be a trust anchor.
    pub extra_roots: Vec<CertificateDer<'static>>,
    /// The targets that may be dialled, and no others. Never empty.
    pub routes: Routes,
    /// The client token to bring with it, if the owner gave one.
    pub client_token: Option<ClientToken>,
    /// The MQTT broker that tells of tunnels.
    pub notify: Option<Notify>,
    /// The way out.
    pub proxy: Option<Proxy>,
    /// When the cell lets anybody in.
    pub access: Access,
    /// How much at once.
    pub places: Places,
    /// What the agent writes.
    pub paths: Paths,
    /// The hardware that resets a machine whose agent hangs.
    pub watchdog: Watchdog,
    /// How much is logged.
    pub log_level: LevelFilter,
    /// The file that was read, if any.
    pub file: Option<PathBuf>,
    /// The files that it names and that are read with it: certificates and the key.
    pub beside: Vec<PathBuf>,
    /// Where the routes came from, for [`reload`](Config::reload).
    origin: origin::Origin,
}

/// What the command line asks for.
#[derive(Debug)]
pub enum Start {
    /// To run.
    Run {
        /// What to do.
        config: Box<Config>,
        /// The access token of a tunnel. With one and without `notify` the agent ends when its last tunnel
        /// is over; otherwise it waits for more of them.
        access_token: Option<Secret>,
        /// What is not wise about it.
        warnings: Vec<Warning>,
    },
    /// To print this text on standard output and exit with 0.
    Help(String),
    /// To print this text on standard output and exit with 0.
    Version(String),
}
