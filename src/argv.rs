//! Takes tokens and the proxy's password out of the process's own command line and environment, where `ps` and
//! `/proc/PID/environ` show them.
//!
//! The kernel shows the memory in which it laid both down at exec. Writing there through
//! `/proc/self/mem` needs no unsafe code. Copies that the program made before are not touched.

use std::fs::{File, OpenOptions};
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;

use zeroize::Zeroizing;

use crate::limits::ARGUMENTS_MAX;

/// What stands where a token stood.
const MASK: u8 = b'*';

/// Flags whose value is a token.
const FLAGS: [(&[u8], &[u8]); 2] = [(b"-t", b"--access-token"), (b"-i", b"--client-token")];

/// Variables that hold a token, or may hold a proxy's password.
const VARIABLES: [&[u8]; 4] = [
    b"AWSIOT_TUNNEL_ACCESS_TOKEN=",
    b"AWSIOT_TUNNEL_CLIENT_TOKEN=",
    b"HTTPS_PROXY=",
    b"https_proxy=",
];

/// Why the tokens could not be wiped; they stay visible to other users of the machine.
#[derive(Debug)]
pub enum WipeError {
    /// A file of `/proc` cannot be used.
    Proc(&'static str, io::Error),
    /// `/proc/self/stat` does not say where command line and environment are.
    Areas,
}

impl std::fmt::Display for WipeError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            WipeError::Proc(file, error) => write!(
                f,
                "tokens stay visible in the process list and in /proc: {file}: {error}; \
                 mount /proc, or give tokens by another way than flags and variables"
            ),
            WipeError::Areas => f.write_str(
                "tokens stay visible in the process list and in /proc: /proc/self/stat does not \
                 say where they are; expected a Linux of 3.5 or newer",
            ),
        }
    }
}

impl std::error::Error for WipeError {}

/// Overwrites the values of `-t`, `-i` and their long forms, and of the variables for secrets, in the memory
/// that `/proc` shows. To be called as soon as both are copied, for the environment reads as masks
/// afterwards; and before the process makes itself undumpable: then it could no longer open its own memory.
///
/// # Errors
/// If there is no `/proc`, or it cannot be written. What was wiped until then stays wiped.
pub fn wipe() -> Result<(), WipeError> {
    let stat = std::fs::read_to_string(STAT).map_err(|error| WipeError::Proc(STAT, error))?;
    let [arguments, environment] = areas(&stat).ok_or(WipeError::Areas)?;
    let memory = OpenOptions::new()
        .read(true)
        .write(true)
        .open(MEMORY)
        .map_err(|error| WipeError::Proc(MEMORY, error))?;
    wipe_area(&memory, &arguments, tokens_of_arguments)?;
    wipe_area(&memory, &environment, tokens_of_environment)
}

const STAT: &str = "/proc/self/stat";
const MEMORY: &str = "/proc/self/mem";

/// The addresses of command line and environment: fields 48 to 51. Source: proc_pid_stat(5).
fn areas(stat: &str) -> Option<[Range<u64>; 2]> {
    // The second field, the program's name in parentheses, may hold blanks and parentheses.
    let (_, fields) = stat.rsplit_once(')')?;
    let mut addresses = fields.split_ascii_whitespace().skip(48 - 3);
    let mut area = || {
        let start = addresses.next()?.parse().ok()?;
        let end = addresses.next()?.parse().ok()?;
        (0 < start && start <= end && end - start <= ARGUMENTS_MAX).then_some(start..end)
    };
    Some([area()?, area()?])
}

fn wipe_area(
    memory: &File,
    area: &Range<u64>,
    tokens: impl Fn(&[u8]) -> Vec<Range<usize>>,
) -> Result<(), WipeError> {
    let length = usize::try_from(area.end - area.start).map_err(|_| WipeError::Areas)?;
    let mut bytes = Zeroizing::new(vec![0; length]);
    let failed = |error| WipeError::Proc(MEMORY, error);
    memory
        .read_exact_at(&mut bytes, area.start)
        .map_err(failed)?;
    for token in tokens(&bytes) {
        let at = area.start + u64::try_from(token.start).map_err(|_| WipeError::Areas)?;
        memory
            .write_all_at(&vec![MASK; token.len()], at)
            .map_err(failed)?;
    }
    Ok(())
}

/// The strings of an area, each of which ends in NUL, with their offsets.
fn strings(area: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    let mut offset = 0;
    area.split(|byte| *byte == 0).map(move |string| {
        let start = offset;
        offset += string.len() + 1;
        (start, string)
    })
}

fn tokens_of_arguments(area: &[u8]) -> Vec<Range<usize>> {
    let mut tokens = Vec::new();
    let mut next_is_token = false;
    // The program's name comes first, whatever it looks like.
    for (start, argument) in strings(area).skip(1) {
        let end = start + argument.len();
        if std::mem::take(&mut next_is_token) {
            tokens.push(start..end);
            continue;
        }
        for (short, long) in FLAGS {
            if argument == short || argument == long {
                next_is_token = true;
            } else if let Some(rest) = argument.strip_prefix(long) {
                // Only `=` may follow; anything else is another flag.
                if rest.starts_with(b"=") {
                    tokens.push(start + long.len() + 1..end);
                }
            } else if argument.starts_with(short) {
                tokens.push(start + short.len()..end);
            }
        }
    }
    tokens
}

