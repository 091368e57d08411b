//! What the people of the cell ask a running agent, over its local socket, and what they get to see.
//!
//! Is responsible for: the socket and who may use it, the two ends of a request, the status in numbers and in
//! words, and the check of everything the agent depends on. It decides nothing: what is asked goes to the agent
//! as an [`Ask`], and the agent's answer goes back.

pub mod check;
pub mod client;
mod columns;
mod lock;
mod peer;
pub mod reply;
pub mod request;
pub mod server;
pub mod status;

pub use lock::BindError;
pub use reply::Reply;
pub use request::Request;
pub use server::{Ask, Server};
pub use status::Status;

#[cfg(test)]
mod tests;
