//! The real agent binary as a child process.
//!
//! Responsible for: its folder, arguments and environment ([`AgentBuilder`]), its log as something a test can wait on,
//! signals, its exit, and what `/proc` says about it ([`Agent`]); and the gateway on which it runs as a service: its
//! configuration file ([`Configuration`]), its folders, and the subcommands ([`Gateway`]).

mod builder;
mod configuration;
mod folder;
mod gateway;
mod process;
mod reference;

pub use builder::{AgentBuilder, under_test};
pub use configuration::Configuration;
pub use folder::Folder;
pub use gateway::{Finished, Gateway};
pub use nix::sys::signal::Signal;
pub use process::Agent;
pub use reference::reference;

pub(crate) use process::follow;
