//! The audit as somebody reads it afterwards: the lines of the file and of the log, what is in them and what never is.

mod bounds;
mod lines;
mod refusals;
#[path = "../access/site.rs"]
mod site;
mod small;
#[path = "../stage/mod.rs"]
mod stage;
mod tape;
