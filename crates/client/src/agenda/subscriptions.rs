//! All subscriptions of a client, and who gets what.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use tidings_core::limits::SUBSCRIPTIONS_PER_CONNECTION_MAX;
use tidings_core::{Filter, Instant};
use tidings_protocol::{ClientBody, Delivery, ErrorBody, ErrorCode, Reset, SubscribedPlace};

use super::entry::place::Place;
use super::entry::{Entry, News, Phase};
use super::requests::{Request, Requests};
use crate::client::SubscribeCommand;
use crate::feedback::SubscriptionRef;
use crate::limits::{BEHIND_CHECK, RETRY_DEFAULT, STALL_MAX};
use crate::subscribe::SubscribeError;
use crate::subscription::{EndReason, Queued};

mod announced;
mod answers;
mod slow;

use self::announced::Inbox;

/// Something for the application that found no room in its queue.
#[derive(Debug)]
struct Stalled {
    to: SubscriptionRef,
    queued: Queued,
}

/// All subscriptions of a client, by topic or filter.
#[derive(Debug)]
pub(super) struct Subscriptions {
    entries: BTreeMap<Arc<str>, Entry>,
    /// The filters with wildcards among them.
    wildcards: Vec<Filter>,
    /// Those with acks to give.
    with_acks: Vec<Arc<str>>,
    /// What waits for room. While there is any, the socket is not read.
    stalled: VecDeque<Stalled>,
    /// When the wait for room is looked at again.
    stall_check: Option<Instant>,
    /// When those that fell behind are looked at again.
    behind_check: Option<Instant>,
    next_instance: u64,
    inbox: Inbox,
}

impl Subscriptions {
    pub(super) const fn new() -> Self {
        Self {
            entries: BTreeMap::new(),
            wildcards: Vec::new(),
            with_acks: Vec::new(),
            stalled: VecDeque::new(),
            stall_check: None,
            behind_check: None,
            next_instance: 0,
            inbox: Inbox::new(),
        }
    }

    /// Takes a new one in; with `requests`, there is a connection to ask for it on.
    pub(super) fn add(&mut self, command: SubscribeCommand, requests: Option<&mut Requests>) {
        let SubscribeCommand { request, answer, feedback } = command;
        let mut requests = requests;
        if self.entries.get(request.sub.as_str()).is_some_and(Entry::is_abandoned) {
            self.remove(request.sub.as_str(), requests.as_deref_mut());
        }
        self.next_instance += 1;
        let entry = Entry::new(request, self.next_instance, answer, feedback);
        if let Err(error) = self.check(&entry) {
            if let Some(opening) = entry.opening {
                let _ = opening.answer.send(Err(error));
            }
            return;
        }
        let sub = Arc::clone(&entry.reference.sub);
        if entry.request.sub.has_wildcards() && !entry.is_named_by_messages() {
            self.wildcards.push(entry.request.sub.clone());
        }
        self.entries.insert(Arc::clone(&sub), entry);
        if let Some(requests) = requests {
            self.ask(&sub, News::Tell, requests);
        }
    }

    fn check(&self, new: &Entry) -> Result<(), SubscribeError> {
        let sub = &new.request.sub;
        if self.entries.contains_key(sub.as_str()) {
            return Err(SubscribeError::AlreadySubscribed { sub: sub.clone() });
        }
        if self.entries.len() >= SUBSCRIPTIONS_PER_CONNECTION_MAX {
            return Err(SubscribeError::TooMany { count: self.entries.len() });
        }
        // A message names its topic, not its subscription, unless that is shared. Two live ones
        // share it; a durable one must not take a live one's message for its own, or it would
        // lose its place.
        let other = self.entries.values().find(|other| {
            let (durable, live) = match (&new.place, &other.place) {
                (Place::Durable(_), Place::Live(_)) => (new, *other),
                (Place::Live(_), Place::Durable(_)) => (*other, new),
                (Place::Live(_) | Place::Durable(_) | Place::Shared(_), _) => return false,
            };
            durable.request.sub.as_topic().is_some_and(|topic| live.request.sub.matches(&topic))
        });
        match other {
            Some(other) => {
                let other = other.request.sub.clone();
                Err(SubscribeError::Overlaps { sub: sub.clone(), other })
            }
            None => Ok(()),
        }
    }

