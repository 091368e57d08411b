//! Memory that holds tokens and keys is for this process alone.

use std::fmt;

use nix::errno::Errno;
use nix::sys::prctl::set_dumpable;
use nix::sys::resource::{Resource, setrlimit};

/// What could not be given up.
#[derive(Debug)]
pub enum ProcessError {
    /// Other processes of the same user can read the memory, and a crash leaves a core file.
    Dumpable(Errno),
}

impl fmt::Display for ProcessError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ProcessError::Dumpable(error) => write!(
                f,
                "processes of the same user can read the tokens in this one's memory, and a crash leaves them in a core \
                 file: PR_SET_DUMPABLE: {error}; look whether a filter of system calls forbids prctl"
            ),
        }
    }
}

impl std::error::Error for ProcessError {}

/// No debugger, no `/proc/PID/mem` and no core file for anybody but root, from now on. To be called as early as can
/// be, but after [`argv::wipe`](crate::argv::wipe), which writes to `/proc/self/mem`: the kernel gives the files
/// there to root with it.
///
/// # Errors
/// The kernel, or a filter of system calls, does not let us.
pub fn seal() -> Result<(), ProcessError> {
    // Alone it would be too little: a core_pattern with a pipe does not ask for it.
    let _ = setrlimit(Resource::RLIMIT_CORE, 0, 0);
    set_dumpable(false).map_err(ProcessError::Dumpable)
}
