//! What a mosquitto is told: mutual TLS, nobody anonymous, and the least policy of AWS IoT.

use std::path::Path;

/// Who publishes; the name of a certificate that no thing has.
pub(super) const ADMINISTRATOR: &str = "administrator";

/// The configuration. A process of root would become the user `mosquitto`, who may not read a private folder.
///
/// Each change is written to disk before the next packets are read, so that a queued message outlives even a SIGKILL.
pub(super) fn broker(folder: &Path, port: u16) -> String {
    let folder = folder.display();
    format!(
        "per_listener_settings false
user root
log_dest stderr
log_type all
connection_messages true
persistence true
persistence_location {folder}/
autosave_on_changes true
autosave_interval 1
allow_anonymous false
acl_file {folder}/acl
listener {port} 127.0.0.1
cafile {folder}/ca.pem
certfile {folder}/server.crt
keyfile {folder}/server.key
require_certificate true
use_identity_as_username true
"
    )
}

/// Who may do what. A device receives its own notifications and nothing else, as the least policy of `aws.md` says.
/// mosquitto takes every subscription and then delivers nothing; what AWS refuses at once is for
/// [`crate::broker`] to refuse.
pub(super) fn acl() -> String {
    format!(
        "pattern read $aws/things/%u/tunnels/notify

user {ADMINISTRATOR}
topic readwrite #
topic readwrite $aws/#
"
    )
}
