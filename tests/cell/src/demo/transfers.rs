//! The work of the demo: a LOAD into one robot while the other is read out by SAVE again and again.

use std::cell::{Cell, RefCell};

use super::comparison::{Comparison, hex};
use super::failure::Failure;
use super::options::Options;
use super::screen::{Screen, thousands};
use super::stage::{Robot, Stage};
use crate::engineer::{Engineer, Progress};
use crate::program::Program;

/// Runs the transfers and gives what is to be compared.
pub(super) async fn run(
    stage: &Stage,
    options: &Options,
    screen: &Screen,
) -> Result<Vec<Comparison>, Failure> {
    let program = Program::generate(options.seed, options.size);
    let upload = &stage.robots[0];
    screen.title(&format!(
        "LOAD {} into {}: {} bytes, {} blocks of {}",
        program.name,
        upload.name(),
        thousands(program.text.len()),
        program.text.len().div_ceil(options.chunk),
        options.chunk
    ));
    let mut engineer = upload.log_in().await?;
    let board = Board::new(screen, program.text.len());
    let loaded = Cell::new(false);
    let load = async {
        let done = engineer
            .load(&program.name, &program.text, options.chunk, |progress| {
                board.loaded(upload.name(), progress);
            })
            .await;
        loaded.set(true);
        done.map_err(|error| upload.failure(error))
    };
    let (done, read_out) = match stage.robots.get(1) {
        Some(robot) => {
            let (done, read_out) =
                tokio::try_join!(load, read_out(robot, &loaded, &board, screen))?;
            (done, Some((robot, read_out)))
        }
        None => (load.await?, None),
    };
    screen.settle();
    screen.line(&format!(
        "  done in {:.2} s: {} round trips, {:.0} a second; sha256 of what was sent:\n  {}",
        done.elapsed().as_secs_f64(),
        done.round_trips,
        rate(&done),
        hex(&sha256(&program.text))
    ));
    let held = upload.controller.program(&program.name).unwrap_or_default();
    let saved = engineer
        .save(&program.name)
        .await
        .map_err(|error| upload.failure(error))?;
    let mut comparisons = vec![
        Comparison::of_bytes(
            upload.name(),
            "held by the controller",
            &program.text,
            &held,
        ),
        Comparison::of_bytes(upload.name(), "read back by SAVE", &program.text, &saved),
    ];
    comparisons.extend(line_of(upload, engineer).await?);
    if let Some((robot, read_out)) = read_out {
        comparisons.extend(read_out.comparisons);
        comparisons.extend(line_of(robot, read_out.engineer).await?);
    }
    Ok(comparisons)
}

/// What the second engineer has done.
struct ReadOut {
    engineer: Engineer,
    comparisons: Vec<Comparison>,
}

/// Reads the program of a robot until the upload is done, at least once. Each reading is compared; the first, and
/// every one that differs, is shown.
async fn read_out(
    robot: &Robot,
    loaded: &Cell<bool>,
    board: &Board<'_>,
    screen: &Screen,
) -> Result<ReadOut, Failure> {
    let mut engineer = robot.log_in().await?;
    let mut comparisons = Vec::new();
    let mut count = 0;
    let mut different = 0;
    while count == 0 || !loaded.get() {
        let saved = engineer
            .save_with("SAVE", &robot.program.name, |progress| {
                board.read(robot.name(), count + 1, progress);
            })
            .await
            .map_err(|error| robot.failure(error))?;
        count += 1;
        let equal = saved == robot.program.text;
        different += usize::from(!equal);
        if count == 1 || !equal && different <= 3 {
            let what = format!("SAVE, readout {count}");
            let expected = &robot.program.text;
            comparisons.push(Comparison::of_bytes(robot.name(), &what, expected, &saved));
        }
    }
    screen.settle();
    screen.line(&format!(
        "  SAVE {}: {count} readouts of {} bytes meanwhile, {} as it should be",
        robot.name(),
        thousands(robot.program.text.len()),
        if different == 0 {
            "each".to_owned()
        } else {
            format!("{} of them", count - different)
        }
    ));
    Ok(ReadOut {
        engineer,
        comparisons,
    })
}

/// Logs out and compares everything that went over the two ends of the line, login and echo included.
async fn line_of(robot: &Robot, engineer: Engineer) -> Result<[Comparison; 2], Failure> {
    let (sent, received) = engineer.tapes();
    let (sent, received) = (sent.clone(), received.clone());
    engineer
        .close()
        .await
        .map_err(|error| robot.failure(error))?;
    let record = robot.last_connection();
    Ok([
        Comparison::of_tapes(robot.name(), "all bytes to it", &sent, &record.received),
        Comparison::of_tapes(robot.name(), "all bytes from it", &record.sent, &received),
    ])
}

/// The progress of both transfers.
struct Board<'a> {
    screen: &'a Screen,
    total: usize,
    lines: RefCell<[String; 2]>,
    /// Without a terminal, how many quarters were shown.
    quarters: Cell<usize>,
}

impl<'a> Board<'a> {
    fn new(screen: &'a Screen, total: usize) -> Self {
        Self {
            screen,
            total,
            lines: RefCell::default(),
            quarters: Cell::new(0),
        }
    }

    fn loaded(&self, robot: &str, progress: &Progress) {
        self.lines.borrow_mut()[0] = format!(
            "  LOAD {robot}  {:>3} %  {:>9} bytes  {:>4} blocks  {:>4} round trips  {:>5.0}/s",
            100 * progress.bytes / self.total,
            thousands(progress.bytes),
            progress.blocks,
            progress.round_trips,
            rate(progress)
        );
        let quarters = 4 * progress.bytes / self.total;
        if self.screen.is_live() || quarters > self.quarters.replace(quarters) {
            self.show();
        }
    }

    fn read(&self, robot: &str, count: usize, progress: &Progress) {
        self.lines.borrow_mut()[1] = format!(
            "  SAVE {robot}  readout {count:<4} {:>9} bytes  {:>4} blocks",
            thousands(progress.bytes),
            progress.blocks
        );
        if self.screen.is_live() {
            self.show();
        }
    }

    fn show(&self) {
        let lines = self.lines.borrow();
        let shown = lines.iter().filter(|line| !line.is_empty()).cloned();
        self.screen.progress(shown.collect());
    }
}

/// Round trips a second so far.
fn rate(progress: &Progress) -> f64 {
    let seconds = progress.elapsed().as_secs_f64().max(0.001);
    f64::from(u32::try_from(progress.round_trips).unwrap_or(u32::MAX)) / seconds
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    use sha2::{Digest, Sha256};

    Sha256::digest(bytes).into()
}
