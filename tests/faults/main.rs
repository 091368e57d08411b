//! Each thing that the gateway depends on fails before, during and behind each stage of its work, and each time the same
//! is asked: are the bytes right and on the right connection, does it end in its time, does the log say why, does it work
//! again afterwards?
//!
//! A family of faults is a file and a test. Its rows say what must hold ([`table`]); the runner ([`runner`]) brings a
//! gateway of its own to the stage of each cell ([`scene`], [`work`], [`transfer`]), lets the fault come and go, and holds the cell to
//! its word. `docs/faults.md` is written from the rows ([`report`]) and compared with them.
//!
//! `FAULTS=words` runs only the cells whose name has these words; `FAULTS_DOCS=write` writes the table anew.

#[path = "../stage/client.rs"]
mod client;
#[path = "../clock/faked.rs"]
mod faked;
#[path = "../audit/small.rs"]
mod small;
#[path = "../stage/mod.rs"]
mod stage;

mod line;
mod nameserver;
mod neighbour;
mod report;
mod runner;
mod scene;
mod table;
mod transfer;
mod work;

mod broker;
mod clock;
mod controller;
mod disk;
mod dns;
mod long;
mod memory;
mod network;
mod proxy;
mod service;
mod signals;
