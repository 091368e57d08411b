//! The command line: the flags of the reference's destination mode, and what became of the others.

use std::ffi::OsString;
use std::path::PathBuf;

use lexopt::{Arg, Parser};

use super::fault::{Faults, Misfit, Place, unquoted};

/// A flag that is obeyed. Each takes a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flag {
    /// `-t`: the access token.
    AccessToken,
    /// `-i`: the client token.
    ClientToken,
    /// `-e`: the endpoint.
    Endpoint,
    /// `-r`: the region.
    Region,
    /// `-d`: services and targets.
    Destination,
    /// `--config-dir`: a folder of services and targets.
    ConfigDir,
    /// `--config`: the file.
    Config,
    /// `-b`: the source address of all routes.
    Bind,
    /// `-c`: certificates.
    CaPath,
    /// `-v`: how much is logged.
    Verbose,
    /// `-m`: destination, or nothing.
    Mode,
}

impl Flag {
    /// Every flag with its letter and its name.
    const ALL: [(Flag, Option<char>, &'static str); 11] = [
        (Flag::AccessToken, Some('t'), "access-token"),
        (Flag::ClientToken, Some('i'), "client-token"),
        (Flag::Endpoint, Some('e'), "proxy-endpoint"),
        (Flag::Region, Some('r'), "region"),
        (Flag::Destination, Some('d'), "destination-app"),
        (Flag::ConfigDir, None, "config-dir"),
        (Flag::Config, None, "config"),
        (Flag::Bind, Some('b'), "local-bind-address"),
        (Flag::CaPath, Some('c'), "capath"),
        (Flag::Verbose, Some('v'), "verbose"),
        (Flag::Mode, Some('m'), "mode"),
    ];

    /// The place of a fault in its value.
    pub(super) fn place(self) -> Place {
        let all = Flag::ALL.iter();
        let names = all.filter(|(flag, ..)| *flag == self);
        let shown = names.map(|(_, short, long)| spelled(*short, long));
        Place::Flag(shown.collect())
    }
}

/// A flag of the reference that cellgate does not obey, and why.
struct Refused {
    short: Option<char>,
    long: &'static str,
    has_value: bool,
    expected: &'static str,
    advice: &'static str,
}

const REFUSED: [Refused; 5] = [
    Refused {
        short: Some('k'),
        long: "no-ssl-host-verify",
        has_value: false,
        expected: "a verified connection: without it anybody on the way could reach the robots",
        advice: "trust your own certificate authority with -c FILE",
    },
    Refused {
        short: Some('s'),
        long: "source-listen-port",
        has_value: true,
        expected: "-d/--destination-app: cellgate is the destination side and listens on no port",
        advice: "run localproxy -s on the engineer's computer",
    },
    Refused {
        short: Some('y'),
        long: "destination-client-type",
        has_value: true,
        expected: "nothing: it is for sources; cellgate takes V1, V2 and V3 as the service chooses",
        advice: "leave it out",
    },
    Refused {
        short: None,
        long: "settings-json",
        has_value: true,
        expected: "nothing: the fine settings of localproxy are for queues and retries cellgate has not",
        advice: "leave it out, and set stall, idle and pace of a route in cellgate.toml",
    },
    Refused {
        short: None,
        long: "export-default-settings",
        has_value: true,
        expected: "nothing: cellgate has no settings file beside cellgate.toml",
        advice: "see docs/configuration.md",
    },
];

fn spelled(short: Option<char>, long: &str) -> String {
    match short {
        Some(short) => format!("-{short}/--{long}"),
        None => format!("--{long}"),
    }
}

/// What the command line is about.
pub(super) enum Command {
    /// Print the help and exit.
    Help,
    /// Print the version and exit.
    Version,
    /// Run, with these flags.
    Run(Flags),
}

/// The flags that were given, with their values.
#[derive(Default)]
pub(super) struct Flags(Vec<(Flag, OsString)>);

impl Flags {
    /// The value of a flag as text, once.
    pub(super) fn text(&mut self, flag: Flag, faults: &mut Faults) -> Option<(String, Place)> {
        let place = flag.place();
        let text = self.take(flag)?.into_string().map_err(|_| {
            // The value is not repeated: it may be a token.
            Misfit::new(
                "a value that is no UTF-8",
                "text",
                "look for a stray character",
            )
        });
        let text = faults.keep(place.clone(), text)?;
        Some((text, place))
    }

