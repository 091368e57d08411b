//! What a round trip costs while others have connections open: services, connections and tunnels from one to all.

use std::io;
use std::time::Instant;

use super::gateway::Site;
use super::options::Options;
use super::report::{Report, median};
use super::targets::{Kind, Targets};
use super::way::exchange;

/// Services of a tunnel: as many as it can have.
const SERVICES: [&str; 8] = [
    "echo", "echo2", "echo3", "echo4", "echo5", "echo6", "echo7", "echo8",
];

/// Bytes of a round trip.
const SIZE: usize = 512;

/// What stands open: tunnels, services in each, connections of each service. A route has 64 for all tunnels together.
const STEPS: [(usize, usize, u32); 7] = [
    (1, 1, 1),
    (1, 1, 4),
    (1, 1, 16),
    (1, 1, 64),
    (1, 8, 8),
    (2, 8, 8),
    (4, 8, 8),
];

pub(super) async fn measure(options: &Options, report: &mut Report) -> io::Result<()> {
    let count = if options.short { 300 } else { 2_000 };
    let targets = Targets::start()?;
    let routes = SERVICES.map(|name| (name, targets.address(Kind::Echo)));
    for _ in 0..options.rounds {
        let mut first = None;
        for step in STEPS {
            let mut site = Site::start(options, &routes, "").await?;
            let (micros, cpu) = step_costs(&mut site, step, count).await?;
            let (tunnels, services, connections) = step;
            let name = format!("{tunnels} × {services} × {connections} open");
            let first = first.get_or_insert((micros, cpu));
            let what = format!("round trip, {name}");
            report.add("growth", &what, "µs", "agent", micros);
            report.add("growth", &what, "µs", "limit", first.0);
            let what = format!("CPU a round trip, {name}");
            report.add("growth", &what, "µs", "agent", cpu);
            report.add("growth", &what, "µs", "limit", first.1);
            let what = format!("RSS, {name}");
            let mebibytes = site.process.resident()? as f64 / 1024.0;
            report.add("growth", what, "MiB", "agent", mebibytes);
        }
    }
    Ok(())
}

/// Median and CPU of a round trip on the first connection, while the others are open and idle.
async fn step_costs(
    site: &mut Site,
    (tunnels, services, connections): (usize, usize, u32),
    count: usize,
) -> io::Result<(f64, f64)> {
    let mut streams = Vec::new();
    for place in 0..tunnels {
        site.open_tunnel().await?;
        for service in &SERVICES[..services] {
            let tunnel = &mut site.tunnels[place];
            let stream = tunnel.open(service, connections).await?;
            // Each connection is there when its last byte came back.
            for number in 0..connections {
                tunnel.send(stream.data(number, vec![1])).await?;
            }
            tunnel.receive(stream, u64::from(connections)).await?;
            streams.push(stream);
        }
    }
    let (tunnel, stream) = (&mut site.tunnels[0], streams[0]);
    for _ in 0..100 {
        exchange(tunnel, stream, SIZE).await?;
    }
    let cpu = site.process.cpu()?;
    let mut micros = Vec::with_capacity(count);
    for _ in 0..count {
        let start = Instant::now();
        exchange(tunnel, stream, SIZE).await?;
        micros.push(start.elapsed().as_secs_f64() * 1e6);
    }
    let cpu = site.process.cpu()? - cpu;
    Ok((median(&micros), cpu.as_secs_f64() * 1e6 / count as f64))
}
