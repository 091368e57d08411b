//! The owner's word. File, drop-in flags and environment become ONE checked [`Config`]; nothing
//! later can fail on it.
//!
//! Is responsible for: reading and checking, and for saying every fault at once. It dials nothing
//! and starts nothing. docs/configuration.md is the reference for owners.

mod endpoint;
mod fault;
mod route;
mod target;
mod token;

use std::ffi::OsString;
use std::path::PathBuf;

use log::LevelFilter;
use rustls::pki_types::CertificateDer;

use crate::secret::Secret;

pub use endpoint::Endpoint;
pub use fault::{Fault, Faults, Place, Warning};
pub use route::{Route, Routes, Source};
pub use target::{Host, Target};
pub use token::ClientToken;

/// What the agent is to do, checked.
#[derive(Debug)]
pub struct Config {
    /// The thing's name, for the log.
    pub thing: Option<String>,
    /// The tunnelling service.
    pub endpoint: Endpoint,
    /// Certificates to trust beside the built-in roots; each can be a trust anchor.
    pub extra_roots: Vec<CertificateDer<'static>>,
    /// The targets that may be dialled, and no others.
    pub routes: Routes,
    /// The token of the tunnel.
    pub access_token: Option<Secret>,
    /// The client token to bring with it, if the owner gave one.
    pub client_token: Option<ClientToken>,
    /// How much is logged.
    pub log_level: LevelFilter,
    /// The file that was read, for SIGHUP.
    pub file: Option<PathBuf>,
}

/// What the command line asks for.
#[derive(Debug)]
pub enum Start {
    /// To run, and what is not wise about it.
    Run(Box<Config>, Vec<Warning>),
    /// To print this text and exit.
    Help(String),
    /// To print this text and exit.
    Version(String),
}

impl Config {
    /// Reads everything. `args` is the command line without the program's name, `env` the
    /// environment.
    ///
    /// # Errors
    /// Every fault at once.
    pub fn load(
        args: impl Iterator<Item = OsString>,
        env: &dyn Fn(&str) -> Option<OsString>,
    ) -> Result<Start, Faults> {
        let _ = (args, env);
        Err(Faults::none())
    }

    /// Reads the routes again.
    ///
    /// # Errors
    /// Every fault at once; the old routes stay good.
    pub fn reload(&self) -> Result<Routes, Faults> {
        Ok(self.routes.clone())
    }
}