    /// The value of a flag as a path, once.
    pub(super) fn path(&mut self, flag: Flag) -> Option<PathBuf> {
        self.take(flag).map(PathBuf::from)
    }

    /// Whether the flag is there and not yet taken.
    pub(super) fn has(&self, flag: Flag) -> bool {
        self.0.iter().any(|(given, _)| *given == flag)
    }

    fn take(&mut self, flag: Flag) -> Option<OsString> {
        let at = self.0.iter().position(|(given, _)| *given == flag)?;
        Some(self.0.swap_remove(at).1)
    }
}

/// Reads the command line, without the program's name.
pub(super) fn parse(args: impl Iterator<Item = OsString>, faults: &mut Faults) -> Command {
    let mut parser = Parser::from_args(args);
    let mut flags = Flags::default();
    loop {
        let written = match parser.next() {
            Ok(None) => return Command::Run(flags),
            Ok(Some(Arg::Short('h') | Arg::Long("help"))) => return Command::Help,
            Ok(Some(Arg::Short('V') | Arg::Long("version"))) => return Command::Version,
            Ok(Some(Arg::Short(letter))) => Written::Short(letter),
            Ok(Some(Arg::Long(name))) => Written::Long(name.to_owned()),
            Ok(Some(Arg::Value(value))) => {
                faults.add(stray(&value.to_string_lossy()));
                continue;
            }
            // The error holds the value, which may be a token, and must not be shown.
            Err(_) => {
                faults.add(stray(""));
                continue;
            }
        };
        take_flag(&mut parser, &mut flags, &written, faults);
    }
}

/// A flag as it stands on the command line.
enum Written {
    Short(char),
    Long(String),
}

impl Written {
    fn is(&self, short: Option<char>, long: &str) -> bool {
        match self {
            Written::Short(letter) => short == Some(*letter),
            Written::Long(name) => name == long,
        }
    }
}

fn take_flag(parser: &mut Parser, flags: &mut Flags, written: &Written, faults: &mut Faults) {
    for (flag, short, long) in Flag::ALL {
        if written.is(short, long) {
            match value(parser) {
                None => faults.add(missing_value().at(flag.place())),
                Some(_) if flags.has(flag) => faults.add(repeated().at(flag.place())),
                Some(value) => flags.0.push((flag, value)),
            }
            return;
        }
    }
    for refused in &REFUSED {
        if written.is(refused.short, refused.long) {
            if refused.has_value {
                value(parser);
            } else {
                parser.optional_value();
            }
            let place = Place::Flag(spelled(refused.short, refused.long));
            let misfit = Misfit::new("a flag that is refused", refused.expected, refused.advice);
            faults.add(misfit.at(place));
            return;
        }
    }
    let place = Place::Flag(match written {
        Written::Short(letter) => format!("-{}", letter.escape_debug()),
        Written::Long(name) => format!("--{}", unquoted(name)),
    });
    // Its value, if it has one, would be a second fault that says nothing.
    parser.optional_value();
    faults.add(
        Misfit::new(
            "an unknown flag",
            "a flag of `cellgate --help`",
            "correct the spelling; names of flags cannot be shortened",
        )
        .at(place),
    );
}

/// The value of the flag just read. What looks like the next flag is no value; a value that starts
/// with a hyphen is written `--flag=-value`.
fn value(parser: &mut Parser) -> Option<OsString> {
    if let Some(value) = parser.optional_value() {
        return Some(value);
    }
    let mut rest = parser.try_raw_args()?;
    let next = rest.peek()?.as_encoded_bytes();
    if next.starts_with(b"-") && next.len() > 1 {
        return None;
    }
    rest.next()
}

fn missing_value() -> Misfit {
    Misfit::new("no value", "a value", "see `cellgate --help`")
}

fn repeated() -> Misfit {
    Misfit::new(
        "this flag a second time",
        "each flag once",
        "several services stand in one -d, with commas between",
    )
}

fn stray(value: &str) -> super::Fault {
    // A value that stands alone may be a token behind a mistyped flag: only its length is shown.
    let got = format!("a word of {} bytes that belongs to no flag", value.len());
    Misfit::new(got, "flags and their values", "see `cellgate --help`")
        .at(Place::Flag("command line".to_owned()))
}
