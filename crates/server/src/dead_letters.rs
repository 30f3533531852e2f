//! Messages that were given up, and what can be done with them.
//!
//! A dead letter is a message of the topic `$dead-letters` like any other: whoever may read the
//! topic can subscribe to it. What is said of the message that died is in its headers.

mod burial;
mod history;
mod letter;
mod newest;
pub(crate) mod replay;
pub(crate) mod selection;

pub(crate) use burial::{Burial, gave_up};
pub(crate) use history::ToldAttempt;
pub(crate) use letter::DeadLetter;
pub(crate) use replay::audience;

use tidings_core::{CursorKey, Headers, Message, OWN_HEADER_PREFIX};

/// The topic that holds them all: readable with the `sub` and `hist` operations, published to by
/// the server alone. Headers `tidings-*` say where each came from and why it is there.
pub const DEAD_LETTERS_TOPIC: &str = "$dead-letters";

/// Headers that the server gives to dead letters, and to what it publishes of them again.
pub(crate) mod header {
    pub(crate) const TOPIC: &str = "tidings-topic";
    pub(crate) const OFFSET: &str = "tidings-offset";
    pub(crate) const EPOCH: &str = "tidings-epoch";
    pub(crate) const ID: &str = "tidings-id";
    pub(crate) const AT: &str = "tidings-at";
    pub(crate) const TTL_MS: &str = "tidings-ttl-ms";
    pub(crate) const USER: &str = "tidings-user";
    pub(crate) const DURABLE: &str = "tidings-durable";
    pub(crate) const GROUP: &str = "tidings-group";
    pub(crate) const FILTER: &str = "tidings-filter";
    pub(crate) const ATTEMPTS: &str = "tidings-attempts";
    pub(crate) const GAVE_UP: &str = "tidings-gave-up";
    pub(crate) const REASONS: &str = "tidings-reasons";
    pub(crate) const HISTORY: &str = "tidings-history";
    /// Says that a message was published again, and of which dead letter.
    pub(crate) const REPLAY: &str = "tidings-replay";
}

/// The headers that a message had from its publisher: none of the server's goes from one life of a
/// message into the next.
fn published_headers(message: &Message) -> Headers {
    let mut headers = message.content.headers.clone();
    headers.retain(|name, _| !name.starts_with(OWN_HEADER_PREFIX));
    headers
}

/// The headers that name a subscription.
fn names_of(reader: &CursorKey) -> [(String, String); 2] {
    let names = match reader {
        CursorKey::Durable(key) => {
            [(header::USER, key.user.to_string()), (header::DURABLE, key.name.to_string())]
        }
        CursorKey::Group { group, .. } => {
            [(header::GROUP, group.group.to_string()), (header::FILTER, group.filter.to_string())]
        }
    };
    names.map(|(name, value)| (name.to_owned(), value))
}
