//! Who is on which topic, and what is told of it.
//!
//! A member is a user's client with a subscription to the topic on a connection. The machine
//! decides three things: who counts as present (a connection that breaks may come back within a
//! grace period, unnoticed), what is told of changes (many become one announcement, whoever comes
//! and goes in between is in none), and how often (the more people are told, the less often, so
//! that what is sent stays bounded: a thousand who join would otherwise be a million frames).
//!
//! Whoever is told can always put the truth together: [`Presence::present`] gives the list as it
//! is, and every change that the list does not hold is announced after it.

mod changes;
mod roll;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::close::CloseCode;
use crate::id::{ClientId, UserId};
use crate::limits::PRESENCE_EXPIRIES_AT_ONCE_MAX;
use crate::time::{Instant, Timestamp};
use crate::topic::Topic;

use roll::Roll;

/// One client of a user. Two connections of it are one member.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Member {
    /// Who.
    pub user: UserId,
    /// With which device or process.
    pub client: ClientId,
}

/// A member and since when it is on the topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Present {
    /// Who is there.
    pub member: Member,
    /// When it joined. Who comes back within the grace period never left.
    pub since: Timestamp,
}

/// What the configuration says about presence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PresenceSettings {
    /// How long a member whose connection broke is still taken for present.
    pub grace: Duration,
    /// Members of one topic that are known by name.
    pub members_per_topic_max: usize,
    /// Members of all topics that are known by name.
    pub members_max: usize,
}

/// How a connection is counted that joined. It leaves as it came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// As a member, by name.
    Listed,
    /// There was no room for another name: only the total knows it.
    Unlisted,
}

/// How a connection leaves a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Departure {
    /// On purpose: it is gone at once.
    Meant,
    /// In good order, but perhaps not for long (a page is loaded anew, the server drains, another
    /// connection took over): it may come back within the grace period.
    Ended,
    /// The connection broke: it may come back within the grace period.
    Broken,
}

impl Departure {
    /// How somebody leaves whose client closed the connection with `code`. A browser gives 1001 when
    /// a page is left, and also when it is loaded anew.
    pub const fn said_goodbye(code: Option<u16>) -> Self {
        match code {
            Some(1001) => Self::Ended,
            Some(_) | None => Self::Meant,
        }
    }

    /// How somebody leaves whose connection is closed with `code`: who is told not to come back,
    /// or said goodbye, is gone.
    pub const fn closed_with(code: CloseCode) -> Self {
        match code {
            CloseCode::Normal
            | CloseCode::Unauthenticated
            | CloseCode::BadFrame
            | CloseCode::Forbidden => Self::Meant,
            // The client is still there, on the connection that took over.
            CloseCode::TakenOver
            | CloseCode::TokenExpired
            | CloseCode::Draining
            | CloseCode::Overloaded => Self::Ended,
            CloseCode::ProtocolError
            | CloseCode::UnsupportedData
            | CloseCode::InvalidData
            | CloseCode::TooBig
            | CloseCode::HandshakeTimeout
            | CloseCode::PongTimeout => Self::Broken,
        }
    }
}

/// Effect: tell those who watch `topic`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Announcement {
    /// Which topic.
    pub topic: Topic,
    /// What to tell.
    pub news: News,
}

/// What is told of a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum News {
    /// Who came and who went, each in order of their names.
    Changes {
        /// Who came. Nobody stands in both.
        joined: Vec<Present>,
        /// Who went, and since when they had been there.
        left: Vec<Present>,
    },
    /// Too many to name: the list has to be asked for anew.
    TooMany,
}

/// Who is on a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PresentList {
    /// The first members by name, as many as were asked for.
    pub members: Vec<Present>,
    /// How many there are, with those for whose names there was no room.
    pub total: u64,
}

/// How full it is and what was spared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PresenceCounts {
    /// Members known by name.
    pub listed: usize,
    /// Connections that only the totals know.
    pub unlisted: u64,
    /// Joins and leaves since the start.
    pub changes: u64,
    /// Of these, those that nobody had to be told: undone before they were announced.
    pub undone: u64,
}

