//! Resident memory: idle, with every place taken and everything full, and after.

use std::io;
use std::time::Duration;

use tokio::time::{sleep, timeout};

use super::gateway::Site;
use super::options::Options;
use super::process::Process;
use super::report::Report;
use super::targets::{Kind, Targets};

/// A service for each of the gateway's tunnels: a route has 64 connections for all of them together.
const SERVICES: [&str; 4] = ["silent1", "silent2", "silent3", "silent4"];

/// Connections of a tunnel: every place.
const CONNECTIONS: u32 = 64;

/// Bytes of a message while it is filled.
const PIECE: usize = 16_000;

/// Nothing went out for so long: it is full.
const FULL: Duration = Duration::from_secs(1);

/// More than this cannot find room anywhere.
const MOST: usize = 512 << 20;

pub(super) async fn measure(options: &Options, report: &mut Report) -> io::Result<()> {
    let targets = Targets::start()?;
    let routes = SERVICES.map(|name| (name, targets.address(Kind::Silent)));
    let mut site = Site::start(options, &routes, "stall = \"1h\"").await?;
    sleep(Duration::from_secs(1)).await;
    note(report, "no tunnel", site.process)?;
    for _ in SERVICES {
        site.open_tunnel().await?;
    }
    sleep(Duration::from_secs(1)).await;
    note(report, "4 tunnels, idle", site.process)?;

    let mut streams = Vec::new();
    for (tunnel, service) in site.tunnels.iter_mut().zip(SERVICES) {
        streams.push(tunnel.open(service, CONNECTIONS).await?);
    }
    sleep(Duration::from_secs(1)).await;
    let open = site.connections().await?;
    if open != 256 {
        return Err(io::Error::other(format!(
            "{open} of 256 connections are open"
        )));
    }
    note(report, "256 connections, idle", site.process)?;

    for (tunnel, stream) in site.tunnels.iter_mut().zip(&streams) {
        let mut sent = 0;
        'full: while sent < MOST {
            for number in 0..CONNECTIONS {
                let frame = stream.data(number, vec![7; PIECE]);
                let Ok(put) = timeout(FULL, tunnel.put(frame)).await else {
                    break 'full;
                };
                put?;
                sent += PIECE;
            }
        }
        if sent >= MOST {
            return Err(io::Error::other("the silent targets take everything"));
        }
    }
    sleep(Duration::from_secs(1)).await;
    note(report, "256 connections, everything full", site.process)?;

    targets.let_silent_read(true);
    for (tunnel, stream) in site.tunnels.iter_mut().zip(&streams) {
        timeout(Duration::from_secs(20), tunnel.flush()).await??;
        tunnel.end(*stream).await?;
    }
    sleep(Duration::from_secs(4)).await;
    let open = site.connections().await?;
    if open != 0 {
        return Err(io::Error::other(format!("{open} connections are left")));
    }
    note(report, "4 tunnels, after it", site.process)?;
    Ok(())
}

fn note(report: &mut Report, what: &str, process: Process) -> io::Result<()> {
    let mebibytes = |kibibytes: u64| kibibytes as f64 / 1024.0;
    let (resident, anonymous) = (process.resident()?, process.anonymous()?);
    let name = format!("RSS, {what}");
    report.add("memory", name, "MiB", "agent", mebibytes(resident));
    let name = format!("anonymous, {what}");
    report.add("memory", name, "MiB", "agent", mebibytes(anonymous));
    Ok(())
}
