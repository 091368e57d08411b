//! The notifications of AWS IoT: a tunnel was opened for a thing, or its tokens were rotated.

use serde_json::{Value, json};

use crate::service::Tunnel;

/// The region that notifications name.
pub const REGION: &str = "eu-central-1";

/// Where the notifications of a thing are published.
pub fn topic(thing: &str) -> String {
    format!("$aws/things/{thing}/tunnels/notify")
}

/// The notification of a tunnel to its destination. Change it as a test needs: `value["clientMode"] = json!("source")`.
pub fn notification(tunnel: &Tunnel) -> Value {
    let mut value = json!({
        "clientAccessToken": tunnel.destination_token,
        "clientMode": "destination",
        "region": REGION,
    });
    if !tunnel.services().is_empty() {
        value["services"] = json!(tunnel.services());
    }
    value
}

/// The same as the bytes that are published.
pub fn payload(tunnel: &Tunnel) -> Vec<u8> {
    notification(tunnel).to_string().into_bytes()
}