    fn ask(&mut self, sub: &str, news: News, requests: &mut Requests) {
        if let Some(entry) = self.entries.get_mut(sub) {
            entry.phase = Phase::Asked { news };
            requests.ask(entry.subscribe(), Request::Subscribe(entry.reference.clone()));
        }
    }

    /// Takes one out without a word to it.
    fn remove(&mut self, sub: &str, requests: Option<&mut Requests>) {
        let Some(mut entry) = self.entries.remove(sub) else { return };
        self.wildcards.retain(|filter| filter.as_str() != sub);
        self.stalled.retain(|stalled| stalled.to != entry.reference);
        if let Some(requests) = requests {
            entry.say_acks(requests);
            if is_known_to_server(&entry) {
                let body = ClientBody::Unsubscribe { sub: entry.request.sub.clone() };
                requests.ask(body, Request::Unsubscribe);
            }
        }
    }

    /// Ends one: it hears why.
    pub(super) fn end(&mut self, sub: &str, reason: EndReason) {
        if let Some(entry) = self.entries.get(sub) {
            // Nothing else sets it.
            let _ = entry.end.set(reason);
            self.remove(sub, None);
        }
    }

    /// Ends all: each hears why, or whoever waits for it does.
    pub(super) fn end_all(&mut self, reason: &EndReason) {
        for entry in std::mem::take(&mut self.entries).into_values() {
            let _ = entry.end.set(reason.clone());
        }
        self.wildcards.clear();
        self.stalled.clear();
        // Whoever waits for an inbox hears it by the end of its place.
        self.inbox = Inbox::new();
    }

    /// There is a connection: asks for all.
    pub(super) fn connected(&mut self, now: Instant, requests: &mut Requests) {
        let all: Vec<_> = self.entries.keys().cloned().collect();
        for sub in all {
            match self.entries.get(&sub) {
                Some(entry) if entry.is_abandoned() => self.remove(&sub, None),
                Some(entry) if entry.request.is_inbox => self.await_inbox(now, &sub),
                Some(_) | None => self.ask(&sub, News::Tell, requests),
            }
        }
    }

    /// The connection is gone.
    pub(super) fn disconnected(&mut self) {
        self.with_acks.clear();
        self.inbox.disconnected();
        self.entries.values_mut().for_each(Entry::disconnected);
    }

    /// The server agreed to one.
    pub(super) fn subscribed(
        &mut self,
        now: Instant,
        reference: &SubscriptionRef,
        place: Option<SubscribedPlace>,
    ) {
        let Some(entry) = find(&mut self.entries, reference) else { return };
        let news = entry.subscribed(place);
        self.offer(now, reference, news);
    }

    /// The server refused one.
    pub(super) fn refused(&mut self, now: Instant, from: &SubscriptionRef, error: ErrorBody) {
        let Some(entry) = find(&mut self.entries, from) else { return };
        let is_first = entry.opening.is_some();
        // A server that is going away says so to everybody; the next one will answer.
        let comes_back = error.code == ErrorCode::Draining;
        if comes_back || (!is_first && error.code.is_temporary()) {
            let until = Some(now + error.retry_after.unwrap_or(RETRY_DEFAULT));
            entry.phase = Phase::Waiting { until };
        } else if let Some(opening) = entry.opening.take() {
            let _ = opening.answer.send(Err(SubscribeError::Refused { error }));
            entry.phase = Phase::Waiting { until: None };
            self.remove(&from.sub, None);
        } else {
            self.end(&from.sub, EndReason::Refused(error));
        }
    }

    /// A message came in.
    pub(super) fn message(&mut self, now: Instant, message: Delivery) {
        if let Some(sub) = message.sub.clone() {
            return self.deliver(now, sub.as_str(), message);
        }
        let topic = message.topic.clone();
        for index in 0..self.wildcards.len() {
            if let Some(filter) = self.wildcards.get(index)
                && filter.matches(&topic)
            {
                let sub = filter.clone();
                self.deliver(now, sub.as_str(), message.clone());
            }
        }
        self.deliver(now, topic.as_str(), message);
    }

