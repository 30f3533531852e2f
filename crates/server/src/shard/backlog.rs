//! Slow live subscriptions of topics that bound their backlog: they skip the oldest of what they
//! lack, and are told.
//!
//! A topic with a log needs nothing for it: the subscription reads on from further ahead. For a
//! topic without one, the newest messages are kept here as long as somebody lags in it.

use std::collections::VecDeque;
use std::sync::Arc;

use rustc_hash::FxHashMap;
use tidings_core::{Backlog, Filter, Message, Offset, ResetReason, Topic, limits};

use super::Shard;
use crate::commit::SharedMessage;

/// The newest messages of topics without a log, one copy for all who lag on this shard.
#[derive(Debug, Default)]
pub(super) struct Backlogs {
    topics: FxHashMap<Topic, Newest>,
}

/// The newest messages of one topic, by rising offset.
#[derive(Debug)]
struct Newest {
    messages: VecDeque<Arc<Message>>,
    most: usize,
    /// Whether somebody lagged when the last message came.
    wanted: bool,
}

impl Backlogs {
    /// A message was appended. A backlog that nobody wanted at the one before is let go of: whoever
    /// lags is met at every message.
    pub(super) fn appended(&mut self, message: &Arc<Message>) {
        if self.topics.is_empty() {
            return;
        }
        let topic = message.topic();
        let Some(newest) = self.topics.get_mut(topic) else { return };
        if std::mem::take(&mut newest.wanted) {
            newest.push(message);
        } else {
            self.topics.remove(topic);
        }
    }

    /// Keeps the backlog of a topic from `message` on. `false` if too many are kept already.
    fn keep(&mut self, message: &Arc<Message>, most: usize) -> bool {
        let topic = message.topic();
        if self.topics.len() >= limits::BACKLOG_TOPICS_MAX && !self.topics.contains_key(topic) {
            return false;
        }
        let newest = self.topics.entry(topic.clone()).or_insert_with(|| Newest {
            messages: VecDeque::new(),
            most,
            wanted: true,
        });
        newest.wanted = true;
        newest.push(message);
        true
    }

    /// Whether messages of a topic are kept.
    fn has(&self, topic: &Topic) -> bool {
        self.topics.contains_key(topic)
    }

    /// The messages of a topic from `next` on.
    fn from(&self, topic: &Topic, next: Offset) -> impl Iterator<Item = &Arc<Message>> {
        let newest = self.topics.get(topic).into_iter().flat_map(|newest| &newest.messages);
        newest.skip_while(move |message| message.offset < next)
    }
}

impl Newest {
    fn push(&mut self, message: &Arc<Message>) {
        if self.messages.back().is_some_and(|last| last.offset >= message.offset) {
            return;
        }
        if self.messages.len() >= self.most {
            self.messages.pop_front();
        }
        self.messages.push_back(Arc::clone(message));
    }
}

impl Shard {
    /// Keeps a message of a topic without a log for those who have no room for it now, if its
    /// policy asks for that.
    pub(super) fn keep_backlog(&mut self, shared: &SharedMessage) -> bool {
        match self.env.policies.policy(shared.message.topic()).backlog {
            Backlog::Everything => false,
            Backlog::Newest(most) => {
                self.topics.backlogs.keep(&shared.message, most.get() as usize)
            }
        }
    }

    /// Moves a connection's live subscriptions on to the newest messages of a topic that ends with
    /// `head`, as its policy asks, and tells them.
    pub(super) fn skip_backlog(&mut self, slot: u32, topic: &Topic, head: Offset) {
        let backlog = self.env.policies.policy(topic).backlog;
        let mut skipped: Vec<(Filter, Offset, u64)> = Vec::new();
        self.each_live_place(slot, topic, |place| {
            let next = place.cursor.next();
            if place.replaying {
                return;
            }
            if let Some(goes_on) = backlog.skips_to(next, head) {
                place.cursor.advance_to(goes_on);
                skipped.push((place.sub.clone(), goes_on, goes_on.distance_from(next)));
            }
        });
        for (sub, goes_on, count) in skipped {
            self.env.metrics.skipped_slow.inc_by(count);
            self.send_reset(slot, &sub, topic, ResetReason::Skipped, goes_on);
        }
    }

    /// Sends what is kept of a topic without a log that ends with `head` to a connection that lags
    /// in it, as far as there is room. What is not kept it misses: it goes on with what is.
    pub(super) fn send_backlog(&mut self, slot: u32, topic: &Topic, head: Offset) {
        let outbound_bytes = self.env.settings.outbound_bytes;
        let priority = self.env.policies.priority(topic);
        while let Some(next) = self.lags_from(slot, topic)
            && next <= head
        {
            let Some(connection) = self.connections.get_mut(slot as usize) else { return };
            if !connection.has_room(outbound_bytes) {
                connection.starved = true;
                return;
            }
            let backlogs = &self.topics.backlogs;
            let Some(message) = backlogs.from(topic, next).next().cloned() else {
                // All that is kept was sent: the rest is on its way from the log's writer.
                if !backlogs.has(topic) {
                    let missed = self.go_on_with(slot, topic, head.next());
                    self.env.metrics.dropped_slow.inc_by(missed);
                }
                return;
            };
            let skipped = self.go_on_with(slot, topic, message.offset);
            self.env.metrics.skipped_slow.inc_by(skipped);
            let Some(connection) = self.connections.get_mut(slot as usize) else { return };
            connection.push_message(&message, 1, priority);
            connection.queue_flush(slot, &mut self.unflushed);
            self.env.metrics.deliveries.inc();
            self.each_live_place(slot, topic, |place| {
                place.cursor.advance_to(message.offset.next());
            });
        }
    }

    /// Moves a connection's live subscriptions that lack messages before `goes_on` on to there,
    /// because these are gone, and tells them if the topic's policy asks for that. Returns how many
    /// they miss.
    fn go_on_with(&mut self, slot: u32, topic: &Topic, goes_on: Offset) -> u64 {
        let mut moved: Vec<Filter> = Vec::new();
        let mut missed = 0;
        self.each_live_place(slot, topic, |place| {
            let count = goes_on.distance_from(place.cursor.next());
            if count > 0 {
                missed += count;
                place.cursor.advance_to(goes_on);
                moved.push(place.sub.clone());
            }
        });
        match self.env.policies.policy(topic).backlog {
            Backlog::Everything => {}
            Backlog::Newest(_) => {
                for sub in moved {
                    self.send_reset(slot, &sub, topic, ResetReason::Skipped, goes_on);
                }
            }
        }
        missed
    }
}
