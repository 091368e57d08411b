//! The real agent binary as a child process.
//!
//! Responsible for: its folder, arguments and environment ([`AgentBuilder`]), its log as something a test can wait on,
//! signals, its exit, and what `/proc` says about it ([`Agent`]).

mod builder;
mod folder;
mod process;

pub use builder::AgentBuilder;
pub use folder::Folder;
pub use nix::sys::signal::Signal;
pub use process::Agent;
