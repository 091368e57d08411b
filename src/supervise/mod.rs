//! What the system wants of the agent: its signals.

pub mod signals;
