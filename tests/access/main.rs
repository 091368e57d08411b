//! The cell decides: key switch, windows, the greatest age and idle time of a connection, robots for one person.

mod ages;
mod exclusive;
#[path = "../clock/faked.rs"]
mod faked;
mod live;
mod site;
#[path = "../stage/mod.rs"]
mod stage;
mod switch;
mod unreadable;
mod windows;
