//! The C++ localproxy, the reference, started as the agent is.

use std::io;
use std::path::Path;
use std::process::Command;

use super::AgentBuilder;

/// A builder for it that knows a service's endpoint (`HOST:PORT`) and trusts its authority, and has no token yet.
///
/// # Errors
/// What the file system says, or that `openssl rehash` cannot be had: the reference wants a folder with hashed names.
pub fn reference(binary: &Path, endpoint: &str, ca_pem: &str) -> io::Result<AgentBuilder> {
    let builder = AgentBuilder::new(std::path::absolute(binary)?)?.file("ca.pem", ca_pem)?;
    let folder = builder.folder().to_owned();
    let rehashed = Command::new("openssl")
        .arg("rehash")
        .arg(&folder)
        .status()?;
    if !rehashed.success() {
        return Err(io::Error::other("openssl rehash failed"));
    }
    Ok(builder.args(["-e", endpoint]).arg("-c").arg(folder))
}
