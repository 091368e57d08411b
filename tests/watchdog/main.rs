//! Whoever watches the agent hears of it while it works, and only then; and a crash loop slows down.
//!
//! The service manager is a socket here, of the same protocol as systemd's. The real systemd and a real watchdog are in
//! the guests of tests/qemu.

#[path = "../stage/client.rs"]
mod client;
mod manager;
#[path = "../stage/mod.rs"]
mod stage;

mod crashes;
mod words;