    fn deliver(&mut self, now: Instant, sub: &str, message: Delivery) {
        let Some(entry) = self.entries.get_mut(sub) else { return };
        if entry.is_named_by_messages() != message.sub.is_some() {
            // It is for one of the same name that was here before, or for another that matches.
            return;
        }
        if entry.queue.is_closed() && entry.opening.is_none() {
            // Its goodbye is on the way, behind answers that count.
            self.behind_check.get_or_insert(now + BEHIND_CHECK);
            return;
        }
        match entry.received(message) {
            Some(queued) => {
                let reference = entry.reference.clone();
                self.offer(now, &reference, [queued]);
            }
            None => note_acks(entry, &mut self.with_acks),
        }
    }

    /// The server says that one lost its place.
    pub(super) fn reset(&mut self, now: Instant, reset: Reset) {
        let Some(entry) = self.entries.get_mut(reset.sub.as_str()) else { return };
        match entry.phase {
            Phase::Active => {
                entry.place.reset(&reset);
                let reference = entry.reference.clone();
                self.offer(now, &reference, [Queued::Reset(reset)]);
            }
            Phase::Behind { .. } if !entry.can_resume() => {
                entry.place.reset(&reset);
                entry.held.keep(Queued::Reset(reset));
            }
            // One that is asked for again shows its place, and hears then that it is gone.
            Phase::Waiting { .. } | Phase::Asked { .. } | Phase::Behind { .. } => {}
        }
    }

    /// Says the acks that are due.
    pub(super) fn say_acks(&mut self, requests: &mut Requests) {
        for sub in std::mem::take(&mut self.with_acks) {
            if let Some(entry) = self.entries.get_mut(&sub) {
                entry.say_acks(requests);
            }
        }
    }

    /// Whether acks are due.
    pub(super) fn has_acks(&self) -> bool {
        !self.with_acks.is_empty()
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        let waiting = self.entries.values().filter_map(|entry| match entry.phase {
            Phase::Waiting { until } => until,
            Phase::Asked { .. } | Phase::Active | Phase::Behind { .. } => None,
        });
        waiting.chain(self.stall_check).chain(self.behind_check).min()
    }

    /// Time has passed. `others_wait` tells whether a stall holds up more than itself.
    pub(super) fn deadline_passed(
        &mut self,
        now: Instant,
        others_wait: bool,
        requests: &mut Requests,
    ) {
        if self.stall_check.is_some_and(|at| at <= now) {
            self.stall_check = None;
            if others_wait || self.entries.len() > 1 {
                self.fall_behind(now, requests);
            } else if self.is_stalled() {
                self.stall_check = Some(now + STALL_MAX);
            }
        }
        if self.behind_check.is_some_and(|at| at <= now) {
            self.behind_check = None;
            self.catch_up(now, requests);
        }
        let is_due = |entry: &&Entry| matches!(entry.phase, Phase::Waiting { until: Some(until) } if until <= now);
        let due = self.entries.values().filter(is_due);
        let due: Vec<_> = due.map(|entry| Arc::clone(&entry.reference.sub)).collect();
        for sub in due {
            self.ask(&sub, News::Tell, requests);
        }
    }
}

/// Whether the server would deliver for it if it were not told.
const fn is_known_to_server(entry: &Entry) -> bool {
    match entry.phase {
        Phase::Asked { .. } | Phase::Active => true,
        // One that can resume was unsubscribed when it fell behind.
        Phase::Behind { .. } => !entry.can_resume(),
        Phase::Waiting { .. } => false,
    }
}

/// The subscription that `reference` means, unless another one has taken its place.
fn find<'a>(
    entries: &'a mut BTreeMap<Arc<str>, Entry>,
    reference: &SubscriptionRef,
) -> Option<&'a mut Entry> {
    let entry = entries.get_mut(&reference.sub)?;
    (entry.reference.instance == reference.instance).then_some(entry)
}

fn note_acks(entry: &mut Entry, with_acks: &mut Vec<Arc<str>>) {
    if entry.wants_answers() && !entry.has_acks {
        entry.has_acks = true;
        with_acks.push(Arc::clone(&entry.reference.sub));
    }
}
