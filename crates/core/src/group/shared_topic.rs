//! One topic of a group: its window, and who has which of its messages.

use std::collections::BTreeMap;

use super::MemberId;
use crate::delivery_window::DeliveryWindow;
use crate::id::OrderKey;
use crate::position::Offset;
use crate::priority::Priority;
use crate::time::Instant;

/// Who has a message in hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Holder {
    /// Nobody, or somebody who left.
    Nobody,
    /// This member, since this serving.
    Holds { member: MemberId, serving: u64 },
    /// This member was the last; it was late or nacked. Its ack counts until the message is sent
    /// to somebody again.
    Had(MemberId),
}

impl Holder {
    pub(super) fn may_answer(self, who: MemberId) -> bool {
        match self {
            Self::Nobody => false,
            Self::Holds { member, .. } | Self::Had(member) => member == who,
        }
    }
}

/// Whether new messages of a topic are started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Course {
    /// They are; so many were in this turn. Smaller turns began earlier.
    Taking { started: u32, turn: u64 },
    /// None is before then, unless nothing is in flight first.
    GivingWay { until: Instant },
    /// Nothing is in flight, and the caller knows that it can close the topic.
    Resting { until: Instant },
}

impl Course {
    pub(super) const fn takes(self) -> bool {
        match self {
            Self::Taking { .. } => true,
            Self::GivingWay { .. } | Self::Resting { .. } => false,
        }
    }
}

/// A message that was fetched and is not settled.
#[derive(Clone, Debug)]
pub(super) struct Flight {
    pub(super) age: u64,
    pub(super) key: Option<OrderKey>,
    pub(super) holder: Holder,
    /// When it was first sent to a member.
    pub(super) first_sent: Option<Instant>,
}

#[derive(Clone, Debug)]
pub(super) struct SharedTopic {
    pub(super) window: DeliveryWindow,
    pub(super) flights: BTreeMap<Offset, Flight>,
    /// Messages asked for, and their keys where they are known already. Placed in the order of
    /// the log, whichever is fetched first.
    pub(super) fetching: BTreeMap<Offset, Option<Option<OrderKey>>>,
    /// Whether it is in the list of topics that are behind.
    pub(super) is_listed: bool,
    pub(super) course: Course,
    pub(super) priority: Priority,
}

impl SharedTopic {
    pub(super) const fn new(window: DeliveryWindow, priority: Priority) -> Self {
        Self {
            window,
            flights: BTreeMap::new(),
            fetching: BTreeMap::new(),
            is_listed: false,
            course: Course::Taking { started: 0, turn: 0 },
            priority,
        }
    }

    /// The oldest message that was asked for, if its key is known by now.
    pub(super) fn take_fetched(&mut self) -> Option<(Offset, Option<OrderKey>)> {
        let first = self.fetching.first_entry()?;
        let offset = *first.key();
        if first.get().is_none() {
            return None;
        }
        Some((offset, first.remove().flatten()))
    }

    /// Whether it can be closed: nothing is pending, or what is waits for another turn.
    pub(super) fn is_closable(&self) -> bool {
        let rests = matches!(self.course, Course::Resting { .. });
        self.is_idle() || (rests && self.window.in_flight() == 0)
    }

    /// Whether nothing is pending.
    pub(super) fn is_idle(&self) -> bool {
        self.window.pending() == 0 && self.window.in_flight() == 0
    }
}
