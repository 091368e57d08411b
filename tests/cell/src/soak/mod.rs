//! `tests/soak/run`: minutes of mixed load with faults at random, on the real binary as a gateway.
//!
//! Four tunnels ([`scene`]) carry streams whose bytes both ends know ([`flow`], [`carry`], [`peer`]), and engineers load and
//! save programs ([`robots`]). Beside them links, service, broker and agent fail ([`line`]), and so do targets and controllers
//! ([`cell_faults`]). A stream that no fault touched ([`cuts`]) arrives whole, every other one is the beginning of what was
//! sent; both are compared by SHA-256. At the end of each minute everything rests, and what the agent needs then must not
//! grow ([`health`]).

mod book;
mod carry;
mod cell_faults;
mod cuts;
mod dice;
mod flow;
mod health;
mod line;
mod options;
mod peer;
mod robots;
mod scene;
mod verdict;
mod watch;

use std::io;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nix::sys::signal::Signal;
use tokio::time::{Instant, sleep};

use book::Entry;
use dice::Dice;
use health::{Health, Rests};
use options::{HELP, Options, Wish};
use scene::{BACK, Scene};
use verdict::{Counts, Verdict};

use crate::service::Protocol;

/// Engineers at each tunnel of a V3 source.
const ENGINEERS: u64 = 4;

/// Of a minute; the rest of it is rest.
const LOADED: Duration = Duration::from_secs(48);

/// Everything that is under way must have come to its end by then: a dead link and the longest stream.
const REST: Duration = Duration::from_secs(170);

/// From there to what the agent needs when nothing goes on: links that were lost linger for 2 s.
const CALM: Duration = Duration::from_secs(4);

/// Every so many minutes, from the third on, the agent ends in some way; in between a process lives on.
const RESTART_EVERY: u32 = 6;

/// Behind this minute the agent is not ended any more: what a process needs is seen best when it lives for long.
const RESTART_LAST: u32 = 15;

/// Every so many minutes, from the second on, a link dies without a word.
const DEAD_EVERY: u32 = 5;

/// The program.
pub fn main() -> ExitCode {
    let clock = SystemTime::now().duration_since(UNIX_EPOCH);
    let clock = clock.unwrap_or_default().as_secs();
    let arguments = std::env::args_os().skip(1);
    let options = match Options::parse(arguments, std::env::var_os("SEED"), clock) {
        Ok(Wish::Help) => {
            println!("{HELP}");
            return ExitCode::SUCCESS;
        }
        Ok(Wish::Run(options)) => options,
        Err(fault) => {
            eprintln!("soak: {fault}\n\n{HELP}");
            return ExitCode::from(64);
        }
    };
    println!("soak: {} minutes, SEED={}", options.minutes, options.seed);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build();
    let done = runtime.and_then(|runtime| runtime.block_on(run(&options)));
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => {
            eprintln!(
                "soak: FAILED; once more: SEED={} tests/soak/run {}",
                options.seed, options.minutes
            );
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("soak: SEED={}: {error}", options.seed);
            ExitCode::FAILURE
        }
    }
}

async fn run(options: &Options) -> io::Result<bool> {
    let verdict = Verdict::default();
    let scene = Arc::new(Scene::start(&options.agent, &verdict).await?);
    workers(&scene, options.seed);
    let mut dice = Dice::new(options.seed, 0);
    let mut rests = Rests::default();
    for minute in 1..=options.minutes {
        let began = Instant::now();
        scene.load(true);
        if minute % RESTART_EVERY == 3 && minute <= RESTART_LAST {
            sleep(dice.millis(2000, 20_000)).await;
            let signal = *dice.one_of(&["SIGTERM", "SIGKILL"]);
            line::fault_of(&scene, signal, &mut dice).await;
        } else if minute % DEAD_EVERY == 2 {
            line::fault_of(&scene, "dead link", &mut dice).await;
        }
        while began.elapsed() < LOADED && !verdict.is_wrong() {
            sleep(Duration::from_millis(100)).await;
        }
        scene.load(false);
        rest(&scene, &mut rests).await;
        let counts = verdict.take_minute();
        println!(
            "minute {minute:2}: {}; {}",
            told(&counts),
            health(&scene).await
        );
        if verdict.is_wrong() {
            let log = scene.agent.lock().await.log();
            for line in log.iter().skip(log.len().saturating_sub(80)) {
                eprintln!("{line}");
            }
            return Ok(false);
        }
    }
    end(&scene, &verdict, &rests).await
}

