//! cellgate

pub mod config;
pub mod limits;
pub mod logging;
pub mod secret;
