//! One subscription of a connection.

use std::collections::BTreeMap;

use smallvec::SmallVec;
use tidings_core::{
    AttemptLog, ClientId, DeliveryWindow, DurableKey, Filter, GiveUp, Instant, LiveCursor, Offset,
    Recovery, Topic,
};
use tidings_protocol::{RequestId, StartFrom};

use super::member::Shared;
use super::trace::TracedDeliveries;
use crate::delivery_record::ReaderId;
use crate::presence::Watch;

/// A subscription by the name the client gave it: its topic or filter.
#[derive(Debug)]
pub(super) struct Subscription {
    pub(super) sub: Filter,
    pub(super) kind: Kind,
}

/// Those of a connection. Most have one, which lies in its place.
pub(super) type Subscriptions = SmallVec<[Subscription; 1]>;

/// How a subscription remembers its place.
#[derive(Debug)]
pub(super) enum Kind {
    /// Of one topic. The place is in its array of live subscribers, at this index. It began with the
    /// message `begins`: earlier ones are for filters of the connection to deliver. What it asked
    /// for when it began, up to `asked_up_to`, is not a backlog of its own making.
    Live { index: u32, begins: Offset, asked_up_to: Offset },
    /// At the tail of every topic that matches, but for those in the map.
    LiveFilter(Box<Lagging>),
    /// The server remembers, and the delivery window decides.
    Durable(Box<Durable>),
    /// A durable subscription that is not this connection's yet.
    Waiting(Box<WaitingDurable>),
    /// One of many: the group decides, on the shard that owns it.
    Shared(Box<Shared>),
}

impl Kind {
    /// The durable subscription that this is, or waits to be.
    pub(super) fn durable_key(&self) -> Option<&DurableKey> {
        match self {
            Self::Durable(durable) => Some(&durable.key),
            Self::Waiting(waiting) => Some(&waiting.key),
            Self::Live { .. } | Self::LiveFilter(_) | Self::Shared(_) => None,
        }
    }
}

impl Subscription {
    /// Whether the client was told that it begins.
    pub(super) fn has_begun(&self) -> bool {
        match &self.kind {
            Kind::Waiting(_) => false,
            Kind::Shared(shared) => shared.has_begun(),
            Kind::Live { .. } | Kind::LiveFilter(_) | Kind::Durable(_) => true,
        }
    }

    /// Whether the server subscribed, by its policy.
    pub(super) fn is_by_policy(&self) -> bool {
        match &self.kind {
            Kind::Durable(durable) => durable.by_policy,
            Kind::Waiting(waiting) => waiting.id.is_none(),
            Kind::Live { .. } | Kind::LiveFilter(_) | Kind::Shared(_) => false,
        }
    }
}

/// The topics in which a filter subscription is behind.
#[derive(Debug, Default)]
pub(super) struct Lagging {
    pub(super) topics: BTreeMap<Topic, LaggingTopic>,
}

/// The place of a filter subscription in a topic it is behind in.
#[derive(Debug)]
pub(super) struct LaggingTopic {
    pub(super) cursor: LiveCursor,
    pub(super) reading: bool,
}

/// A durable subscription that this connection holds.
#[derive(Debug)]
pub(super) struct Durable {
    pub(super) key: DurableKey,
    pub(super) window: DeliveryWindow,
    /// What the window asked for and the log has still to give.
    pub(super) wanted: Vec<Wanted>,
    pub(super) reading: bool,
    /// The cursor moved since it was saved.
    pub(super) unsaved: bool,
    /// How deliveries of messages ended that are not settled.
    pub(super) attempts: AttemptLog,
    /// Its name in the shard's record, from its first event on.
    pub(super) reader: Option<ReaderId>,
    /// Which device or process of the user reads it.
    pub(super) client: ClientId,
    /// The server subscribed, by its policy: the client's own request for the same takes its place.
    pub(super) by_policy: bool,
    pub(super) traced: TracedDeliveries,
    /// Its place in the topic's array of durable subscribers.
    pub(super) index: u32,
}

impl Durable {
    /// Has a message fetched. A delivery that waits for it already is replaced by a later one.
    pub(super) fn want(&mut self, wanted: Wanted) {
        self.wanted.retain(|earlier| earlier.offset != wanted.offset);
        self.wanted.push(wanted);
    }

