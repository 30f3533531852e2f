//! Who may do what where.

use crate::filter::Filter;
use crate::id::UserId;
use crate::time::Timestamp;
use crate::topic::Topic;

/// What a capability can allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operation {
    /// Publish to a topic (`pub`).
    Publish,
    /// Subscribe to a topic or filter (`sub`).
    Subscribe,
    /// Read a topic's past (`hist`).
    History,
    /// See who is on a topic (`pres`).
    Presence,
}

impl Operation {
    /// Every operation.
    pub const ALL: [Self; 4] = [Self::Publish, Self::Subscribe, Self::History, Self::Presence];

    /// The word in tokens and configuration.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Publish => "pub",
            Self::Subscribe => "sub",
            Self::History => "hist",
            Self::Presence => "pres",
        }
    }

    /// The operation with this word.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|operation| operation.as_str() == word)
    }
}

/// A set of operations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Operations(u8);

impl Operations {
    /// Every operation.
    pub fn all() -> Self {
        Operation::ALL.into_iter().collect()
    }

    /// Whether `operation` is in the set.
    pub const fn contains(self, operation: Operation) -> bool {
        self.0 & (1 << operation as u8) != 0
    }
}

impl FromIterator<Operation> for Operations {
    fn from_iter<I: IntoIterator<Item = Operation>>(operations: I) -> Self {
        Self(operations.into_iter().fold(0, |bits, operation| bits | 1 << operation as u8))
    }
}

/// Some operations on the topics of one filter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Capability {
    /// Where.
    pub filter: Filter,
    /// What.
    pub operations: Operations,
}

/// Everything a token or key allows. What no capability allows is forbidden.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Capabilities(Vec<Capability>);

impl Capabilities {
    /// Exactly these.
    pub const fn new(capabilities: Vec<Capability>) -> Self {
        Self(capabilities)
    }

    /// Everything, the server's reserved topics included for reading.
    pub fn unrestricted() -> Self {
        let reading = [Operation::Subscribe, Operation::History].into_iter().collect();
        let everywhere = |text: &str| Filter::parse(text).expect("a valid filter");
        Self(vec![
            Capability { filter: everywhere("#"), operations: Operations::all() },
            Capability { filter: everywhere("$dead-letters/#"), operations: reading },
        ])
    }

    /// What a token without capabilities allows: to read the user's own inbox, `user/<name>` and
    /// below. Nothing for a name that is not a plain topic level, since `alice/#` would reach
    /// further than its own (CVE-2017-7650).
    pub fn own_inbox(user: &UserId) -> Self {
        if user.as_str().contains(['/', '+', '#']) {
            return Self::default();
        }
        let Ok(filter) = Filter::parse(&format!("user/{user}/#")) else { return Self::default() };
        let operations = [Operation::Subscribe, Operation::History].into_iter().collect();
        Self(vec![Capability { filter, operations }])
    }

    /// Whether `operation` is allowed on `topic`.
    pub fn allow(&self, operation: Operation, topic: &Topic) -> bool {
        self.0.iter().any(|c| c.operations.contains(operation) && c.filter.matches(topic))
    }

    /// Whether `operation` is allowed on every topic that `filter` can match. One capability must
    /// cover them all; that two together might is not considered.
    pub fn allow_all(&self, operation: Operation, filter: &Filter) -> bool {
        self.0.iter().any(|c| c.operations.contains(operation) && c.filter.covers(filter))
    }
}

/// Who is at the other end and what they may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    /// Who.
    pub user: UserId,
    /// What they may do.
    pub capabilities: Capabilities,
    /// When the proof of it was issued, if it says.
    pub issued_at: Option<Timestamp>,
    /// When the proof of it ends; `None` for never.
    pub expires_at: Option<Timestamp>,
}

impl Principal {
    /// Whether the proof is of a kind that a revocation at `revoked_at` ends: issued by then, or
    /// without a date.
    pub fn is_issued_by(&self, revoked_at: Timestamp) -> bool {
        self.issued_at.is_none_or(|issued_at| issued_at <= revoked_at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_is_allowed_only_as_a_whole() {
        let capability = Capability {
            filter: Filter::parse("room/#").unwrap(),
            operations: [Operation::Subscribe].into_iter().collect(),
        };
        let capabilities = Capabilities::new(vec![capability]);
        let filter = |text| Filter::parse(text).unwrap();
        assert!(capabilities.allow_all(Operation::Subscribe, &filter("room/+/typing")));
        assert!(!capabilities.allow_all(Operation::Subscribe, &filter("+/42")));
        assert!(!capabilities.allow_all(Operation::Subscribe, &filter("#")));
        assert!(!capabilities.allow_all(Operation::Publish, &filter("room/1")));
    }

    #[test]
    fn an_inbox_belongs_to_its_user_alone() {
        let of = |user: &str| Capabilities::own_inbox(&UserId::parse(user).unwrap());
        let topic = |text| Topic::parse(text).unwrap();
        assert!(of("alice").allow(Operation::Subscribe, &topic("user/alice")));
        assert!(of("alice").allow(Operation::Subscribe, &topic("user/alice/calls")));
        assert!(!of("alice").allow(Operation::Subscribe, &topic("user/alicia")));
        assert!(!of("alice").allow(Operation::Publish, &topic("user/alice")));
        for trick in ["#", "+", "alice/..", "a/b"] {
            assert!(!of(trick).allow(Operation::Subscribe, &topic("user/alice")), "{trick}");
            assert_eq!(of(trick), Capabilities::default(), "{trick}");
        }
    }

    #[test]
    fn reserved_topics_are_for_reading() {
        let all = Capabilities::unrestricted();
        let dead = Topic::parse("$dead-letters").unwrap();
        assert!(all.allow(Operation::Subscribe, &dead));
        assert!(!all.allow(Operation::Publish, &dead));
        assert!(!all.allow_all(Operation::Subscribe, &Filter::parse("$other/#").unwrap()));
    }
}
