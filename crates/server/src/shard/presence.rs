//! Who of this shard is on topics that keep presence, and who is told of the others.
//!
//! What has to be known of a connection is kept here, by topic and slot, so that connections on
//! other topics pay nothing for it.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use tidings_core::{
    Admission, Capabilities, Departure, Filter, KeepsPresence, Member, Operation, Topic,
};
use tidings_protocol::{RequestId, ServerBody, UnsubscribeReason};

use super::Shard;
use crate::clock::Clock;
use crate::presence::{SharedNews, Watch, reset};
use crate::problem::keeps_no_presence;

/// What a shard remembers for its connections.
#[derive(Debug, Default)]
pub(super) struct Attendance {
    /// Who is told of changes.
    watchers: HashMap<Topic, BTreeSet<u32>>,
    /// Who is counted without a name.
    unlisted: HashSet<(u32, Topic)>,
    /// Who had no room for what was told: it is told so once there is.
    missed: BTreeMap<u32, BTreeSet<Topic>>,
}

impl Attendance {
    /// Forgets a connection on a topic; returns whether it watched.
    fn forget_watcher(&mut self, slot: u32, topic: &Topic) -> Watch {
        if let Some(topics) = self.missed.get_mut(&slot) {
            topics.remove(topic);
            if topics.is_empty() {
                self.missed.remove(&slot);
            }
        }
        let Some(watchers) = self.watchers.get_mut(topic) else { return Watch::No };
        let watched = watchers.remove(&slot);
        if watchers.is_empty() {
            self.watchers.remove(topic);
        }
        if watched { Watch::Yes } else { Watch::No }
    }
}

impl Shard {
    /// Whether a connection may be told who joins and leaves what it subscribes to; answers if not.
    pub(super) fn may_watch(&mut self, slot: u32, id: RequestId, sub: &Filter) -> bool {
        let Some(topic) = sub.as_topic() else {
            self.send_error(slot, Some(id), keeps_no_presence(sub.as_str()));
            return false;
        };
        self.may_see(slot, id, &topic)
    }

    fn may_see(&mut self, slot: u32, id: RequestId, topic: &Topic) -> bool {
        if !self.allowed(slot, Some(id), Operation::Presence, topic) {
            return false;
        }
        match self.env.policies.policy(topic).presence {
            KeepsPresence::Yes => true,
            KeepsPresence::No => {
                self.send_error(slot, Some(id), keeps_no_presence(topic.as_str()));
                false
            }
        }
    }

    /// Answers who is on a topic.
    pub(super) fn tell_present(&mut self, slot: u32, id: RequestId, topic: &Topic) {
        if self.may_see(slot, id, topic) {
            let present = self.env.roster.present(topic);
            self.send(slot, Some(id), ServerBody::Present(present));
        }
    }

    /// A subscription to exactly this topic has begun.
    pub(super) fn attend(&mut self, slot: u32, topic: &Topic, watch: Watch) {
        let Some(member) = self.member_on(slot, topic) else { return };
        let admission = self.env.roster.joined(self.now, Clock::wall(), topic, &member, watch);
        match admission {
            Admission::Listed => {}
            Admission::Unlisted => {
                self.attendance.unlisted.insert((slot, topic.clone()));
            }
        }
        match watch {
            Watch::Yes => {
                self.attendance.watchers.entry(topic.clone()).or_default().insert(slot);
            }
            Watch::No => {}
        }
    }

    /// Such a subscription has ended.
    pub(super) fn depart(&mut self, slot: u32, topic: &Topic, departure: Departure) {
        let Some(member) = self.member_on(slot, topic) else { return };
        let unlisted = self.attendance.unlisted.remove(&(slot, topic.clone()));
        let admission = if unlisted { Admission::Unlisted } else { Admission::Listed };
        let watch = self.attendance.forget_watcher(slot, topic);
        self.env.roster.left(self.now, topic, &member, (admission, watch), departure);
    }

