//! The simulated cell: everything around the agent, for its tests and its demo.
//!
//! It is the *other side* of the agent, so it shares no code with it: an error of the agent must not be mirrored here.
//!
//! - [`service`]: the tunnelling service, stricter than the real one, with switches for faults; records what it saw.
//! - [`source`]: the source of a tunnel, with listening ports (V1, V2, V3) or as a bare WebSocket.
//! - [`agent`]: the real agent binary as a child process.
//! - [`controller`]: Kawasaki controllers; [`program`]: the AS programs in them; [`engineer`]: the terminal of a person.
//! - [`target`]: plain TCP targets; [`pattern`]: the bytes of transfers that are compared.
//! - [`wire`]: the messages and what a client may not send.
//! - [`certs`]: an authority and certificates, good and wrong.
//! - [`journal`]: the record that service, source and agent let a test wait on.

pub mod agent;
pub mod certs;
pub mod controller;
pub mod engineer;
pub mod journal;
pub mod pattern;
pub mod program;
pub mod service;
pub mod source;
pub mod target;
pub mod wire;
