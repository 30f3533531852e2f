//! What happens when the application is slow to take messages.
//!
//! Presence events give way first: the application is told to ask for the list anew. For messages
//! the socket is at first no longer read, and the server's log is the queue. If others on the same
//! connection wait for something, the slow one lets messages pass after a while, and comes back
//! to them from the log; one with wildcards has no place to come back to, and hears how many
//! passed.

use std::sync::Arc;

use tidings_core::Instant;
use tidings_protocol::{ClientBody, PresenceChange};
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;

use super::{Stalled, Subscriptions, find};
use crate::agenda::entry::{News, Phase};
use crate::agenda::requests::{Request, Requests};
use crate::feedback::SubscriptionRef;
use crate::limits::{BEHIND_CHECK, STALL_MAX};
use crate::subscription::Queued;

impl Subscriptions {
    /// Gives things to the application in their order, behind what is held for it, or keeps them
    /// until there is room.
    pub(super) fn offer(
        &mut self,
        now: Instant,
        to: &SubscriptionRef,
        things: impl IntoIterator<Item = Queued>,
    ) {
        let Some(entry) = find(&mut self.entries, to) else { return };
        let mut is_full = false;
        for queued in entry.held.take().into_iter().chain(things) {
            let full = match entry.queue.try_reserve() {
                Ok(room) if !is_full => {
                    room.send(queued);
                    continue;
                }
                Ok(_) | Err(TrySendError::Full(())) => queued,
                Err(TrySendError::Closed(())) => return,
            };
            is_full = true;
            self.stalled.push_back(Stalled { to: to.clone(), queued: full });
            self.stall_check.get_or_insert(now + STALL_MAX);
        }
    }

    /// The server tells who joined and left a topic.
    pub(in crate::agenda) fn presence(&mut self, now: Instant, change: PresenceChange) {
        let Some(entry) = self.entries.get_mut(change.topic.as_str()) else { return };
        match entry.phase {
            Phase::Active if entry.request.presence => {}
            // Once it stands, the list is asked for anew.
            Phase::Active | Phase::Waiting { .. } | Phase::Asked { .. } | Phase::Behind { .. } => {
                return;
            }
        }
        let change = Queued::Presence(change);
        // Half a queue is the messages': who only wants to know who is there holds nobody up.
        if entry.queue.capacity() * 2 > entry.queue.max_capacity() {
            let reference = entry.reference.clone();
            return self.offer(now, &reference, [change]);
        }
        entry.held.keep(change);
        self.behind_check.get_or_insert(now + BEHIND_CHECK);
    }

    /// The queue that has no room, if there is one: while there is, nothing more is to be read.
    pub(in crate::agenda) fn full_queue(&self) -> Option<mpsc::Sender<Queued>> {
        let first = self.stalled.front()?;
        let entry = self.entries.get(&first.to.sub)?;
        Some(entry.queue.clone())
    }

    pub(in crate::agenda) fn is_stalled(&self) -> bool {
        !self.stalled.is_empty()
    }

    /// There is room in the full queue; without one, nobody reads it any more.
    pub(in crate::agenda) fn room(
        &mut self,
        now: Instant,
        room: Option<mpsc::OwnedPermit<Queued>>,
    ) {
        let Some(first) = self.stalled.pop_front() else { return };
        if let Some(room) = room {
            room.send(first.queued);
        }
        self.stall_check = (!self.stalled.is_empty()).then(|| now + STALL_MAX);
    }

    /// The slow ones no longer hold the others up: they let messages pass, and come back to them
    /// from the log if they can.
    pub(super) fn fall_behind(&mut self, now: Instant, requests: &mut Requests) {
        for Stalled { to, queued } in std::mem::take(&mut self.stalled) {
            let Some(entry) = find(&mut self.entries, &to) else { continue };
            entry.not_kept(queued);
            self.behind_check.get_or_insert(now + BEHIND_CHECK);
            if entry.wants_answers() {
                // Its window bounds it; the one message comes again.
                continue;
            }
            tracing::debug!(sub = %to.sub, "the application is slow: its subscription falls behind");
            entry.phase = Phase::Behind { missed: 1 };
            if entry.can_resume() {
                let body = ClientBody::Unsubscribe { sub: entry.request.sub.clone() };
                requests.ask(body, Request::Unsubscribe);
            }
        }
    }

    /// Takes those up again whose application has caught up by half a queue.
    pub(super) fn catch_up(&mut self, now: Instant, requests: &mut Requests) {
        let mut ready = Vec::new();
        let mut abandoned = Vec::new();
        let mut missing = Vec::new();
        let mut held = Vec::new();
        for entry in self.entries.values_mut() {
            if entry.is_abandoned() {
                abandoned.push(Arc::clone(&entry.reference.sub));
                continue;
            }
            let (free, all) = (entry.queue.capacity(), entry.queue.max_capacity());
            match entry.phase {
                // Well below the half that presence may fill, or it would be full at once.
                Phase::Active if !entry.held.is_empty() => match free * 4 >= all * 3 {
                    true => held.push(entry.reference.clone()),
                    false => self.behind_check = Some(now + BEHIND_CHECK),
                },
                Phase::Behind { .. } if free * 2 < all => {
                    self.behind_check = Some(now + BEHIND_CHECK);
                }
                Phase::Behind { .. } if entry.can_resume() => {
                    ready.push(Arc::clone(&entry.reference.sub));
                }
                Phase::Behind { missed } => {
                    entry.phase = Phase::Active;
                    missing.push((entry.reference.clone(), missed));
                }
                Phase::Waiting { .. } | Phase::Asked { .. } | Phase::Active => {}
            }
        }
        for sub in abandoned {
            self.remove(&sub, Some(requests));
        }
        for (reference, count) in missing {
            self.offer(now, &reference, [Queued::Missed { count }]);
        }
        for reference in held {
            self.offer(now, &reference, []);
        }
        for sub in ready {
            self.ask(&sub, News::Spare, requests);
        }
    }
}
