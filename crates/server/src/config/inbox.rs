//! `[inbox]`: what waits for a user.

use serde::{Deserialize, Serialize};

/// `[inbox]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct InboxSection {
    /// Whether connections are subscribed to their users' inboxes by the server.
    pub subscribe_on_connect: bool,
}
