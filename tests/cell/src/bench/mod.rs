//! `tests/bench/run`: what the agent costs, beside what it would have to cost at the least.
//!
//! Each figure stands beside a limit that was measured in the same run, round by round in turn: a bare loop of TLS and TCP
//! ([`bare`]), the straight way, blocks × round trip. The ratio counts; the figure alone is this machine's. The load comes
//! from a [`service`] that does no more than it must, the agent is the real one.

mod bare;
mod gateway;
mod growth;
mod load;
mod memory;
mod options;
mod process;
mod program;
mod promise;
mod relay;
mod report;
mod scene;
pub mod service;
mod start;
mod targets;
mod way;

use std::io;
use std::process::ExitCode;

use options::{HELP, Options, Wish};
use report::Report;

/// The program.
pub fn main() -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("bench: {error}");
            return ExitCode::FAILURE;
        }
    };
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    let words: Vec<String> = arguments
        .iter()
        .map(|word| word.to_string_lossy().into_owned())
        .collect();
    let done = match words.split_first() {
        // This program again, as a part of a measurement.
        Some((first, others)) if first == "loop" => runtime.block_on(bare::run(others)),
        Some((first, others)) if first == "dial" => runtime.block_on(bare::dial_once(others)),
        _ => match Options::parse(arguments) {
            Ok(Wish::Help) => {
                println!("{HELP}");
                return ExitCode::SUCCESS;
            }
            Ok(Wish::Run(options)) => runtime.block_on(run(&options)),
            Err(fault) => {
                eprintln!("bench: {fault}\n\n{HELP}");
                return ExitCode::from(64);
            }
        },
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(options: &Options) -> io::Result<()> {
    let mut report = Report::default();
    println!("{}; {} rounds", report::machine(), options.rounds);
    // The futures are large, and each is needed once.
    if options.wants("start") {
        Box::pin(start::measure(options, &mut report)).await?;
    }
    if options.wants("relay") {
        Box::pin(relay::measure(options, &mut report)).await?;
    }
    if options.wants("load") {
        Box::pin(load::measure(options, &mut report)).await?;
    }
    if options.wants("memory") {
        Box::pin(memory::measure(options, &mut report)).await?;
    }
    if options.wants("growth") {
        Box::pin(growth::measure(options, &mut report)).await?;
    }
    if options.wants("idle") {
        Box::pin(start::measure_idle(options, &mut report)).await?;
    }
    report.print();
    if let Some(path) = &options.json {
        let text = serde_json::to_string_pretty(&report.to_json(options.rounds))?;
        std::fs::write(path, text + "\n")?;
    }
    if options.hold {
        promise::hold(&report)?;
    }
    Ok(())
}
