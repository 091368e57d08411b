//! Runs the cells of a family, many at a time, and holds each of them to its word.

use std::collections::HashMap;
use std::future::Future;
use std::io::Write as _;
use std::time::Duration;

use cell::journal::Mark;
use tokio::sync::Semaphore;
use tokio::task::{Id, JoinSet};
use tokio::time::{Instant, timeout};

use crate::scene::{Plan, Scene};
use crate::table::{Cell, Exit, Fate, Holds, Line, Row, Stage};
use crate::transfer::{fresh, works_again};
use crate::work::Work;

/// Cells at a time, of all families: they mostly wait, but each of them is a process and its TLS.
static SEATS: Semaphore = Semaphore::const_new(8);

/// Cells whose fault takes this long to be found only wait, and take no seat for it. All families run theirs together.
const LONG: Duration = Duration::from_secs(30);

/// A cell that takes this long hangs.
const CELL: Duration = Duration::from_secs(240);

/// Faults of one kind, and how they come and go.
pub(crate) trait Family: Copy + Send + Sync + 'static {
    const NAME: &'static str;

    fn rows() -> Vec<Row<Self>>;

    /// Changes the gateway before it is started. An error is why this machine cannot have the fault.
    fn plan(self, plan: Plan, _: Stage) -> impl Future<Output = Result<Plan, String>> + Send {
        async { Ok(plan) }
    }

    /// Waits until the agent that was started is ready for a tunnel.
    fn ready(self, scene: &mut Scene, _: Stage) -> impl Future<Output = ()> + Send {
        async { scene.subscribed().await }
    }

    /// Prepares a fault that lies in wait, before the agent is told of the tunnel; true if it does.
    fn arm(self, _: &Scene, _: Stage) -> bool {
        false
    }

    /// Whether the controller goes on refusing when the fault has come. Else only the stage wanted it to.
    fn keeps_refusing(self) -> bool {
        false
    }

    /// Whether the source hears of the fault only when it is over. Controllers hear of it before.
    fn cuts_the_source_off(self) -> bool {
        false
    }

    /// Lets the fault come.
    fn strike(self, scene: &mut Scene, stage: Stage) -> impl Future<Output = ()> + Send;

    /// Lets it go.
    fn mend(self, scene: &mut Scene, stage: Stage) -> impl Future<Output = ()> + Send;
}

/// Runs every cell but the long ones.
pub(crate) async fn hold<F: Family>() {
    run::<F>(|holds| holds.within < LONG).await;
}

/// Runs the long cells, if there are any.
pub(crate) async fn hold_long<F: Family>() {
    run::<F>(|holds| holds.within >= LONG).await;
}

async fn run<F: Family>(wanted: fn(Holds) -> bool) {
    let only = std::env::var("FAULTS").unwrap_or_default();
    let mut cells = JoinSet::new();
    let mut names: HashMap<Id, String> = HashMap::new();
    let mut seed = 0;
    for row in F::rows() {
        for (stage, cell) in Stage::ALL.into_iter().zip(row.cells) {
            seed += 10;
            let name = format!("{}: {}: {}", F::NAME, row.name, stage.name());
            let Cell::Holds(holds) = cell else { continue };
            if !wanted(holds) || !only.split(',').all(|words| name.contains(words)) {
                continue;
            }
            let run = one(row.fault, stage, holds, seed);
            names.insert(cells.spawn(run).id(), name);
        }
    }
    let mut skipped = Vec::new();
    let mut failed = Vec::new();
    while let Some(done) = cells.join_next_with_id().await {
        match done {
            Ok((id, Ok(took))) => println!("{} held, in {took:.1?}", names[&id]),
            Ok((id, Err(why))) => skipped.push((why, names[&id].clone())),
            Err(error) => failed.push(format!("{}: {error}", names[&error.id()])),
        }
    }
    tell(skipped);
    assert!(failed.is_empty(), "these do not hold: {failed:#?}");
}

/// Says what was left out past the capture of the test harness: a skip that nobody sees counts as a pass.
fn tell(skipped: Vec<(String, String)>) {
    let mut whys: Vec<&String> = skipped.iter().map(|(why, _)| why).collect();
    whys.sort();
    whys.dedup();
    for why in whys {
        let cells = skipped.iter().filter(|(other, _)| other == why);
        let _ = writeln!(
            std::io::stderr(),
            "SKIPPED: {why}: {} cells of the faults, such as {:?}",
            cells.clone().count(),
            cells.clone().next().map(|(_, name)| name)
        );
    }
}

