//! The commands of the AS monitor. LOAD and SAVE do what a real controller does; the others say something alike.

use super::memory::Selection;
use super::record::End;
use super::terminal::Terminal;
use super::transfer;

/// A command line, understood.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Command {
    Nothing,
    Load {
        file: String,
    },
    Save(Selection),
    Id,
    Type {
        variable: String,
    },
    Where {
        mode: u32,
    },
    Messages,
    Directory,
    Delete {
        name: String,
    },
    /// Not a command, or its argument is missing.
    Illegal,
}

/// Carries a command out, up to the prompt behind it.
pub(super) async fn execute(terminal: &mut Terminal, line: &[u8]) -> Result<(), End> {
    let reply = match Command::parse(&String::from_utf8_lossy(line)) {
        Command::Nothing => return terminal.say(">").await,
        Command::Load { file } => transfer::load(terminal, &file).await?,
        Command::Save(selection) => transfer::save(terminal, &selection).await?,
        Command::Id => identity(terminal),
        Command::Type { variable } => value(terminal, &variable),
        Command::Where { mode } if mode >= ENDLESS => stream(terminal).await?,
        Command::Where { .. } => picture(terminal),
        Command::Messages => String::new(),
        Command::Directory => directory(terminal),
        Command::Delete { name } => delete(terminal, &name).await?,
        Command::Illegal => "(P0100)Illegal input data.".into(),
    };
    terminal.say(&reply).await?;
    terminal.say("\r\n>").await
}

/// `WHERE` of this mode and above goes on until a key is pressed.
const ENDLESS: u32 = 10;

impl Command {
    /// Understands a line. Capital letters do not matter, and a qualifier may follow the command: `SAVE/ROB x`.
    fn parse(line: &str) -> Self {
        let line = line.trim();
        let (head, argument) = match line.split_once([' ', '\t']) {
            Some((head, rest)) => (head, rest.trim()),
            None => (line, ""),
        };
        let head = head.to_ascii_uppercase();
        let mut parts = head.split('/');
        let verb = parts.next().unwrap_or_default();
        let qualifiers: Vec<String> = parts.map(str::to_owned).collect();
        match (verb, argument) {
            ("", "") => Self::Nothing,
            ("LOAD", file) if !file.is_empty() => Self::Load { file: file.into() },
            ("SAVE", file) if !file.is_empty() => Self::Save(selection(qualifiers, file)),
            ("ID", "") => Self::Id,
            ("TYPE", variable) if !variable.is_empty() => Self::Type {
                variable: variable.to_ascii_lowercase(),
            },
            ("WHERE", "") => Self::Where { mode: 1 },
            ("WHERE", mode) => mode
                .parse()
                .map_or(Self::Illegal, |mode| Self::Where { mode }),
            ("MESSAGES", mode) if ["ON", "OFF"].iter().any(|m| mode.eq_ignore_ascii_case(m)) => {
                Self::Messages
            }
            ("DIRECTORY" | "DIR", _) => Self::Directory,
            ("DELETE", name) if !name.is_empty() => Self::Delete { name: name.into() },
            _ => Self::Illegal,
        }
    }
}

/// `file=program,program`, or a file alone.
fn selection(qualifiers: Vec<String>, argument: &str) -> Selection {
    let (file, programs) = argument.split_once('=').unwrap_or((argument, ""));
    Selection {
        qualifiers,
        file: file.trim().into(),
        programs: programs
            .split(',')
            .map(|name| name.trim().to_owned())
            .filter(|name| !name.is_empty())
            .collect(),
    }
}

fn identity(terminal: &Terminal) -> String {
    let name = &terminal.connection.shared().options.name;
    format!(
        "Robot name: RS007N-A001  Num of axes: 6  Serial No.: 1  ({name})\r\n\
         Number of signals: output=64 input=64 internal=256\r\n\
         === AS GROUP ===    : ASE_010400YZ 2024/03/11\r\n\
         === SERVO GROUP === : AVE_080000X"
    )
}

fn value(terminal: &Terminal, variable: &str) -> String {
    let shared = terminal.connection.shared();
    if variable == "clock" {
        return format!("{:>15.3}", shared.since.elapsed().as_secs_f64());
    }
    match shared.lock().variables.get(variable) {
        Some(value) => format!("{value:>15.3}"),
        None => format!("(E0101)Undefined variable name: {variable}"),
    }
}

fn directory(terminal: &Terminal) -> String {
    let programs = terminal.connection.shared().lock().memory.programs();
    let mut listing = String::from("Program");
    for name in &programs {
        listing.push_str("\r\n  ");
        listing.push_str(name);
    }
    listing
}

async fn delete(terminal: &mut Terminal, name: &str) -> Result<String, End> {
    terminal.say("Are you sure ? (Yes:1, No:0) ").await?;
    if terminal.line().await? != b"1" {
        return Ok(String::new());
    }
    let found = terminal.connection.shared().lock().memory.delete(name);
    Ok(if found {
        String::new()
    } else {
        not_there(name)
    })
}

/// What the controller says of a program that it does not have.
pub(super) fn not_there(name: &str) -> String {
    format!("(E0102)Program does not exist: {name}")
}

/// Where the arm is. It goes round slowly, so that two pictures differ.
fn picture(terminal: &Terminal) -> String {
    let turn = terminal.connection.shared().since.elapsed().as_secs_f64();
    let joints: String = (1..=6)
        .map(|joint| format!("{:>10.3}", 20.0 * (turn / f64::from(joint)).sin()))
        .collect();
    let (sine, cosine) = turn.sin_cos();
    format!(
        "     JT1       JT2       JT3       JT4       JT5       JT6\r\n{joints}\r\n    \
         X[mm]     Y[mm]     Z[mm]    O[deg]    A[deg]    T[deg]\r\n\
         {:>10.3}{:>10.3}{:>10.3}{:>10.3}{:>10.3}{:>10.3}",
        500.0 * cosine,
        500.0 * sine,
        310.0,
        90.0,
        180.0,
        -90.0
    )
}

/// `WHERE 10`: picture after picture, until a line or a key comes.
async fn stream(terminal: &mut Terminal) -> Result<String, End> {
    let interval = terminal.connection.shared().options.where_interval;
    loop {
        let next = picture(terminal);
        terminal.say(&next).await?;
        terminal.say("\r\n").await?;
        if terminal.pressed(interval).await? {
            terminal.line().await?;
            return Ok(String::new());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_understood() {
        let file = |name: &str| Selection {
            file: name.into(),
            ..Selection::default()
        };
        let table = [
            ("", Command::Nothing),
            (
                "load Using.rcc",
                Command::Load {
                    file: "Using.rcc".into(),
                },
            ),
            ("LOAD", Command::Illegal),
            ("SAVE gripper", Command::Save(file("gripper"))),
            (
                "SAVE/ROB using.rcc",
                Command::Save(Selection {
                    qualifiers: vec!["ROB".into()],
                    ..file("using.rcc")
                }),
            ),
            (
                "save/p x = one, two",
                Command::Save(Selection {
                    qualifiers: vec!["P".into()],
                    programs: vec!["one".into(), "two".into()],
                    ..file("x")
                }),
            ),
            ("WHERE", Command::Where { mode: 1 }),
            ("WHERE 10", Command::Where { mode: 10 }),
            ("WHERE ever", Command::Illegal),
            ("MESSAGES ON", Command::Messages),
            ("MESSAGES", Command::Illegal),
            ("EXPLODE", Command::Illegal),
        ];
        for (line, command) in table {
            assert_eq!(Command::parse(line), command, "{line}");
        }
    }
}
