//! Round trips and bulk, by the agent, by the bare loop, and straight; in turn, in each round.

use std::io;

use super::options::Options;
use super::report::{Report, median, quantile};
use super::scene::Scene;
use super::way::Way;

/// Bytes a round trip: a key, a block of KRterm, a block of KIDE.
const SIZES: [usize; 3] = [1, 512, 2960];

/// Connections of a bulk transfer.
const CONNECTIONS: [u32; 2] = [1, 16];

/// One group of the report.
const GROUP: &str = "relay";

pub(super) async fn measure(options: &Options, report: &mut Report) -> io::Result<()> {
    let (count, total) = if options.short {
        (400, 60 << 20)
    } else {
        (3_000, 300 << 20)
    };
    let mut scene = Scene::start(options).await?;
    for round in 0..options.rounds {
        for size in SIZES {
            round_trips(&mut scene, round, size, count, report).await?;
        }
        for connections in CONNECTIONS {
            bulk(&mut scene, round, connections, total, report).await?;
        }
    }
    Ok(())
}

async fn round_trips(
    scene: &mut Scene,
    round: usize,
    size: usize,
    count: usize,
    report: &mut Report,
) -> io::Result<()> {
    let mut figures = Vec::new();
    for place in order(round) {
        let way = &mut scene.ways[place];
        let times = way.round_trips(&scene.targets, size, count).await?;
        let micros: Vec<f64> = times.iter().map(|time| time.as_secs_f64() * 1e6).collect();
        figures.push((way.name(), median(&micros), quantile(&micros, 0.99)));
    }
    let mut straight = 0.0;
    for &(way, p50, p99) in &figures {
        report.add(GROUP, format!("round trip {size} B, p50"), "µs", way, p50);
        report.add(GROUP, format!("round trip {size} B, p99"), "µs", way, p99);
        if way == "straight" {
            straight = p50;
        }
    }
    // Of the medians alone: a difference of two tails says nothing.
    for (way, p50, _) in figures {
        if way != "straight" {
            let name = format!("added to {size} B, p50");
            report.add(GROUP, name, "µs", way, p50 - straight);
        }
    }
    Ok(())
}

async fn bulk(
    scene: &mut Scene,
    round: usize,
    connections: u32,
    total: u64,
    report: &mut Report,
) -> io::Result<()> {
    let word = if connections == 1 {
        "connection"
    } else {
        "connections"
    };
    for direction in ["down", "up"] {
        for place in order(round) {
            let way = &mut scene.ways[place];
            let took = match direction {
                "down" => way.down(&scene.targets, connections, total).await?,
                _ => way.up(&scene.targets, connections, total).await?,
            };
            let name = format!("{direction}, {connections} {word}");
            let megabytes = total as f64 / 1e6;
            let rate = megabytes / took.elapsed.as_secs_f64();
            report.add(GROUP, &name, "MB/s", way.name(), rate);
            if !matches!(way, Way::Straight) {
                let cpu = took.cpu.as_secs_f64() / megabytes * 1e3;
                report.add(GROUP, format!("CPU {name}"), "s/GB", way.name(), cpu);
            }
        }
    }
    Ok(())
}

/// Another way is the first in each round.
fn order(round: usize) -> impl Iterator<Item = usize> {
    (0..3).map(move |place| (place + round) % 3)
}
