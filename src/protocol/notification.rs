//! What AWS tells a gateway of a tunnel that was opened for it.
//!
//! Source: "Agent snippet" of the AWS IoT developer guide, and `aws.md`.

use super::ids::ServiceId;
use crate::config::Region;
use crate::limits::DECLARED_MAX;
use crate::secret::Secret;

/// A tunnel to be opened.
#[derive(Debug)]
pub struct Notification {
    /// Lets us in, once or with the same client token.
    pub access_token: Secret,
    /// The region of its service; none if only a token was handed over.
    pub region: Option<Region>,
    /// The tunnel's services; none if the notification does not name them.
    pub services: Option<heapless::Vec<ServiceId, DECLARED_MAX>>,
}
