//! The command line of `cellgate`. The house itself is described in the library, `src/lib.rs`.

use std::io::Write;
use std::process::ExitCode;

use cellgate::command::{self, Command};
use cellgate::config::{self, Config, Start};
use cellgate::confine::{landlock, process};
use cellgate::limits::{RESOLVER_STACK, RESOLVERS};
use cellgate::{agent, argv, exit, logging};
use log::{error, info, warn};

// Also the main of tests/heap, which counts what it takes.
pub(crate) fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    let mut variables = config::VARIABLES.map(|name| (name, std::env::var_os(name)));
    // Before any file is read: until then every user of the machine can see the tokens.
    let wiped = argv::wipe();
    let sealed = process::seal();
    let mut variable = |wanted: &str| {
        let variable = variables.iter_mut().find(|(name, _)| *name == wanted)?;
        variable.1.take()
    };
    match Command::parse(&arguments) {
        None => {}
        Some(Ok(command)) => return ExitCode::from(command::carry_out(command, &mut variable)),
        Some(Err(misuse)) => {
            let _ = writeln!(std::io::stderr(), "{misuse}");
            return ExitCode::from(exit::CONFIG);
        }
    }
    let start = Config::load(arguments.into_iter(), &mut variable);
    let (config, access_token, warnings) = match start {
        Ok(Start::Run {
            config,
            access_token,
            warnings,
        }) => (config, access_token, warnings),
        Ok(Start::Help(text) | Start::Version(text)) => {
            // A closed pipe behind --help is nobody's fault.
            let _ = writeln!(std::io::stdout(), "{text}");
            return ExitCode::SUCCESS;
        }
        Err(faults) => {
            let _ = writeln!(std::io::stderr(), "{faults}");
            return ExitCode::from(exit::CONFIG);
        }
    };
    logging::start(config.log_level);
    if let Err(reason) = wiped {
        warn!("{reason}");
    }
    if let Err(reason) = sealed {
        warn!("{reason}");
    }
    for warning in warnings {
        warn!("{warning}");
    }
    let version = env!("CARGO_PKG_VERSION");
    match &config.thing {
        Some(thing) => info!("cellgate {version} starts for thing {thing}"),
        None => info!("cellgate {version} starts"),
    }
    // Before the first thread: it holds for this one and those that it starts.
    info!("{}", landlock::hold(&config, |name| std::env::var_os(name)));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(RESOLVERS)
        .thread_stack_size(RESOLVER_STACK)
        .build();
    let over = runtime.and_then(|runtime| {
        let over = runtime.block_on(agent::run(*config, access_token));
        // A resolver that hangs must not hold the end up.
        runtime.shutdown_background();
        over
    });
    match over {
        Ok(agent::Outcome::Stopped) => ExitCode::from(exit::STOPPED),
        Ok(agent::Outcome::Refused) => ExitCode::from(exit::REFUSED),
        Ok(agent::Outcome::Hung) => ExitCode::from(exit::HUNG),
        Err(reason) => {
            error!("cannot run: {reason}");
            ExitCode::from(exit::SYSTEM)
        }
    }
}
