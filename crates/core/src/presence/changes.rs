//! What those who watch a topic have still to be told.

use std::collections::BTreeMap;

use super::{Member, News, Present};
use crate::time::Timestamp;

/// A change that was not announced yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    Joined { since: Timestamp },
    Left { since: Timestamp },
}

#[derive(Clone, Copy, Debug)]
struct Noted {
    change: Change,
    /// Counts the lists that were given out before it was noted.
    lists_before: u64,
    /// A list has shown it, or one that it replaced: somebody knows, so it cannot be undone
    /// without a word.
    shown: bool,
}

/// Changes since the last announcement, at most one for each member.
///
/// A change and its opposite make nothing, unless a list was given out in between: whoever has
/// that list would keep somebody who is gone, or miss somebody who is back.
#[derive(Debug, Default)]
pub(super) struct Changes {
    noted: BTreeMap<Member, Noted>,
    lists: u64,
    /// There were more than can be named: nothing is noted until that is announced.
    too_many: bool,
}

/// What became of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It will be announced.
    Noted,
    /// It took back what was noted before: neither is announced.
    Undid(Change),
}

impl Changes {
    pub(super) fn is_empty(&self) -> bool {
        self.noted.is_empty() && !self.too_many
    }

    /// A list was given out that shows everything noted so far.
    pub(super) const fn list_given(&mut self) {
        self.lists += 1;
    }

    /// Notes a change, of which at most `most` can be named.
    pub(super) fn note(&mut self, member: &Member, change: Change, most: usize) -> Outcome {
        if self.too_many {
            return Outcome::Noted;
        }
        let mut shown = false;
        if let Some(before) = self.noted.get(member) {
            shown = before.shown || before.lists_before < self.lists;
            if !shown {
                let undone = before.change;
                self.noted.remove(member);
                return Outcome::Undid(undone);
            }
        }
        let noted = Noted { change, lists_before: self.lists, shown };
        self.noted.insert(member.clone(), noted);
        if self.noted.len() > most {
            self.noted.clear();
            self.too_many = true;
        }
        Outcome::Noted
    }

    /// Takes everything that is to be told.
    pub(super) fn take(&mut self) -> News {
        if std::mem::take(&mut self.too_many) {
            return News::TooMany;
        }
        let (mut joined, mut left) = (Vec::new(), Vec::new());
        for (member, noted) in std::mem::take(&mut self.noted) {
            match noted.change {
                Change::Joined { since } => joined.push(Present { member, since }),
                Change::Left { since } => left.push(Present { member, since }),
            }
        }
        News::Changes { joined, left }
    }
}
