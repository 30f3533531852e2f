//! Slow live subscriptions of topics that bound their backlog: they skip the oldest of what they
//! lack, and are told.
//!
//! A topic with a log needs nothing for it: the subscription reads on from further ahead. For a
//! topic without one, the newest messages are kept here as long as somebody lags in it.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use tidings_core::{Backlog, Filter, Message, Offset, ResetReason, Topic, limits};

use super::Shard;
use crate::commit::SharedMessage;

/// The newest messages of topics without a log, one copy for all who lag on this shard. Where there
/// is no space for more, the topic goes that has been silent longest.
#[derive(Debug, Default)]
pub(super) struct Backlogs {
    topics: HashMap<Topic, Newest>,
    /// The same topics by the moment of their last message.
    by_pushed: BTreeMap<u64, Topic>,
    /// Counts messages, to have moments.
    pushes: u64,
    /// Of all payloads.
    bytes: usize,
}

/// The newest messages of one topic, by rising offset.
#[derive(Debug)]
struct Newest {
    messages: VecDeque<Arc<Message>>,
    most: usize,
    /// Whether somebody lagged when the last message came.
    wanted: bool,
    /// The moment of the last message.
    pushed: u64,
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
            self.push(message);
        } else {
            self.forget(&topic.clone());
        }
    }

    /// Keeps the backlog of a topic from `message` on: so many, for somebody lags in it.
    fn keep(&mut self, message: &Arc<Message>, most: usize) {
        let newest = self.topics.entry(message.topic().clone()).or_insert_with(|| Newest {
            messages: VecDeque::new(),
            most,
            wanted: true,
            pushed: 0,
        });
        newest.wanted = true;
        self.push(message);
    }

    fn push(&mut self, message: &Arc<Message>) {
        let Some(newest) = self.topics.get_mut(message.topic()) else { return };
        if newest.messages.back().is_some_and(|last| last.offset >= message.offset) {
            return;
        }
        if newest.messages.len() >= newest.most
            && let Some(oldest) = newest.messages.pop_front()
        {
            self.bytes -= oldest.content.data.bytes().len();
        }
        newest.messages.push_back(Arc::clone(message));
        self.bytes += message.content.data.bytes().len();
        self.pushes += 1;
        self.by_pushed.remove(&newest.pushed);
        newest.pushed = self.pushes;
        self.by_pushed.insert(self.pushes, message.topic().clone());
        self.make_space();
    }

    /// The last message is kept whatever its size.
    fn make_space(&mut self) {
        while self.topics.len() > limits::BACKLOG_TOPICS_MAX
            || self.bytes > limits::BACKLOG_BYTES_MAX
        {
            let Some(topic) = self.by_pushed.first_key_value().map(|(_, topic)| topic.clone())
            else {
                return;
            };
            if self.topics.len() > 1 {
                self.forget(&topic);
                continue;
            }
            let Some(newest) = self.topics.get_mut(&topic) else { return };
            if newest.messages.len() <= 1 {
                return;
            }
            if let Some(oldest) = newest.messages.pop_front() {
                self.bytes -= oldest.content.data.bytes().len();
            }
        }
    }

    fn forget(&mut self, topic: &Topic) {
        let Some(newest) = self.topics.remove(topic) else { return };
        self.by_pushed.remove(&newest.pushed);
        self.bytes -= newest.messages.iter().map(|m| m.content.data.bytes().len()).sum::<usize>();
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

impl Shard {
    /// Keeps a message of a topic without a log for those who have no room for it now, if its
    /// policy asks for that.
    pub(super) fn keep_backlog(&mut self, shared: &SharedMessage) -> bool {
        match self.env.policies.policy(shared.message.topic()).backlog {
            Backlog::Everything => false,
            Backlog::Newest(most) => {
                self.topics.backlogs.keep(&shared.message, most.get() as usize);
                true
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

#[cfg(test)]
mod tests {
    use tidings_core::{Data, Epoch, MessageId, NewMessage, Timestamp};

    use super::*;

    const MIB: usize = 1024 * 1024;

    fn room(n: usize) -> Topic {
        Topic::parse(&format!("room/{n}")).unwrap()
    }

    fn message(n: usize, offset: u64, bytes: usize) -> Arc<Message> {
        Arc::new(Message {
            id: MessageId::new(1, 0, offset),
            epoch: Epoch::new(1),
            offset: Offset::new(offset),
            published_at: Timestamp::from_ms(1),
            content: NewMessage::new(room(n), Data::binary(vec![0; bytes].into())),
        })
    }

    fn kept(backlogs: &Backlogs, n: usize) -> Vec<u64> {
        backlogs.from(&room(n), Offset::FIRST).map(|message| message.offset.get()).collect()
    }

    #[test]
    fn the_topic_that_is_silent_longest_makes_space_for_one_more() {
        let mut backlogs = Backlogs::default();
        for n in 0..limits::BACKLOG_TOPICS_MAX {
            backlogs.keep(&message(n, 1, 1), 2);
        }
        backlogs.appended(&message(0, 2, 1));
        backlogs.keep(&message(5000, 1, 1), 2);
        assert_eq!(kept(&backlogs, 5000), [1]);
        assert_eq!(kept(&backlogs, 1), [0; 0]);
        assert_eq!(kept(&backlogs, 0), [1, 2]);
        assert_eq!(backlogs.topics.len(), limits::BACKLOG_TOPICS_MAX);
        assert_eq!(backlogs.by_pushed.len(), limits::BACKLOG_TOPICS_MAX);
    }

    #[test]
    fn large_messages_are_bounded_together() {
        let mut backlogs = Backlogs::default();
        let most = limits::BACKLOG_BYTES_MAX / MIB;
        for offset in 1..=most as u64 {
            backlogs.keep(&message(1, offset, MIB), 1000);
        }
        assert_eq!(kept(&backlogs, 1).len(), most);
        backlogs.keep(&message(1, 1000, MIB), 1000);
        assert_eq!(kept(&backlogs, 1).len(), most, "its own oldest one goes");
        backlogs.keep(&message(2, 1, MIB), 1000);
        assert_eq!((kept(&backlogs, 1).len(), kept(&backlogs, 2).len()), (0, 1));
        assert_eq!(backlogs.bytes, MIB);
    }

    #[test]
    fn what_nobody_wanted_is_let_go_of() {
        let mut backlogs = Backlogs::default();
        backlogs.keep(&message(1, 1, 1), 2);
        backlogs.appended(&message(1, 2, 1));
        assert_eq!(kept(&backlogs, 1), [1, 2]);
        backlogs.appended(&message(1, 3, 1));
        assert_eq!(kept(&backlogs, 1), [0; 0]);
        assert_eq!((backlogs.bytes, backlogs.by_pushed.len()), (0, 0));
    }
}
