//! Back-pressure both ways, controllers that stand still, fairness, and what a route may ask for; the real agent
//! against the cell.

#[path = "../stage/client.rs"]
mod client;
#[path = "../stage/mod.rs"]
mod stage;

mod exclusive;
mod fair;
mod reach;
mod route;
mod slow;
mod slow_tunnel;
mod stall;
