//! An agent that was killed, or stopped, comes back to the tunnels it had: with the same tokens, by a file that only it
//! can have written.

#[path = "../stage/client.rs"]
mod client;
mod file;
#[path = "../notify/scene.rs"]
mod scene;
#[path = "../stage/mod.rs"]
mod stage;

mod age;
mod alone;
mod back;
mod foreign;
mod unheard;
