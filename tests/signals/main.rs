//! SIGTERM and SIGINT end the agent in order and in time, whatever it is doing; SIGHUP reads the routes again.

#[path = "../stage/client.rs"]
mod client;
#[path = "../stage/mod.rs"]
mod stage;

mod reload;
mod stop;
