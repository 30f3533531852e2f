//! What one shared subscription has received, and what the application has done with it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use tidings_core::{Epoch, MessageId, Offset, Topic};

use crate::ledger::{Verdict, keeps_the_log};
use crate::limits::DONE_REMEMBERED_MAX;

/// Where the server takes an answer to a delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TopicOffset {
    pub(crate) topic: Topic,
    pub(crate) offset: Offset,
}

/// What the application does with a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Holding {
    /// In its queue or hands.
    Held,
    /// Given up; the server has not confirmed it.
    GivenUp,
}

#[derive(Debug)]
struct Item {
    holding: Holding,
    /// `None` once the delivery that brought it is no longer this member's to answer.
    place: Option<TopicOffset>,
}

/// Keeps the application's answers across connections, as the ledger of a durable subscription
/// does: a message is in its hands at most once at a time, and one it has acked does not come to
/// it again.
///
/// The members of a group hold scattered offsets of many topics, whose epochs nobody tells them.
/// So messages are known by their names, acks are given singly, and an answer goes to the server
/// only over the connection that brought the message, in the life of the log it was brought from:
/// anywhere else the same offset may be another message.
#[derive(Debug)]
pub(crate) struct SharedLedger {
    items: BTreeMap<MessageId, Item>,
    /// What was acked, in that order: the server may not have heard of the last ones.
    done: VecDeque<MessageId>,
    /// The same, to be found.
    done_names: BTreeSet<MessageId>,
    acks: BTreeMap<Topic, BTreeSet<Offset>>,
    /// The life of the log, if there is one topic and the server has said it.
    epoch: Option<Epoch>,
}

impl SharedLedger {
    pub(crate) const fn new() -> Self {
        Self {
            items: BTreeMap::new(),
            done: VecDeque::new(),
            done_names: BTreeSet::new(),
            acks: BTreeMap::new(),
            epoch: None,
        }
    }

    /// The life of the log, if there is one topic and the server has said it.
    pub(crate) const fn epoch(&self) -> Option<Epoch> {
        self.epoch
    }

    /// The server has told where the one topic stands.
    pub(crate) const fn subscribed(&mut self, epoch: Epoch) {
        self.epoch = Some(epoch);
    }

    /// The subscription lost its place in a topic.
    pub(crate) fn reset(&mut self, topic: &Topic, epoch: Epoch, reason: tidings_core::ResetReason) {
        if self.epoch.is_some() {
            self.epoch = Some(epoch);
        }
        if keeps_the_log(reason) {
            return;
        }
        self.acks.remove(topic);
        self.forget_places(|place| place.topic == *topic);
    }

    /// The connection is gone, and what it brought is given to other members.
    pub(crate) fn disconnected(&mut self) {
        self.acks.clear();
        self.forget_places(|_| true);
    }

    fn forget_places(&mut self, is_gone: impl Fn(&TopicOffset) -> bool) {
        self.items.retain(|_, item| {
            if item.place.as_ref().is_some_and(&is_gone) {
                item.place = None;
            }
            // Whether the server heard of a giving up is not known; it tells by sending again.
            item.holding == Holding::Held || item.place.is_some()
        });
    }

    /// A delivery came in.
    pub(crate) fn received(&mut self, name: MessageId, place: TopicOffset) -> Verdict {
        if let Some(item) = self.items.get_mut(&name) {
            item.place = Some(place);
            return Verdict::Repeat;
        }
        if self.done_names.contains(&name) {
            self.ack(place);
            return Verdict::Repeat;
        }
        let item = Item { holding: Holding::Held, place: Some(place) };
        self.items.insert(name, item);
        Verdict::HandOut
    }

    /// The application is done with a message.
    pub(crate) fn acked(&mut self, name: MessageId) {
        let Some(item) = self.take(name) else { return };
        if self.done.len() >= DONE_REMEMBERED_MAX
            && let Some(oldest) = self.done.pop_front()
        {
            self.done_names.remove(&oldest);
        }
        self.done.push_back(name);
        self.done_names.insert(name);
        if let Some(place) = item.place {
            self.ack(place);
        }
    }

    fn ack(&mut self, TopicOffset { topic, offset }: TopicOffset) {
        self.acks.entry(topic).or_default().insert(offset);
    }

    /// The application gave a message back. Where to tell the server, if it takes an answer.
    pub(crate) fn released(&mut self, name: MessageId) -> Option<TopicOffset> {
        self.take(name)?.place
    }

    /// The application will never take a message. Where to tell the server, if it takes an answer.
    pub(crate) fn given_up(&mut self, name: MessageId) -> Option<TopicOffset> {
        let item = self.take(name)?;
        let place = item.place?;
        let given_up = Item { holding: Holding::GivenUp, place: Some(place.clone()) };
        self.items.insert(name, given_up);
        Some(place)
    }

    /// The server has answered to a giving up: the message is among the dead letters, or will
    /// come again.
    pub(crate) fn give_up_answered(&mut self, name: MessageId) {
        if self.items.get(&name).is_some_and(|item| item.holding == Holding::GivenUp) {
            self.items.remove(&name);
        }
    }

    /// Where the server takes an answer to a message in the application's hands.
    pub(crate) fn place(&self, name: MessageId) -> Option<&TopicOffset> {
        self.items.get(&name).filter(|item| item.holding == Holding::Held)?.place.as_ref()
    }

    /// The acks that are due.
    pub(crate) fn take_acks(&mut self) -> impl Iterator<Item = (Topic, Vec<Offset>)> + use<> {
        let acks = std::mem::take(&mut self.acks);
        acks.into_iter().map(|(topic, offsets)| (topic, offsets.into_iter().collect()))
    }

    /// Takes what the application holds.
    fn take(&mut self, name: MessageId) -> Option<Item> {
        match self.items.get(&name)?.holding {
            Holding::Held => self.items.remove(&name),
            Holding::GivenUp => None,
        }
    }
}

#[cfg(test)]
mod tests;
