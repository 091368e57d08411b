//! Round trips and bulk, by the agent, by the bare loop, and straight; in turn, in each round.

use std::io;

use super::options::Options;
use super::program::REFERENCE;
use super::report::{Report, median, quantile};
use super::scene::Scene;
use super::way::{Took, WARM, Way};

/// Bytes a round trip: a key, a block of KRterm, a block of KIDE.
const SIZES: [usize; 3] = [1, 512, 2960];

/// Connections of a bulk transfer.
const CONNECTIONS: [u32; 2] = [1, 16];

/// Transfers of the reference that may be cut before one is whole.
const ATTEMPTS: usize = 5;

/// One group of the report.
const GROUP: &str = "relay";

pub(super) async fn measure(options: &Options, report: &mut Report) -> io::Result<()> {
    let (count, total) = if options.short {
        (400, 60 << 20)
    } else {
        (3_000, 300 << 20)
    };
    let mut scene = Scene::start(options).await?;
    let mut deaths = 0.0;
    for round in 0..options.rounds {
        scene.renew(options).await?;
        for size in SIZES {
            round_trips(&mut scene, round, size, count, report).await?;
        }
        for connections in CONNECTIONS {
            for direction in [Direction::Down, Direction::Up] {
                let bulk = Bulk {
                    direction,
                    connections,
                    total,
                };
                deaths += bulk.measure(&mut scene, round, options, report).await?;
            }
        }
    }
    if options.reference.is_some() {
        report.add(GROUP, "died in a transfer", "times", REFERENCE, deaths);
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
    for place in order(round, scene.ways.len()) {
        let way = &mut scene.ways[place];
        let cpu = way.cpu()?;
        let times = way.round_trips(&scene.targets, size, count).await?;
        if way.process().is_some() {
            let each = (way.cpu()? - cpu).as_secs_f64() * 1e6 / (WARM + count) as f64;
            let name = format!("CPU a round trip {size} B");
            report.add(GROUP, name, "µs", way.name(), each);
        }
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

#[derive(Clone, Copy)]
enum Direction {
    Down,
    Up,
}

/// One bulk transfer, by each of the ways.
#[derive(Clone, Copy)]
struct Bulk {
    direction: Direction,
    connections: u32,
    total: u64,
}

impl Bulk {
    /// Tells how often the reference died in it: its transfers are repeated, since one that was cut has no figures.
    async fn measure(
        self,
        scene: &mut Scene,
        round: usize,
        options: &Options,
        report: &mut Report,
    ) -> io::Result<f64> {
        let mut deaths = 0.0;
        for place in order(round, scene.ways.len()) {
            if scene.ways[place].name() != REFERENCE {
                let took = self.run(scene, place).await?;
                self.report(&scene.ways[place], took, report)?;
                continue;
            }
            for _ in 0..ATTEMPTS {
                scene.renew(options).await?;
                match self.run(scene, place).await {
                    Ok(took) => {
                        self.report(&scene.ways[place], took, report)?;
                        break;
                    }
                    Err(_) => deaths += 1.0,
                }
            }
        }
        Ok(deaths)
    }

    async fn run(self, scene: &mut Scene, place: usize) -> io::Result<Took> {
        let way = &mut scene.ways[place];
        let (targets, connections, total) = (&scene.targets, self.connections, self.total);
        match self.direction {
            Direction::Down => way.down(targets, connections, total).await,
            Direction::Up => way.up(targets, connections, total).await,
        }
    }

    fn report(self, way: &Way, took: Took, report: &mut Report) -> io::Result<()> {
        let direction = match self.direction {
            Direction::Down => "down",
            Direction::Up => "up",
        };
        let name = match self.connections {
            1 => format!("{direction}, 1 connection"),
            many => format!("{direction}, {many} connections"),
        };
        let megabytes = self.total as f64 / 1e6;
        let rate = megabytes / took.elapsed.as_secs_f64();
        report.add(GROUP, &name, "MB/s", way.name(), rate);
        if let Some(process) = way.process() {
            let cpu = took.cpu.as_secs_f64() / megabytes * 1e3;
            report.add(GROUP, format!("CPU {name}"), "s/GB", way.name(), cpu);
            let peak = process.peak()? as f64 / 1024.0;
            report.add(GROUP, format!("peak RSS {name}"), "MiB", way.name(), peak);
        }
        Ok(())
    }
}

/// Another way is the first in each round.
fn order(round: usize, ways: usize) -> impl Iterator<Item = usize> {
    (0..ways).map(move |place| (place + round) % ways)
}
