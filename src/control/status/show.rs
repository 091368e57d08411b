//! The status in words, for a terminal of 80 columns.

use super::Status;

/// The status as text, each line at most 80 columns wide.
pub fn text(status: &Status, colour: bool) -> String {
    let _ = colour;
    format!("{:?}\n", status.state)
}
