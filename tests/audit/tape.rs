//! The audit lines of a gateway, from its file and from its log.

use cell::agent::Agent;
use serde_json::Value;

use crate::site::Site;

/// The JSON of the audit lines in the log, oldest first.
pub(crate) fn of_log(agent: &Agent) -> Vec<String> {
    let lines = agent.log();
    let audit = lines.iter().filter_map(|line| line.split_once(" audit "));
    audit
        .filter(|(before, _)| before.trim_end().ends_with("INFO"))
        .map(|(_, json)| json.to_owned())
        .collect()
}

/// The lines of file and log, which are the same, as objects.
pub(crate) async fn agreed(site: &Site) -> Vec<Value> {
    let file = site.gateway.audit_lines().expect("a file");
    let last = file.last().cloned().unwrap_or_default();
    // The log comes by a pipe: its last line may be on the way.
    site.wait_log(&[&last]).await;
    let log = of_log(&site.agent);
    assert_eq!(log[..file.len()], file[..], "log and file differ");
    let objects = file.iter().map(|line| serde_json::from_str(line));
    let objects: Result<Vec<Value>, _> = objects.collect();
    let objects = objects.expect("each line is JSON");
    for object in &objects {
        let time = object["time"].as_str().unwrap_or_default();
        assert!(time.len() == 24 && time.ends_with('Z'), "{object}");
    }
    objects
}

/// The names of the fields, in their order.
pub(crate) fn fields(line: &Value) -> Vec<&str> {
    let object = line.as_object().expect("an object");
    let mut names: Vec<&str> = object.keys().map(String::as_str).collect();
    names.sort_unstable();
    names
}
