//! What the system wants of the agent and gives to it: its signals, its clock.

pub mod clock;
pub mod signals;