/// One cell, from the start of its gateway to its end. The error is why it cannot be run here.
async fn one<F: Family>(
    fault: F,
    stage: Stage,
    holds: Holds,
    seed: u64,
) -> Result<Duration, String> {
    let seat = if holds.within < LONG {
        Some(SEATS.acquire().await.expect("never closed"))
    } else {
        None
    };
    let start = Instant::now();
    let done = timeout(CELL, cell(fault, stage, holds, seed)).await;
    drop(seat);
    done.expect("it hangs").map(|()| start.elapsed())
}

async fn cell<F: Family>(
    fault: F,
    stage: Stage,
    mut holds: Holds,
    seed: u64,
) -> Result<(), String> {
    let plan = fault.plan(Plan::new().await, stage).await?;
    let mut scene = plan.start();
    fault.ready(&mut scene, stage).await;
    let (mut mark, mut struck) = (scene.agent.mark(), Instant::now());
    let mut work = Work::new(stage, seed);
    if fault.arm(&scene, stage) {
        scene.announce();
    } else {
        Box::pin(work.reach(&mut scene)).await;
        (mark, struck) = (scene.agent.mark(), Instant::now());
        let pid = scene.agent.pid();
        fault.strike(&mut scene, stage).await;
        if scene.agent.pid() != pid {
            // Another agent, with a log of its own.
            mark = Mark::START;
        }
        work.ease(&scene, fault.keeps_refusing()).await;
    }
    if stage == Stage::Waiting {
        scene.announce();
    }
    if holds.fate == Fate::Either {
        work.settles(&mut scene, holds.within).await;
        // Somebody wants more of it, and may get no answer.
        let _ = Box::pin(fresh(&mut scene, seed + 4)).await;
        fault.mend(&mut scene, stage).await;
        if scene.agent.is_running().expect("the system knows") {
            holds = holds.goes_on();
        }
        struck = Instant::now();
    }
    let left = || holds.within.saturating_sub(struck.elapsed());
    Box::pin(is_told(&scene, &work, holds, mark, left())).await;
    if fault.cuts_the_source_off() {
        fault.mend(&mut scene, stage).await;
        Box::pin(meets(&mut scene, &mut work, holds, holds.back)).await;
    } else {
        Box::pin(meets(&mut scene, &mut work, holds, left())).await;
        fault.mend(&mut scene, stage).await;
    }
    if holds.exit.is_some() {
        scene.restart();
    }
    Box::pin(works_again(&mut scene, seed + 3, holds.back)).await;
    if let Some(neighbour) = work.neighbour.take() {
        neighbour.went_on(&scene.other, holds.back).await;
    }
    let dials = scene
        .tunnels()
        .iter()
        .map(|tunnel| tunnel.destination.traffic());
    let dials: u64 = dials.map(|traffic| traffic.connections).sum();
    if holds.fate.ends_all() && stage.is_up() {
        assert!(dials >= 2, "nothing was lost");
    }
    if !holds.fate.ends_all() && holds.exit.is_none() {
        assert_eq!(dials, 1, "the tunnel was lost");
    }
    scene.end();
    Ok(())
}

/// The line of the log, and the end of the controllers' connections, where they end.
async fn is_told(scene: &Scene, work: &Work, holds: Holds, mark: Mark, limit: Duration) {
    let until = Instant::now() + limit;
    if !holds.says.is_empty() {
        scene.says(mark, holds.says, limit).await;
    }
    if holds.fate.ends_all() {
        let left = until.saturating_duration_since(Instant::now());
        work.controllers_hear(scene, left).await;
    }
}

/// The fate of the work, and the exit.
async fn meets(scene: &mut Scene, work: &mut Work, holds: Holds, limit: Duration) {
    let until = Instant::now() + limit;
    let left = || until.saturating_duration_since(Instant::now());
    let by_fin = !holds.abrupt;
    work.judge(scene, holds.fate, by_fin, left()).await;
    if (holds.fate.ends_all() || holds.exit.is_some())
        && let Some(neighbour) = work.neighbour.take()
    {
        neighbour.was_cut(&scene.other, by_fin, left()).await;
    }
    let Some(exit) = holds.exit else { return };
    match (exit, scene.agent.wait_exit(left()).await) {
        (Exit::Code(wanted), Ok(code)) => assert_eq!(code, wanted),
        (Exit::Signal(number), Err(why)) => {
            let signal = format!("signal: {number} ");
            assert!(why.to_string().contains(&signal), "{why}");
        }
        (exit, code) => panic!("expected {exit:?}, got {code:?}"),
    }
}

/// The rows without their faults.
pub(crate) fn lines<F: Family>() -> (&'static str, Vec<Line>) {
    let rows = F::rows().into_iter();
    let lines = rows.map(|row| Line {
        name: row.name,
        cells: row.cells,
    });
    (F::NAME, lines.collect())
}
