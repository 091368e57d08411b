//! The ratios that hold on every machine. They are generous: a machine that does other work beside it must not fail
//! them, and an agent that waits for a clock or copies for nothing must.

use std::io;

use super::report::Report;

/// A figure of the agent, beside what, and how it must stand to it.
struct Promise {
    name: &'static str,
    to: &'static str,
    least: f64,
    most: f64,
}

const fn at_least(name: &'static str, to: &'static str, least: f64) -> Promise {
    Promise {
        name,
        to,
        least,
        most: f64::INFINITY,
    }
}

const fn at_most(name: &'static str, to: &'static str, most: f64) -> Promise {
    Promise {
        name,
        to,
        least: 0.0,
        most,
    }
}

// Beside a build on the same two cores up comes to 0.56 of the loop and its CPU to 2.1 times.
const PROMISES: [Promise; 14] = [
    at_least("down, 1 connection", "loop", 0.5),
    at_least("up, 1 connection", "loop", 0.3),
    at_least("down, 16 connections", "loop", 0.5),
    at_least("up, 16 connections", "loop", 0.4),
    at_most("added to 1 B, p50", "loop", 2.5),
    at_most("added to 512 B, p50", "loop", 2.5),
    at_most("added to 2960 B, p50", "loop", 2.5),
    at_most("CPU down, 1 connection", "loop", 3.0),
    at_most("CPU up, 1 connection", "loop", 3.5),
    at_most("LOAD of 64 blocks, path of 50 ms", "limit", 1.3),
    at_most("LOAD of 64 blocks, path of 150 ms", "limit", 1.2),
    at_most("start to tunnel up", "limit", 4.0),
    at_most("round trip, 1 × 1 × 64 open", "limit", 3.0),
    at_most("round trip, 4 × 8 × 8 open", "limit", 3.0),
];

/// Says of each promise whether it is held; those whose figure was not measured are passed over.
pub(super) fn hold(report: &Report) -> io::Result<()> {
    println!("promises");
    let mut broken = 0;
    for promise in &PROMISES {
        let Some(ratio) = report.ratio(promise.name, promise.to) else {
            continue;
        };
        let held = (promise.least..=promise.most).contains(&ratio);
        broken += usize::from(!held);
        let bound = if promise.most.is_finite() {
            format!("at most {}", promise.most)
        } else {
            format!("at least {}", promise.least)
        };
        let word = if held { "held" } else { "BROKEN" };
        let (name, to) = (promise.name, promise.to);
        println!("  {word:6}  {name}: agent/{to} {ratio:.2}, {bound}");
    }
    if broken > 0 {
        let text = format!("{broken} promises are broken");
        return Err(io::Error::other(text));
    }
    Ok(())
}
