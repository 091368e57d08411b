//! Building the real agent.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use tokio::process::Command;

use super::failure::Failure;
use super::screen::Screen;

/// A first build compiles the TLS library, on a slow machine for minutes.
const LIMIT: Duration = Duration::from_secs(15 * 60);

/// Builds the agent from this repository and gives the path of its binary, as cargo tells it.
pub(super) async fn agent(screen: &Screen) -> Result<PathBuf, Failure> {
    screen.line("building the agent (cargo build --package cellgate --bin cellgate)");
    // Set by `cargo run`; without it, the one in the path.
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    // A first build takes minutes: a person wants to see it go on, a log does not.
    let shown: &[&str] = if std::io::stderr().is_terminal() {
        &[]
    } else {
        &["--quiet"]
    };
    let building = Command::new(cargo)
        .args(["build", "--package", "cellgate"])
        .args(shown)
        .args(["--bin", "cellgate"])
        .args(["--message-format", "json-render-diagnostics"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .kill_on_drop(true)
        .output();
    let built = tokio::time::timeout(LIMIT, building)
        .await
        .map_err(|_| Failure::Build(format!("cargo took more than {LIMIT:?}")))?
        .map_err(|error| Failure::Build(format!("cargo does not start: {error}")))?;
    if !built.status.success() {
        return Err(Failure::Build(format!("cargo: {}", built.status)));
    }
    executable(&String::from_utf8_lossy(&built.stdout))
        .ok_or_else(|| Failure::Build("cargo named no binary cellgate among what it built".into()))
}

/// The binary of the target `cellgate`, from cargo's messages, one JSON object a line.
fn executable(messages: &str) -> Option<PathBuf> {
    messages.lines().find_map(|line| {
        let message: Value = serde_json::from_str(line).ok()?;
        let built = message["reason"] == "compiler-artifact"
            && message["target"]["name"] == "cellgate"
            && message["target"]["kind"] == serde_json::json!(["bin"]);
        let path = message["executable"].as_str().filter(|_| built)?;
        Some(path.into())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cargo_names_the_binary() {
        let messages = r#"{"reason":"compiler-artifact","target":{"kind":["lib"],"name":"cellgate"},"executable":null}
not json
{"reason":"compiler-artifact","target":{"kind":["bin"],"name":"other"},"executable":"/t/other"}
{"reason":"compiler-artifact","target":{"kind":["bin"],"name":"cellgate"},"executable":"/t/debug/\"x\"/cellgate"}
{"reason":"build-finished","success":true}"#;
        let path = PathBuf::from("/t/debug/\"x\"/cellgate");
        assert_eq!(executable(messages), Some(path));
        assert_eq!(executable("{}"), None);
    }
}
