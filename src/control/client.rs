//! The other end of the local socket: `cellgate open`, `close` and `status`.
//!
//! Is responsible for: one question and its answer, with an end to every wait, and for saying why there is no
//! answer.

use std::fmt;
use std::fs;
use std::io::{self, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread;

use nix::unistd::{Gid, Group};
use zeroize::Zeroizing;

use super::Reply;
use super::request::{self, RequestError};
use crate::config::paths;
use crate::limits::{CONTROL_CLIENT_LIMIT, CONTROL_REPLY_MAX};

/// Why there is no answer.
#[derive(Debug)]
pub enum AskError {
    /// What was to be opened is no tunnel for us.
    Request(RequestError),
    /// No agent listens at this socket.
    NoAgent(PathBuf),
    /// The system keeps us away from the socket; whose group it is, if that can be seen.
    Forbidden(PathBuf, Option<String>),
    /// No answer within [`CONTROL_CLIENT_LIMIT`].
    Timeout(PathBuf),
    /// The connection broke.
    Broken(PathBuf, io::Error),
    /// It answered something that this program does not know.
    Strange(PathBuf),
}

impl fmt::Display for AskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AskError::Request(error) => error.fmt(f),
            AskError::NoAgent(socket) => write!(
                f,
                "no agent runs here: nothing listens at {}; start it (`systemctl start cellgate`), or name its \
                 file with --config",
                socket.display()
            ),
            AskError::Forbidden(socket, group) => {
                write!(f, "your user may not use {}: ", socket.display())?;
                match group {
                    Some(group) => write!(
                        f,
                        "it is not in the group {group}; use sudo, or let an administrator add it \
                         (`usermod -aG {group} NAME`, then log in again)"
                    ),
                    None => f.write_str("use sudo"),
                }
            }
            AskError::Timeout(socket) => write!(
                f,
                "the agent at {} did not answer within {} s; see its log (`journalctl -u cellgate`)",
                socket.display(),
                CONTROL_CLIENT_LIMIT.as_secs()
            ),
            AskError::Broken(socket, error) => write!(
                f,
                "the connection to the agent at {} broke ({error}); see its log (`journalctl -u cellgate`)",
                socket.display()
            ),
            AskError::Strange(socket) => write!(
                f,
                "the agent at {} answers what this program does not know; both must be of one version",
                socket.display()
            ),
        }
    }
}

impl std::error::Error for AskError {}

/// Hands a tunnel over: `given` is the JSON of a notification, or an access token alone.
///
/// # Errors
/// It is neither, or there is no answer.
pub fn open(runtime: &Path, given: &[u8]) -> Result<Reply, AskError> {
    let line = request::open_line(given).map_err(AskError::Request)?;
    ask(runtime, line)
}

/// Ends the tunnel whose name begins like this, or the only one; [`request::is_name`] says whether it is a name.
///
/// # Errors
/// There is no answer.
pub fn close(runtime: &Path, name: Option<&str>) -> Result<Reply, AskError> {
    ask(runtime, Zeroizing::new(request::close_line(name)))
}

/// What goes on.
///
/// # Errors
/// There is no answer.
pub fn status(runtime: &Path) -> Result<Reply, AskError> {
    ask(runtime, Zeroizing::new(request::STATUS.to_vec()))
}

fn ask(runtime: &Path, line: Zeroizing<Vec<u8>>) -> Result<Reply, AskError> {
    let socket = paths::socket(runtime);
    let (answer, answered) = mpsc::channel();
    let path = socket.clone();
    // Connecting to a local socket has no time limit of its own: it waits for ever in a full queue.
    let asking = move || answer.send(exchange(&path, &line));
    if let Err(error) = thread::Builder::new().spawn(asking) {
        return Err(AskError::Broken(socket, error));
    }
    match answered.recv_timeout(CONTROL_CLIENT_LIMIT) {
        Ok(Ok(line)) => Reply::from_line(&line).map_err(|_| AskError::Strange(socket)),
        Ok(Err(error)) => Err(explained(runtime, socket, error)),
        Err(_) => Err(AskError::Timeout(socket)),
    }
}

fn exchange(socket: &Path, line: &[u8]) -> io::Result<Vec<u8>> {
    let mut stream = UnixStream::connect(socket)?;
    // An agent that refuses answers without reading all of it.
    let written = stream.write_all(line);
    let mut answer = Vec::new();
    let most = u64::try_from(CONTROL_REPLY_MAX).unwrap_or(u64::MAX);
    let read = stream.take(most).read_to_end(&mut answer);
    if answer.ends_with(b"\n") {
        return Ok(answer);
    }
    written?;
    read?;
    Err(io::ErrorKind::UnexpectedEof.into())
}

fn explained(runtime: &Path, socket: PathBuf, error: io::Error) -> AskError {
    use io::ErrorKind as Kind;
    if [Kind::NotFound, Kind::ConnectionRefused].contains(&error.kind()) {
        return AskError::NoAgent(socket);
    }
    if error.kind() == Kind::PermissionDenied {
        let group = fs::metadata(&socket).or_else(|_| fs::metadata(runtime));
        let group = group.ok().map(|metadata| group_name(metadata.gid()));
        return AskError::Forbidden(socket, group);
    }
    AskError::Broken(socket, error)
}

fn group_name(gid: u32) -> String {
    match Group::from_gid(Gid::from_raw(gid)) {
        Ok(Some(group)) => group.name,
        Ok(None) | Err(_) => gid.to_string(),
    }
}
