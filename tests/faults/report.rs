//! `docs/faults.md`: the rows of every family as tables.

use std::fmt::Write as _;
use std::path::PathBuf;

use crate::runner::lines;
use crate::table::{BACK, Cell, Exit, Fate, Holds, Line, PROMPT, Stage};

const HEAD: &str = "\
# Faults

Written from `tests/faults` by `FAULTS_DOCS=write cargo test --test faults`; do not edit. The test runs every cell with the
real agent on a gateway of its own, and compares this page with its rows.

Each thing that the gateway depends on fails at each stage of its work:

| stage | when the fault comes |
|---|---|
| waiting | the agent runs and no tunnel is there; AWS tells of one behind the fault |
| dialling | the handshake of a tunnel has begun |
| idle | the tunnel is up and nobody is in it |
| starting | the source has started a stream, and the agent tries to reach the controller |
| LOAD, SAVE | in the middle of a program, to the robot and from it |
| draining | the source has closed, and a slow controller has yet to take what is queued |
| after | a LOAD is done and its connection is closed |

In every cell a neighbour works on another controller through the same tunnel, from *starting* on, and in every cell holds:

- **Right bytes, right connection.** What a controller received is the beginning of what was sent to it, and so is what came
  back, byte for byte; all of it where the work goes on. The neighbour's bytes are a pattern of their own, compared as they come.
- **Nothing lost that was acknowledged.** Of a LOAD that is cut at most the block on its way is missing. A program that was
  loaded stays as it is, and so does its line in the audit file. A tunnel that was told to the broker comes up.
- **In order.** A controller sees FIN and no RST, but for the cells with a †.
- **An end, a reason.** The work meets its fate within 10 s, or within the first time of the cell, with a line of the log that
  has the words below the table. Where the network is dead the controllers hear of it in that time, and the source when it
  is back.
- **It works again.** Within 15 s from the end of the fault, or the second time of the cell, a fresh program is loaded, every
  byte of it compared.
- The agent broke no rule of service and broker, wrote no secret, did not panic; it is the same process, but for the cells
  with an exit.

| in a cell | means |
|---|---|
| goes on | the work goes on; before there is any, the tunnel comes up all the same. It was dialled once |
| this ends | the stage's own connection ends, the neighbour's goes on. The tunnel was dialled once |
| all end | the connections of the tunnel end, or the dial fails; it is dialled again |
| delivered | the same, but the draining controller gets every byte first |
| goes on, or ends | as *goes on*, or the agent ends with the words of the log. In both cases a fresh program is loaded afterwards |
| exit 0, signal 9 | how the agent ends; it is started again, as by any supervisor |
| –¹ | there is nothing to fail; the note says why |
";

/// Every family, in the order of the page.
fn families() -> Vec<(&'static str, Vec<Line>)> {
    vec![
        lines::<crate::service::Fails>(),
        lines::<crate::network::Fails>(),
        lines::<crate::broker::Fails>(),
        lines::<crate::controller::Fails>(),
        lines::<crate::dns::Fails>(),
        lines::<crate::proxy::Fails>(),
        lines::<crate::clock::Fails>(),
        lines::<crate::disk::Fails>(),
        lines::<crate::memory::Fails>(),
        lines::<crate::signals::Comes>(),
    ]
}

fn page() -> String {
    let mut page = HEAD.to_owned();
    for (name, lines) in families() {
        let _ = write!(page, "\n## {name}\n\n");
        table(&mut page, &lines);
        words(&mut page, &lines);
    }
    page
}

/// A row for each fault, with numbers at what is not there.
fn table(page: &mut String, lines: &[Line]) {
    let heads: Vec<&str> = Stage::ALL.iter().map(|stage| stage.name()).collect();
    let _ = writeln!(page, "| | {} |", heads.join(" | "));
    let _ = writeln!(page, "|---|{}", "---|".repeat(heads.len()));
    let mut notes: Vec<&str> = Vec::new();
    for line in lines {
        let _ = write!(page, "| {} |", line.name);
        for cell in line.cells {
            let text = match cell {
                Cell::Holds(holds) => short(holds),
                Cell::No(why) => {
                    let place = notes.iter().position(|note| *note == why);
                    let place = place.unwrap_or_else(|| {
                        notes.push(why);
                        notes.len() - 1
                    });
                    format!("–{}", raised(place + 1))
                }
            };
            let _ = write!(page, " {text} |");
        }
        page.push('\n');
    }
    if !notes.is_empty() {
        page.push('\n');
        let numbered = notes.iter().enumerate();
        let numbered = numbered.map(|(place, note)| format!("{} {note}", raised(place + 1)));
        let _ = writeln!(page, "{}.", numbered.collect::<Vec<_>>().join("; "));
    }
}

fn short(holds: Holds) -> String {
    let fate = match holds.fate {
        Fate::GoesOn => "goes on",
        Fate::ThisEnds => "this ends",
        Fate::AllEnd => "all end",
        Fate::Delivered => "delivered",
        Fate::Either => "goes on, or ends",
    };
    let dagger = if holds.abrupt { "†" } else { "" };
    let exit = match holds.exit {
        None => String::new(),
        Some(Exit::Code(code)) => format!(", exit {code}"),
        Some(Exit::Signal(number)) => format!(", signal {number}"),
    };
    let usual = holds.within == PROMPT && holds.back == BACK;
    let (within, back) = (holds.within.as_secs(), holds.back.as_secs());
    let times = if usual {
        String::new()
    } else {
        format!("; {within} s, {back} s")
    };
    format!("{fate}{dagger}{exit}{times}")
}

fn raised(number: usize) -> String {
    const DIGITS: [char; 10] = ['⁰', '¹', '²', '³', '⁴', '⁵', '⁶', '⁷', '⁸', '⁹'];
    let digits = number.to_string();
    let digits = digits
        .bytes()
        .map(|digit| DIGITS[usize::from(digit - b'0')]);
    digits.collect()
}

/// The words of the log: those that most cells of a row share stand once.
fn words(page: &mut String, lines: &[Line]) {
    page.push_str("\n| the log says | where |\n|---|---|\n");
    for line in lines {
        let mut said: Vec<(String, Vec<&str>)> = Vec::new();
        for (stage, cell) in Stage::ALL.into_iter().zip(line.cells) {
            let Cell::Holds(holds) = cell else { continue };
            let quoted = holds.says.iter().map(|words| format!("`{}`", words.trim()));
            let words = match holds.says {
                [] => "nothing".to_owned(),
                _ => quoted.collect::<Vec<_>>().join(" … "),
            };
            match said.iter_mut().find(|(known, _)| *known == words) {
                Some((_, stages)) => stages.push(stage.name()),
                None => said.push((words, vec![stage.name()])),
            }
        }
        let one = said.len() == 1;
        for (words, stages) in said {
            let stages = if one {
                String::new()
            } else {
                format!(": {}", stages.join(", "))
            };
            let _ = writeln!(page, "| {words} | {}{stages} |", line.name);
        }
    }
}

#[test]
fn the_page_is_what_is_tested() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("docs/faults.md");
    let page = page();
    if std::env::var_os("FAULTS_DOCS").is_some_and(|what| what == "write") {
        std::fs::write(&path, page).expect("the docs can be written");
        return;
    }
    let stands = std::fs::read_to_string(&path).expect("the page is there");
    assert!(
        stands == page,
        "docs/faults.md is not what is tested: FAULTS_DOCS=write cargo test --test faults the_page"
    );
}