fn tokens_of_environment(area: &[u8]) -> Vec<Range<usize>> {
    let mut tokens = Vec::new();
    for (start, variable) in strings(area) {
        for name in VARIABLES {
            if variable.starts_with(name) {
                tokens.push(start + name.len()..start + variable.len());
            }
        }
    }
    tokens
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    fn masked(text: &str, tokens: impl Fn(&[u8]) -> Vec<Range<usize>>) -> String {
        let mut bytes = text.replace('|', "\0").into_bytes();
        for range in tokens(&bytes) {
            bytes[range].fill(MASK);
        }
        let masked = String::from_utf8(bytes).expect("the mask is ASCII");
        masked.replace('\0', "|")
    }

    #[test]
    fn every_form_of_the_flags_is_found() {
        for (line, expected) in [
            ("cellgate|-t|secret|-r|eu|", "cellgate|-t|******|-r|eu|"),
            ("cellgate|-tsecret|-d|22|", "cellgate|-t******|-d|22|"),
            ("cellgate|-t=secret|", "cellgate|-t*******|"),
            (
                "cellgate|--access-token|secret|",
                "cellgate|--access-token|******|",
            ),
            (
                "cellgate|--access-token=secret|",
                "cellgate|--access-token=******|",
            ),
            (
                "cellgate|-i|id|--client-token=id|",
                "cellgate|-i|**|--client-token=**|",
            ),
            (
                "cellgate|--client-tokens=id|",
                "cellgate|--client-tokens=id|",
            ),
            ("-tool|-v|4|", "-tool|-v|4|"),
            ("cellgate|-t|", "cellgate|-t|"),
            ("cellgate|-t||x|", "cellgate|-t||x|"),
            ("", ""),
        ] {
            assert_eq!(masked(line, tokens_of_arguments), expected, "{line}");
        }
        assert_eq!(
            masked(
                "A=1|AWSIOT_TUNNEL_ACCESS_TOKEN=secret|AWSIOT_TUNNEL_CLIENT_TOKEN=|B=-t|",
                tokens_of_environment
            ),
            "A=1|AWSIOT_TUNNEL_ACCESS_TOKEN=******|AWSIOT_TUNNEL_CLIENT_TOKEN=|B=-t|"
        );
        assert_eq!(
            masked(
                "HTTPS_PROXY=http://u:p@h|https_proxy=u:p@h|NO_PROXY=localhost|HTTP_PROXY=h|",
                tokens_of_environment
            ),
            "HTTPS_PROXY=************|https_proxy=*****|NO_PROXY=localhost|HTTP_PROXY=h|"
        );
    }

    #[test]
    fn areas_stand_behind_any_program_name() {
        let mut fields: Vec<String> = (3..=52).map(|field| field.to_string()).collect();
        let stat = |fields: &[String]| format!("7 (a) b (c) {}", fields.join(" "));
        assert_eq!(areas(&stat(&fields)), Some([48..49, 50..51]));
        fields[48 - 3] = "0".into();
        assert_eq!(areas(&stat(&fields)), None, "a kernel that hides them");
        fields[48 - 3] = "50".into();
        assert_eq!(areas(&stat(&fields)), None, "an end before the start");
        assert_eq!(areas("7 (cellgate) S 1"), None);
        assert_eq!(areas(""), None);
    }

    const MARKER: &str = "CELLGATE_TEST_WIPES";

    /// The child of the test below: it is this test binary, run again.
    #[test]
    fn child_wipes_itself() {
        if std::env::var_os(MARKER).is_none() {
            return;
        }
        wipe().expect("a writable /proc");
        let line = std::fs::read("/proc/self/cmdline").expect("a command line");
        let environment = std::fs::read("/proc/self/environ").expect("an environment");
        println!("<<{}>>", String::from_utf8_lossy(&line).replace('\0', "|"));
        println!(
            "[[{}]]",
            String::from_utf8_lossy(&environment).replace('\0', "|")
        );
    }

    #[test]
    fn a_real_process_shows_its_tokens_no_longer() {
        let own = std::env::current_exe().expect("the test binary");
        let output = Command::new(own)
            // What follows `--` are filters for the test harness, and arguments for the kernel.
            .args([
                "child_wipes_itself",
                "--nocapture",
                "--",
                "-t",
                "flag-secret",
            ])
            .args([
                "-tglued-secret",
                "--access-token=equal-secret",
                "-i",
                "client-secret",
            ])
            .env_clear()
            .env(MARKER, "1")
            .env("AWSIOT_TUNNEL_ACCESS_TOKEN", "variable-secret")
            .env("AWSIOT_TUNNEL_CLIENT_TOKEN", "second-secret")
            .env("HTTPS_PROXY", "http://u:upper-secret@h")
            .env("https_proxy", "http://u:lower-secret@h")
            .stdin(Stdio::null())
            .output()
            .expect("the test binary runs");
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(
            said.contains("|-t|***********|-t************|--access-token=************|"),
            "{said}"
        );
        assert!(
            said.contains("AWSIOT_TUNNEL_ACCESS_TOKEN=***************|"),
            "{said}"
        );
        assert!(
            said.contains("AWSIOT_TUNNEL_CLIENT_TOKEN=*************|"),
            "{said}"
        );
        assert!(!said.contains("-secret"), "{said}");
    }
}
