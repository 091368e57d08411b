//! What keeps the agent honest from outside: signals today; watchdog and clock sanity have their room here.

pub mod signals;
