//! The agent's heap, byte by byte: what it takes at the most, what it gives back, and how often it asks.
//!
//! The agent here is the whole of `src/main.rs` in a process of its own, on an allocator that counts. That process is this
//! program once more, so service, controllers and everything else that plays a part are on another heap. Bytes are counted
//! as asked for; what an allocator adds is seen by `memory.rs`, which asks the kernel.
//!
//! Each scene prints what it found beside its bound, which is a const of `limits.rs`. The test has no harness, for the
//! program must be able to be the agent: `cargo test --test heap -- full steady` runs two of the scenes.

#[path = "../../src/main.rs"]
mod agent;
mod budget;
mod connections;
#[path = "../fuzz/src/heap/counting.rs"]
mod counting;
mod full;
mod hostile;
mod meter;
mod site;
mod steady;
mod targets;
mod tunnels;
mod upset;

use std::future::Future;
use std::pin::Pin;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use tokio::time::timeout;

#[global_allocator]
static ALLOCATOR: counting::Counting = counting::Counting;

/// No scene takes half as long, even if it is run in full on a busy machine.
const LIMIT: Duration = Duration::from_secs(900);

/// A name, and what is done.
type Scene = (&'static str, fn() -> Pin<Box<dyn Future<Output = ()>>>);

const SCENES: [Scene; 7] = [
    ("full", || Box::pin(full::everything_full())),
    ("unreached", || Box::pin(full::nobody_reached())),
    ("hostile", || Box::pin(hostile::frames())),
    ("upset", || Box::pin(upset::whatever_answers())),
    ("tunnels", || Box::pin(tunnels::opened_and_closed())),
    ("connections", || Box::pin(connections::opened_and_closed())),
    ("steady", || Box::pin(steady::messages())),
];

fn main() -> ExitCode {
    if let Some(path) = std::env::var_os(meter::VARIABLE) {
        return match meter::answer(&path) {
            Ok(()) => agent::main(),
            Err(error) => {
                eprintln!("heap: nobody wants to know what is counted: {error}");
                ExitCode::FAILURE
            }
        };
    }
    if std::env::var_os("CELL_AGENT").is_some() {
        println!(
            "SKIPPED: heap: it counts within this build of the agent, and not in the one of CELL_AGENT"
        );
        return ExitCode::SUCCESS;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("threads");
    let began = Instant::now();
    let wanted = wanted();
    for (name, scene) in &wanted {
        let start = Instant::now();
        println!("heap: {name}");
        let done = runtime.block_on(async { timeout(LIMIT, scene()).await });
        assert!(done.is_ok(), "{name} takes longer than {LIMIT:?}");
        println!("heap: {name}: ok, {:.1} s", start.elapsed().as_secs_f64());
    }
    let seconds = began.elapsed().as_secs_f64();
    println!("heap: {} scenes: ok, {seconds:.1} s", wanted.len());
    ExitCode::SUCCESS
}

/// The scenes that the arguments of `cargo test` leave: parts of names, and those behind `--skip`. Other flags are for
/// tests with a harness.
fn wanted() -> Vec<Scene> {
    let mut arguments = std::env::args().skip(1);
    let (mut some, mut skipped, mut list) = (Vec::new(), Vec::new(), false);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--skip" => skipped.extend(arguments.next()),
            "--list" => list = true,
            flag if flag.starts_with('-') => {}
            _ => some.push(argument),
        }
    }
    let fits = |parts: &[String], name: &str| parts.iter().any(|part| name.contains(part.as_str()));
    let wanted = SCENES.into_iter().filter(|(name, _)| {
        !list && !fits(&skipped, name) && (some.is_empty() || fits(&some, name))
    });
    wanted.collect()
}
