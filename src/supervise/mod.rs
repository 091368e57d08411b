//! What the system wants of the agent and gives to it: its signals, its clock, and whoever restarts it.

pub mod clock;
mod device;
pub mod heartbeat;
mod ioctl;
mod manager;
pub mod restarts;
pub mod signals;
pub mod watchdog;
