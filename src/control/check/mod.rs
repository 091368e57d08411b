//! `cellgate check`: everything that the agent depends on is tried, and each thing gets a verdict and what to do.
//!
//! Is responsible for: not disturbing anybody. It writes nothing, sends no token, and what a running agent does
//! already is asked of that agent: a second login under its client ID would throw it out, and a connection to an
//! exclusive controller would take its terminal.

mod agent;
mod broker;
mod controller;
mod item;
mod report;
mod service;

use std::ffi::OsString;
use std::future::poll_fn;
use std::io::{self, Write};
use std::path::Path;
use std::pin::Pin;
use std::task::Poll;
use std::time::SystemTime;

use self::agent::Agent;
use self::item::Item;
use self::report::Report;
use crate::config::{Config, Start};
use crate::exit;
use crate::limits::{RESOLVER_STACK, RESOLVERS};
use crate::link::way::Way;
use crate::supervise::clock;

/// Gives a variable of the environment, once, as `Config::load` asks for them.
pub type Variable<'v> = &'v mut dyn FnMut(&str) -> Option<OsString>;

/// Tries everything that this configuration needs, or the usual one, and prints the verdicts; gives the exit code.
pub fn run(file: Option<&Path>, variable: Variable<'_>, json: bool, colour: bool) -> u8 {
    let (report, code) = report(file, variable);
    let text = if json {
        report.json()
    } else {
        report.text(colour)
    };
    // A closed pipe behind it is nobody's fault.
    let _ = io::stdout().write_all(text.as_bytes());
    code
}

fn report(file: Option<&Path>, variable: Variable<'_>) -> (Report, u8) {
    let (config, first) = match load(file, variable) {
        Ok(loaded) => loaded,
        Err(item) => return (Report(vec![item]), exit::CONFIG),
    };
    let mut items = vec![first, the_clock(SystemTime::now())];
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(RESOLVERS)
        .thread_stack_size(RESOLVER_STACK)
        .build();
    match runtime {
        Ok(runtime) => {
            items.extend(runtime.block_on(Box::pin(tried(config))));
            // A resolver that hangs must not hold the end up.
            runtime.shutdown_background();
        }
        Err(error) => items.push(Item::failed("system", format!("{error}"))),
    }
    let report = Report(items);
    let code = if report.is_well() {
        exit::STOPPED
    } else {
        exit::NOT_WELL
    };
    (report, code)
}

fn load(file: Option<&Path>, variable: Variable<'_>) -> Result<(Config, Item), Item> {
    let named = file.map(|file| [OsString::from("--config"), file.into()]);
    match Config::load(named.into_iter().flatten(), variable) {
        Ok(Start::Run {
            config, warnings, ..
        }) => {
            let mut said = match &config.file {
                Some(file) => format!("{} is good", file.display()),
                None => "good".to_owned(),
            };
            for warning in warnings {
                said.push_str(&format!("; but mind: {warning}"));
            }
            Ok((*config, Item::well("configuration", said)))
        }
        // Neither is asked for.
        Ok(Start::Help(text) | Start::Version(text)) => Err(Item::failed("configuration", text)),
        Err(faults) => Err(Item::failed("configuration", faults.to_string())),
    }
}

fn the_clock(now: SystemTime) -> Item {
    match clock::doubt(now) {
        None => Item::well(
            "clock",
            format!("{} can be right", humantime::format_rfc3339_seconds(now)),
        ),
        Some(doubt) => Item::failed(
            "clock",
            format!("{doubt}; set it, or let the gateway reach a time server (NTP)"),
        ),
    }
}

/// Everything beyond this machine, side by side.
async fn tried(mut config: Config) -> Vec<Item> {
    let agent = Agent::ask(config.paths.runtime.as_deref());
    let mut items: Vec<Item> = agent.item().into_iter().collect();
    let way = match Way::new(config.proxy.take(), &config.extra_roots) {
        Ok(way) => way,
        Err(error) => {
            items.push(Item::failed("certificates", error.to_string()));
            return items;
        }
    };
    let mut trials: Vec<Trial<'_>> = vec![
        Box::pin(service::tried(&config, &way)),
        Box::pin(broker::tried(&config, &way, &agent)),
    ];
    for trial in controller::trials(&config.routes, &agent) {
        trials.push(trial);
    }
    items.extend(all(trials).await.into_iter().flatten());
    items
}

/// Something that is tried, bounded in time by itself.
type Trial<'t> = Pin<Box<dyn Future<Output = Vec<Item>> + 't>>;

/// What came of each, in their order.
async fn all(mut trials: Vec<Trial<'_>>) -> Vec<Vec<Item>> {
    let mut ended: Vec<Option<Vec<Item>>> = trials.iter().map(|_| None).collect();
    poll_fn(|cx| {
        let mut pending = false;
        for (trial, ended) in trials.iter_mut().zip(&mut ended) {
            if ended.is_some() {
                continue;
            }
            match trial.as_mut().poll(cx) {
                Poll::Ready(items) => *ended = Some(items),
                Poll::Pending => pending = true,
            }
        }
        if pending {
            Poll::Pending
        } else {
            Poll::Ready(())
        }
    })
    .await;
    ended.into_iter().flatten().collect()
}

#[cfg(test)]
mod tests;