fn workers(scene: &Arc<Scene>, seed: u64) {
    let mut number = 1;
    let mut dice = || {
        number += 1;
        Dice::new(seed, number)
    };
    let (line, cell, watched) = (Arc::clone(scene), Arc::clone(scene), Arc::clone(scene));
    let (first, second) = (dice(), dice());
    tokio::spawn(async move { line::work(&line, first).await });
    tokio::spawn(async move { cell_faults::work(&cell, second).await });
    tokio::spawn(async move { watch::work(&watched).await });
    for place in 0..scene.slots.len() {
        let services = scene.slots[place].services;
        let lines: Vec<&'static str> = services
            .iter()
            .copied()
            .filter(|name| !scene::ROBOTS.contains(name))
            .collect();
        // A source of V1 or V2 has one connection a service.
        let sets: Vec<Vec<&'static str>> = match scene.slots[place].version {
            Protocol::V3 => (0..ENGINEERS).map(|_| lines.clone()).collect(),
            Protocol::V1 | Protocol::V2 => lines.iter().map(|name| vec![*name]).collect(),
        };
        for set in sets {
            let (scene, dice) = (Arc::clone(scene), dice());
            tokio::spawn(async move {
                carry::work(&scene, &scene.slots[place], &set, dice).await;
            });
        }
        for (robot, name) in scene::ROBOTS.into_iter().enumerate() {
            if services.contains(&name) {
                let (scene, dice) = (Arc::clone(scene), dice());
                tokio::spawn(async move {
                    let controller = &scene.controllers[robot];
                    robots::work(&scene, &scene.slots[place], name, controller, dice).await;
                });
            }
        }
    }
}

/// Everything comes to its end, and the agent is looked at.
async fn rest(scene: &Scene, rests: &mut Rests) {
    let verdict = &scene.verdict;
    let at_rest = scene.is_at_rest(REST).await;
    if verdict.is_wrong() {
        return;
    }
    if !at_rest {
        verdict.wrong("streams do not come to their end");
        return;
    }
    if !scene.is_connected(BACK).await {
        verdict.wrong("the agent does not come back into its tunnels");
        return;
    }
    // Also of those whose engineer has left before their end.
    let wrong = |entry: &Arc<Entry>| {
        let seen = entry.target.borrow();
        seen.wrong || (seen.came && !seen.ended)
    };
    if let Some(entry) = scene.book.take_all().iter().find(|entry| wrong(entry)) {
        verdict.wrong(format!("what came to the target is wrong: {entry:?}"));
    }
    sleep(CALM).await;
    let health = Health::of(&*scene.agent.lock().await);
    let grown = match health {
        Ok(health) => rests.add(health),
        Err(error) => Err(error.to_string()),
    };
    if let Err(why) = grown {
        verdict.wrong(why);
    }
}

async fn health(scene: &Scene) -> String {
    let health = Health::of(&*scene.agent.lock().await);
    health.map_or_else(|error| error.to_string(), |health| health.to_string())
}

fn told(counts: &Counts) -> String {
    let faults: u64 = counts.faults.values().sum();
    format!(
        "{} streams ({} whole, {} cut by faults, {} dropped, {} not opened), {} programs, {:.1} MB the same by SHA-256, {faults} faults",
        counts.streams(),
        counts.whole,
        counts.cut,
        counts.dropped,
        counts.not_opened,
        counts.programs,
        counts.bytes as f64 / 1e6,
    )
}

/// The whole run, and the agent's own end.
async fn end(scene: &Scene, verdict: &Verdict, rests: &Rests) -> io::Result<bool> {
    let total = verdict.total();
    println!("in all: {}", told(&total));
    let faults = total.faults.iter();
    let faults: Vec<String> = faults
        .map(|(name, count)| format!("{name} {count}"))
        .collect();
    println!("faults: {}", faults.join(", "));
    if let Some((least, most, fewest, many)) = rests.range() {
        let mebibytes = |bytes: u64| bytes as f64 / f64::from(1 << 20);
        println!(
            "at rest: RSS {:.2} to {:.2} MiB, {fewest} to {many} descriptors",
            mebibytes(least),
            mebibytes(most)
        );
    }
    let mut agent = scene.agent.lock().await;
    agent.signal(Signal::SIGTERM)?;
    let code = agent.wait_exit(Duration::from_secs(6)).await?;
    if code != 0 {
        verdict.wrong(format!("the agent ends with {code}"));
    }
    if total.whole == 0 || total.cut == 0 || total.programs == 0 {
        verdict.wrong("a soak without whole streams, cut ones or programs is none");
    }
    Ok(!verdict.is_wrong())
}
