//! From the start of the program to a tunnel that is up.

use std::io;
use std::time::{Duration, Instant};

use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;
use tokio::time::{sleep, timeout};

use super::options::Options;
use super::process::Process;
use super::report::Report;
use super::scene::{builder, of, tunnel};
use super::service::Service;
use super::targets::Targets;
use crate::agent::Folder;

const LIMIT: Duration = Duration::from_secs(20);

/// Starts of each, in a round that is short anyway.
const STARTS: usize = 5;

pub(super) async fn measure(options: &Options, report: &mut Report) -> io::Result<()> {
    let targets = Targets::start()?;
    let service = Service::start().await?;
    let folder = Folder::new("cell-bench")?;
    let ca = folder.write("ca.pem", &service.authority().ca_pem())?;
    let port = service.endpoint()?;
    let port = port.rsplit(':').next().unwrap_or_default().to_owned();
    for _ in 0..options.rounds * STARTS {
        let builder = builder(options, &service, &targets)?;
        let start = Instant::now();
        let agent = builder.start()?;
        let tunnel = timeout(LIMIT, service.accept()).await;
        let took = start.elapsed();
        drop((tunnel.map_err(io::Error::other)??, agent));
        add(report, "agent", took);

        let start = Instant::now();
        let mut child = Command::new(std::env::current_exe()?)
            .arg("dial")
            .arg(&ca)
            .arg(&port)
            .kill_on_drop(true)
            .spawn()?;
        let stream = timeout(LIMIT, service.accept_tls()).await;
        let took = start.elapsed();
        let mut stream = stream.map_err(io::Error::other)??;
        stream.write_u8(0).await?;
        stream.flush().await?;
        child.wait().await?;
        add(report, "limit", took);
    }
    Ok(())
}

fn add(report: &mut Report, way: &'static str, took: Duration) {
    let name = "start to tunnel up";
    report.add("start", name, "ms", way, took.as_secs_f64() * 1e3);
}

/// Wake-ups and time on a processor with a tunnel in which nothing happens.
pub(super) async fn measure_idle(options: &Options, report: &mut Report) -> io::Result<()> {
    let long = Duration::from_secs(if options.short { 20 } else { 120 });
    let targets = Targets::start()?;
    let service = Service::start().await?;
    let (agent, mut tunnel) = tunnel(options, &service, &targets).await?;
    let process: Process = of(&agent)?;
    // What a start leaves to be done.
    let _ = timeout(Duration::from_secs(2), tunnel.ended()).await;
    let (switches, cpu) = (process.switches()?, process.cpu()?);
    tokio::select! {
        () = sleep(long) => {}
        () = tunnel.ended() => return Err(io::Error::other("the idle tunnel ended")),
    }
    let seconds = long.as_secs_f64();
    let wakes = (process.switches()? - switches) as f64 / seconds;
    report.add("idle", "wake-ups with a tunnel up", "1/s", "agent", wakes);
    let cpu = (process.cpu()? - cpu).as_secs_f64() / seconds * 1e6;
    report.add("idle", "CPU with a tunnel up", "µs/s", "agent", cpu);
    Ok(())
}
