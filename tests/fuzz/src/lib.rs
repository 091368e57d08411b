//! What each fuzz target does with its input. A target panics when something that must hold does not.

pub mod configuration;
pub mod control;
pub mod frames;
pub mod handshake;
pub mod heap;
pub mod link;
mod model;
pub mod notification;
pub mod session;
