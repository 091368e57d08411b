//! Where a token must not be: the log, the audit, the status, the command line and the environment.

use std::fs;

use crate::gateway::Cell;

/// None of these is anywhere that somebody else than the agent can read.
pub(crate) fn nowhere(cell: &Cell, secrets: &[String]) {
    let pid = cell.agent.pid();
    let mut places: Vec<(String, Vec<u8>)> = ["cmdline", "environ"]
        .map(|file| format!("/proc/{pid}/{file}"))
        .map(|path| (path.clone(), fs::read(&path).expect("it runs")))
        .into();
    let log = cell.agent.log().join("\n").into_bytes();
    places.push(("the log".to_owned(), log));
    for entry in fs::read_dir(cell.gateway.runtime()).expect("a folder") {
        let path = entry.expect("an entry").path();
        // The rejoin file is for the agent alone; what guards it is tested elsewhere.
        if path == cell.gateway.rejoin() || !path.is_file() {
            continue;
        }
        places.push((path.display().to_string(), fs::read(&path).expect("a file")));
    }
    let audit = fs::read(cell.gateway.audit_file()).expect("a file");
    assert!(!audit.is_empty());
    places.push(("the audit".to_owned(), audit));
    for (place, bytes) in &places {
        for secret in secrets {
            let found = bytes
                .windows(secret.len())
                .any(|window| window == secret.as_bytes());
            assert!(!found, "a token in {place}");
        }
    }
}
