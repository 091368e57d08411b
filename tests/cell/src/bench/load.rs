//! A Kawasaki LOAD over paths of different length: KRterm waits for each block, so a transfer is blocks × round trip
//! at the least.

use std::io;
use std::time::Duration;

use super::options::Options;
use super::report::Report;
use crate::agent::AgentBuilder;
use crate::controller::{Controller, ControllerOptions};
use crate::engineer::{Engineer, Progress, chunk};
use crate::program::Program;
use crate::service::{Protocol, Service, ServiceOptions};
use crate::source::{Source, SourceOptions};
use crate::wire::Mode;

/// Bytes of the program: 528 blocks.
const SIZE: usize = 528 * chunk::KRTERM;

/// The same in a short run, on the long paths: 64 blocks.
const SIZE_SHORT: usize = 64 * chunk::KRTERM;

/// Round trips of the path, ms.
const PATHS: [u64; 3] = [0, 50, 150];

/// The agent connects in a few milliseconds, or does not.
const LIMIT: Duration = Duration::from_secs(20);

pub(super) async fn measure(options: &Options, report: &mut Report) -> io::Result<()> {
    // Once: it is a sum of hundreds of round trips anyway.
    for path in PATHS {
        let size = if options.short && path > 0 {
            SIZE_SHORT
        } else {
            SIZE
        };
        let program = Program::generate(42, size);
        let blocks = size.div_ceil(chunk::KRTERM);
        let name = format!("LOAD of {blocks} blocks, path of {path} ms");
        let took = through_tunnel(options, &program, path).await?;
        report.add("load", &name, "s", "agent", took.elapsed().as_secs_f64());
        let limit = if path == 0 {
            straight(&program).await?.elapsed().as_secs_f64()
        } else {
            blocks as f64 * path as f64 / 1e3
        };
        report.add("load", &name, "s", "limit", limit);
    }
    Ok(())
}

async fn through_tunnel(options: &Options, program: &Program, path: u64) -> io::Result<Progress> {
    let service = Service::start(ServiceOptions::default()).await?;
    let tunnel = service.open_tunnel(&["robot1"]);
    let controller = Controller::start(ControllerOptions::default()).await?;
    let binary = std::path::absolute(&options.agent)?;
    let routes = [("robot1", controller.address())];
    let _agent = AgentBuilder::for_tunnel(binary, &service, &tunnel, &routes)?.start()?;
    tunnel
        .wait_event(|event| event.is_connected(Mode::Destination), LIMIT)
        .await
        .map_err(io::Error::other)?;
    let source = SourceOptions::new(&service, &tunnel, Protocol::V3);
    let source = Source::connect(source).await.map_err(io::Error::other)?;
    // There and back.
    let delay = Duration::from_millis(path) / 2;
    tunnel.destination.switch(|switches| switches.delay = delay);
    load(source.address("robot1"), &controller, program).await
}

async fn straight(program: &Program) -> io::Result<Progress> {
    let controller = Controller::start(ControllerOptions::default()).await?;
    load(controller.address(), &controller, program).await
}

async fn load(
    address: std::net::SocketAddr,
    controller: &Controller,
    program: &Program,
) -> io::Result<Progress> {
    let mut engineer = Engineer::connect(address).await.map_err(io::Error::other)?;
    let loading = engineer.load(&program.name, &program.text, chunk::KRTERM, |_| {});
    let done = loading.await.map_err(io::Error::other)?;
    let held = controller.program(&program.name);
    if held.as_deref() != Some(&program.text[..]) {
        return Err(io::Error::other("the controller holds another program"));
    }
    engineer.close().await.map_err(io::Error::other)?;
    Ok(done)
}