    /// Whether nothing has come between asking for a message and having it: what was acked in the
    /// meantime, or given back, must not be sent.
    pub(super) fn still_wants(&self, wanted: &Wanted) -> bool {
        match wanted.purpose {
            Purpose::Send { .. } => self.window.awaits_ack(wanted.offset),
            Purpose::DeadLetter { .. } => true,
        }
    }

    /// What waits to be fetched has not been sent: its time to be acked has not begun.
    pub(super) fn hold_unsent(&mut self, now: Instant) {
        for wanted in &self.wanted {
            match wanted.purpose {
                Purpose::Send { .. } => {
                    self.window.extended(now, wanted.offset, self.window.ack_timeout());
                }
                Purpose::DeadLetter { .. } => {}
            }
        }
    }

    /// What is wanted cannot be fetched: it is wanted again at `again_at`, and no attempt counts.
    pub(super) fn give_back_wanted(&mut self, now: Instant, again_at: Instant) {
        for Wanted { offset, purpose } in std::mem::take(&mut self.wanted) {
            match purpose {
                Purpose::Send { .. } => self.window.not_sent(offset, again_at),
                Purpose::DeadLetter { .. } => self.window.dead_letter_failed(now, offset),
            }
        }
    }
}

/// A message to be fetched from the log.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted {
    pub(super) offset: Offset,
    pub(super) purpose: Purpose,
}

/// What to do with a message once it is fetched.
#[derive(Clone, Copy, Debug)]
pub(super) enum Purpose {
    Send { attempt: u32 },
    DeadLetter { attempts: u32, reason: GiveUp },
}

/// A request for a durable subscription that cannot be answered yet.
#[derive(Debug)]
pub(super) struct WaitingDurable {
    /// It is to take the place of a subscription of the server's own.
    pub(super) instead_of_policy: bool,
    /// The request to answer; none if the server itself subscribes, by its policy.
    pub(super) id: Option<RequestId>,
    pub(super) key: DurableKey,
    pub(super) window: u32,
    pub(super) from: StartFrom,
    pub(super) watch: Watch,
    pub(super) stage: Stage,
}

/// What a durable subscription waits for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Stage {
    /// Another connection still holds it.
    Held,
    /// Its first cursor is being saved: answered before, a crash could move its beginning.
    Opening { start: Recovery },
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tidings_core::{CursorState, DeliveryEffect, Epoch, TopicPolicy};

    use super::*;

    /// A subscription to a topic of three messages, all of which it was told to send.
    fn durable() -> Durable {
        let policy = TopicPolicy::default().delivery;
        let state = CursorState::beginning(Epoch::new(1), Offset::FIRST, 4);
        let reserved = state.reserved;
        let mut window = DeliveryWindow::new(Arc::clone(&policy), 4, state, Offset::new(3), 1);
        window.begins(reserved);
        let mut durable = Durable {
            key: DurableKey {
                user: "alice".parse().unwrap(),
                name: "phone".parse().unwrap(),
                topic: "a".parse().unwrap(),
            },
            window,
            wanted: Vec::new(),
            reading: false,
            unsaved: false,
            by_policy: false,
            traced: TracedDeliveries::default(),
            attempts: AttemptLog::default(),
            client: "phone".parse().unwrap(),
            reader: None,
            index: 0,
        };
        while let Some(effect) = durable.window.next_effect(Instant::ORIGIN) {
            if let DeliveryEffect::Send { offset, attempt } = effect {
                durable.want(Wanted { offset, purpose: Purpose::Send { attempt } });
            }
        }
        durable
    }

    fn still_wanted(durable: &Durable) -> Vec<u64> {
        let wanted = durable.wanted.iter().filter(|wanted| durable.still_wants(wanted));
        wanted.map(|wanted| wanted.offset.get()).collect()
    }

    #[test]
    fn what_is_answered_while_it_is_fetched_is_not_sent() {
        let mut durable = durable();
        assert_eq!(still_wanted(&durable), [1, 2, 3]);
        durable.window.acked(Offset::new(1));
        durable.window.nacked(Instant::ORIGIN, Offset::new(3), None);
        assert_eq!(still_wanted(&durable), [2]);
    }

    #[test]
    fn a_message_is_fetched_for_its_latest_delivery_alone() {
        let mut durable = durable();
        let again = Wanted { offset: Offset::new(2), purpose: Purpose::Send { attempt: 2 } };
        durable.want(again);
        assert_eq!(still_wanted(&durable), [1, 3, 2]);
    }
}
