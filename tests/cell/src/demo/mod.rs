//! `cargo cell`: a gripper program travels the tunnel, for people to see and for `tests/run` to check.
//!
//! It is responsible for: building the real agent, starting a cell around it, opening its tunnel by a notification, an
//! upload to `robot1` while `robot2` is read out, the comparison of all that went over, staying up so that a telnet
//! reaches the robots, and showing status and audit.

mod build;
mod comparison;
mod failure;
mod herald;
mod options;
mod screen;
mod stage;
mod transfers;

use std::process::ExitCode;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};

use failure::Failure;
use options::{Options, Wish};
use screen::Screen;
use stage::Stage;

/// Runs the demo with the arguments of the process. 0: all that was compared is equal. 1: it is not, or something
/// failed. 2: wrong arguments. 130: interrupted before the end.
#[must_use]
pub fn main() -> ExitCode {
    let options = match Options::parse(std::env::args_os()) {
        Ok(Wish::Run(options)) => options,
        Ok(Wish::Help) => {
            println!("{}", options::HELP);
            return ExitCode::SUCCESS;
        }
        Err(fault) => {
            eprintln!("{fault}; see cargo cell --help");
            return ExitCode::from(2);
        }
    };
    let screen = Screen::new();
    let outcome = tokio::runtime::Runtime::new()
        .map_err(Failure::from)
        .and_then(|runtime| runtime.block_on(Box::pin(run(&options, &screen))));
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Interrupted) => ExitCode::from(130),
        Err(failure) => {
            screen.failed(&failure.to_string());
            ExitCode::FAILURE
        }
    }
}

/// How long the agent may take for its orderly end. It promises 3 s.
const STOP: Duration = Duration::from_secs(5);

async fn run(options: &Options, screen: &Screen) -> Result<(), Failure> {
    screen.title("cellgate: a gripper program travels the tunnel");
    let binary = match &options.agent {
        Some(path) => path.clone(),
        None => build::agent(screen).await?,
    };
    let mut stage = Stage::start(options, &binary, screen).await?;
    let played = tokio::select! {
        played = play(&stage, options, screen) => played,
        () = interrupted() => Err(Failure::Interrupted),
        () = stage.follow_log(screen) => Ok(()),
    };
    let ended = match played {
        Ok(()) if options.once => stage.stop(STOP).await,
        Ok(()) => stay_up(&mut stage, screen).await,
        Err(failure) => Err(failure),
    };
    if let Err(failure) = &ended {
        stage.explain(failure, screen);
    } else {
        stage.show_audit(screen)?;
        screen.line("the agent stopped in order, exit code 0");
    }
    ended
}

/// The transfers and their comparison, within the time limit.
async fn play(stage: &Stage, options: &Options, screen: &Screen) -> Result<(), Failure> {
    let limit = options.limit;
    tokio::time::timeout(limit, async {
        let comparisons = transfers::run(stage, options, screen).await?;
        comparison::show(&comparisons, screen)?;
        stage.check_rules(screen)?;
        stage.show_status(screen).await
    })
    .await
    .map_err(|_| Failure::Late(limit))?
}

/// Lets people in until Ctrl-C, then ends the agent.
async fn stay_up(stage: &mut Stage, screen: &Screen) -> Result<(), Failure> {
    stage.invite(screen);
    tokio::select! {
        // The terminal has written "^C" without a line end.
        () = interrupted() => screen.line(""),
        failure = stage.attend(screen) => return Err(failure),
    }
    stage.stop(STOP).await
}

/// Ctrl-C or SIGTERM.
async fn interrupted() {
    match signal(SignalKind::terminate()) {
        Ok(mut terminate) => {
            tokio::select! {
                _ = tokio::signal::ctrl_c() => {}
                _ = terminate.recv() => {}
            }
        }
        // Without a handler the system's default ends the process, which is right too.
        Err(_) => std::future::pending().await,
    }
}
