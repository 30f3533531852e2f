//! What happens when the application is slow to take messages.
//!
//! First the socket is no longer read, and the server's log is the queue. If others on the same
//! connection wait for something, the slow one lets messages pass after a while, and comes back
//! to them from the log; one with wildcards has no place to come back to, and hears how many
//! passed.

use std::sync::Arc;

use tidings_core::Instant;
use tidings_protocol::ClientBody;
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;

use super::{Stalled, Subscriptions, find};
use crate::agenda::entry::{News, Phase};
use crate::agenda::requests::{Request, Requests};
use crate::feedback::SubscriptionRef;
use crate::limits::{BEHIND_CHECK, STALL_MAX};
use crate::subscription::Queued;

impl Subscriptions {
    /// Gives something to the application, or keeps it until there is room.
    pub(super) fn offer(&mut self, now: Instant, to: &SubscriptionRef, queued: Queued) {
        let Some(entry) = find(&mut self.entries, to) else { return };
        let mut is_full = false;
        for queued in entry.held.take().into_iter().chain([queued]) {
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
            if entry.is_durable() {
                // Its window bounds it; the one message comes again.
                continue;
            }
            tracing::debug!(sub = %to.sub, "the application is slow: its subscription falls behind");
            entry.phase = Phase::Behind { missed: 1 };
            if entry.can_resume() {
                let body = ClientBody::Unsubscribe { sub: entry.request.sub.clone() };
                requests.ask(body, Request::Unsubscribe);
            }
            self.behind_check.get_or_insert(now + BEHIND_CHECK);
        }
    }

    /// Takes those up again whose application has caught up by half a queue.
    pub(super) fn catch_up(&mut self, now: Instant, requests: &mut Requests) {
        let mut ready = Vec::new();
        let mut abandoned = Vec::new();
        let mut missing = Vec::new();
        for entry in self.entries.values_mut() {
            if entry.is_abandoned() {
                abandoned.push(Arc::clone(&entry.reference.sub));
                continue;
            }
            let Phase::Behind { missed } = entry.phase else { continue };
            if entry.queue.capacity() * 2 < entry.queue.max_capacity() {
                self.behind_check = Some(now + BEHIND_CHECK);
            } else if entry.can_resume() {
                ready.push(Arc::clone(&entry.reference.sub));
            } else {
                entry.phase = Phase::Active;
                missing.push((entry.reference.clone(), missed));
            }
        }
        for sub in abandoned {
            self.remove(&sub, Some(requests));
        }
        for (reference, count) in missing {
            self.offer(now, &reference, Queued::Missed { count });
        }
        for sub in ready {
            self.ask(&sub, News::Spare, requests);
        }
    }
}
