//! Plain TCP targets in the place of controllers, for tests in which the bytes do not matter.
//!
//! Responsible for: a listener whose connections behave as told ([`Target`], [`Behaviour`]), a record of each
//! connection ([`Record`]), and addresses that do not answer ([`RefusingPort`], [`BlackHole`]).

mod absent;
mod behaviour;
mod listener;
mod record;

pub use absent::{BlackHole, RefusingPort};
pub use behaviour::{Behaviour, Then};
pub use listener::Target;
pub use record::{End, Record};