/// The presence of a node, of all its topics.
#[derive(Debug)]
pub struct Presence {
    settings: PresenceSettings,
    rolls: BTreeMap<Topic, Roll>,
    /// When which topic wants to be looked at: each topic once at most.
    deadlines: BTreeSet<(Instant, Topic)>,
    counts: PresenceCounts,
}

impl Presence {
    /// With nobody on any topic.
    pub fn new(settings: PresenceSettings) -> Self {
        Self {
            settings,
            rolls: BTreeMap::new(),
            deadlines: BTreeSet::new(),
            counts: PresenceCounts::default(),
        }
    }

    /// A connection of `member` is on `topic`. What this returns it must show when it
    /// [leaves](Self::left).
    pub fn joined(
        &mut self,
        now: Instant,
        wall: Timestamp,
        topic: &Topic,
        member: &Member,
    ) -> Admission {
        let settings = self.settings;
        self.change(topic, |roll, counts| {
            let room = roll.listed() < settings.members_per_topic_max
                && counts.listed < settings.members_max;
            roll.joined(now, wall, member, room, counts)
        })
    }

    /// A connection of `member` is no longer on `topic`.
    pub fn left(
        &mut self,
        now: Instant,
        topic: &Topic,
        member: &Member,
        admission: Admission,
        departure: Departure,
    ) {
        let until = match departure {
            Departure::Meant => now,
            Departure::Ended | Departure::Broken => now + self.settings.grace,
        };
        self.change(topic, |roll, counts| match admission {
            Admission::Listed => roll.left(now, member, until, counts),
            Admission::Unlisted => roll.left_unlisted(counts),
        });
    }

    /// One more connection wants to be told of changes on `topic`.
    pub fn watched(&mut self, topic: &Topic) {
        self.change(topic, |roll, _| roll.watched());
    }

    /// One less.
    pub fn unwatched(&mut self, topic: &Topic) {
        self.change(topic, |roll, _| roll.unwatched());
    }

    /// Who is on `topic` now, at most `limit` by name. Whoever watches the topic may rely on being
    /// told of everything that differs from this list.
    pub fn present(&mut self, topic: &Topic, limit: usize) -> PresentList {
        match self.rolls.get_mut(topic) {
            Some(roll) => roll.present(limit),
            None => PresentList { members: Vec::new(), total: 0 },
        }
    }

    /// How many are known and what was spared.
    pub const fn counts(&self) -> PresenceCounts {
        self.counts
    }

    /// When something is to be done, if anything is.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.deadlines.first().map(|(at, _)| *at)
    }

    /// What is due at `now`, of at most `topics_max` topics: what remains is due at once.
    pub fn deadline_passed(&mut self, now: Instant, topics_max: usize) -> Vec<Announcement> {
        let mut announcements = Vec::new();
        let mut expiries = PRESENCE_EXPIRIES_AT_ONCE_MAX;
        for _ in 0..topics_max {
            let Some((at, topic)) = self.deadlines.first().cloned() else { break };
            if at > now || expiries == 0 {
                break;
            }
            let news = self.change(&topic, |roll, counts| {
                roll.expire(now, &mut expiries, counts);
                roll.announce(now)
            });
            announcements.extend(news.map(|news| Announcement { topic, news }));
        }
        announcements
    }

    /// Changes the roll of `topic`, and keeps in step what is said about it elsewhere.
    fn change<T>(
        &mut self,
        topic: &Topic,
        act: impl FnOnce(&mut Roll, &mut PresenceCounts) -> T,
    ) -> T {
        let roll = self.rolls.entry(topic.clone()).or_default();
        let before = roll.next_deadline();
        let result = act(roll, &mut self.counts);
        let after = roll.next_deadline();
        let is_over = roll.is_empty();
        if before != after {
            if let Some(at) = before {
                self.deadlines.remove(&(at, topic.clone()));
            }
            if let Some(at) = after {
                self.deadlines.insert((at, topic.clone()));
            }
        }
        if is_over {
            assert!(after.is_none(), "an empty roll waits for nothing");
            self.rolls.remove(topic);
        }
        result
    }
}

#[cfg(test)]
mod tests;