    /// Who a connection is on a topic, if that is kept.
    fn member_on(&mut self, slot: u32, topic: &Topic) -> Option<Member> {
        match self.env.policies.policy(topic).presence {
            KeepsPresence::No => None,
            KeepsPresence::Yes => {
                let active = self.connections.get_mut(slot as usize)?.active()?;
                let user = active.principal.user.clone();
                Some(Member { user, client: active.session.client.clone() })
            }
        }
    }

    /// Has every shard tell what is due, if that is this shard's to do.
    pub(super) fn announce_presence(&self) {
        if self.env.roster.due(&self.inbox).is_none_or(|due| due > self.now) {
            return;
        }
        for news in self.env.roster.announcements(self.now) {
            let metrics = &self.env.metrics;
            metrics.presence_events.inc();
            if news.is_reset() {
                metrics.presence_resets.inc();
            }
            for inbox in &self.env.inboxes {
                inbox.post_news(&news);
            }
        }
    }

    /// Tells this shard's watchers of a topic.
    pub(super) fn tell_news(&mut self, news: &SharedNews) {
        let Some(watchers) = self.attendance.watchers.get(&news.topic) else { return };
        for slot in watchers {
            let Some(connection) = self.connections.get_mut(*slot as usize) else { continue };
            if connection.has_room(self.env.settings.outbound_bytes) {
                connection.output.push_shared(news.frame(connection.codec));
                connection.queue_flush(*slot, &mut self.unflushed);
            } else {
                connection.starved = true;
                self.attendance.missed.entry(*slot).or_default().insert(news.topic.clone());
                self.env.metrics.presence_missed.inc();
            }
        }
    }

    /// News were left out of the inbox: every watcher has to ask anew.
    pub(super) fn tell_missed_news(&mut self) {
        let watchers = self.attendance.watchers.iter();
        let mut told: Vec<_> = watchers
            .flat_map(|(topic, slots)| slots.iter().map(|slot| (*slot, topic.clone())))
            .collect();
        told.sort_unstable();
        for (slot, topic) in told {
            self.env.metrics.presence_missed.inc();
            self.attendance.missed.entry(slot).or_default().insert(topic);
            self.tell_what_was_missed(slot);
        }
    }

    /// There may be room to tell a connection what it missed.
    pub(super) fn tell_what_was_missed(&mut self, slot: u32) {
        let Some(topics) = self.attendance.missed.remove(&slot) else { return };
        for topic in topics {
            let outbound_bytes = self.env.settings.outbound_bytes;
            let Some(connection) = self.connections.get_mut(slot as usize) else { return };
            if connection.has_room(outbound_bytes) {
                self.send(slot, None, ServerBody::Presence(reset(topic)));
            } else {
                connection.starved = true;
                self.attendance.missed.entry(slot).or_default().insert(topic);
            }
        }
    }

    /// After a refresh: who may no longer see others loses the subscription that tells of them,
    /// and can subscribe again without.
    pub(super) fn end_forbidden_watches(&mut self, slot: u32) {
        if self.attendance.watchers.is_empty() {
            return;
        }
        let Some(active) = self.connections.get_mut(slot as usize).and_then(|c| c.active()) else {
            return;
        };
        let capabilities: &Capabilities = &active.principal.capabilities;
        let watchers = &self.attendance.watchers;
        let watches = |topic: &Topic| watchers.get(topic).is_some_and(|w| w.contains(&slot));
        let forbidden: Vec<_> = active
            .subscriptions
            .iter()
            .filter(|s| {
                let topic = s.sub.as_topic().filter(watches);
                topic.is_some_and(|topic| !capabilities.allow(Operation::Presence, &topic))
            })
            .map(|s| s.sub.clone())
            .collect();
        for sub in forbidden {
            self.end_subscription(slot, &sub, UnsubscribeReason::Forbidden);
        }
    }
}
