//! The name of an AWS region.

use std::fmt;

use crate::limits::REGION_MAX;

/// A region as AWS writes it, `eu-central-1`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Region(String);

impl Region {
    /// The region, or nothing if it is no such name.
    pub fn new(name: &str) -> Option<Region> {
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        let edges = name.starts_with('-') || name.ends_with('-');
        let good = (1..=REGION_MAX).contains(&name.len()) && !edges && name.bytes().all(plain);
        good.then(|| Region(name.to_owned()))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
