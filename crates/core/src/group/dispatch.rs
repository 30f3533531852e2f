//! What a group wants done next: fetches, deliveries, dead letters, cursors.

use super::shared_topic::{Flight, Holder};
use super::{Group, GroupEffect, MemberId, Place};
use crate::delivery_window::{DeliveryEffect, DeliveryWindow};
use crate::position::Offset;
use crate::time::Instant;
use crate::topic::Topic;

impl Group {
    /// The next thing to do, or none. `now` starts the ack timeout of what is delivered.
    pub fn next_effect(&mut self, now: Instant) -> Option<GroupEffect> {
        self.next_decided(now)
            .or_else(|| self.next_delivery(now))
            .or_else(|| self.start_next(now))
            .or_else(|| self.next_rest())
            .or_else(|| self.unsaved.pop_first().map(|topic| GroupEffect::SaveCursor { topic }))
    }

    /// What a window wants: retries and dead letters.
    fn next_decided(&mut self, now: Instant) -> Option<GroupEffect> {
        while let Some(topic) = self.decided.first().cloned() {
            match self.change(&topic, |window| window.next_decided(now)).flatten() {
                Some(effect) => {
                    if let Some(effect) = self.translate(&topic, effect) {
                        return Some(effect);
                    }
                }
                None => {
                    self.decided.remove(&topic);
                }
            }
        }
        None
    }

    /// The oldest message that is ready, if a member may have it.
    fn next_delivery(&mut self, now: Instant) -> Option<GroupEffect> {
        let queued = self.members.oldest_queued();
        let ready = self.ready.first_key_value().map(|(age, _)| *age);
        let ready = ready.and_then(|age| Some((age, self.members.roomiest()?)));
        let (age, member) = queued.into_iter().chain(ready).min()?;
        let place = self.ready.remove(&age).or_else(|| self.members.unqueue(age))?;
        Some(self.deliver(now, member, place))
    }

    fn deliver(&mut self, now: Instant, member: MemberId, place: Place) -> GroupEffect {
        let Place { topic, offset } = place.clone();
        let sent = self.change(&topic, |window| window.sent(now, offset)).flatten();
        let attempt = sent.expect("a message that is ready is held by its window");
        let serving = self.members.serve(member, place);
        let shared = self.topics.get_mut(&topic);
        if let Some(flight) = shared.and_then(|shared| shared.flights.get_mut(&offset)) {
            flight.holder = Holder::Holds { member, serving };
            flight.first_sent.get_or_insert(now);
        }
        GroupEffect::Deliver { member, topic, offset, attempt }
    }

    /// Asks for a message not asked for before, of each topic in turn, as long as a member could
    /// take it.
    fn start_next(&mut self, now: Instant) -> Option<GroupEffect> {
        while self.in_flight < self.bound() as usize
            && self.members.free() > self.fetching + self.ready.len()
        {
            let topic = self.behind.pop()?;
            let Some(shared) = self.topics.get_mut(&topic) else { continue };
            shared.is_listed = false;
            if !shared.course.takes() {
                continue;
            }
            if self.change(&topic, DeliveryWindow::ask_to_reserve) == Some(true) {
                return Some(GroupEffect::Reserve { topic });
            }
            let started = self.change(&topic, |window| window.start_next(now)).flatten();
            if let Some(effect) = started.and_then(|effect| self.translate(&topic, effect)) {
                self.count_started(&topic);
                return Some(effect);
            }
        }
        None
    }

    /// What has to be done for the group if a window wants this; nothing if it can wait.
    fn translate(&mut self, topic: &Topic, effect: DeliveryEffect) -> Option<GroupEffect> {
        match effect {
            DeliveryEffect::Send { offset, .. } => {
                self.change(topic, |window| window.held(offset));
                let shared = self.topics.get_mut(topic)?;
                if shared.flights.contains_key(&offset) {
                    self.make_ready_if_held(&Place { topic: topic.clone(), offset });
                    return None;
                }
                if shared.fetching.insert(offset, None).is_none() {
                    self.fetching += 1;
                }
                Some(GroupEffect::Fetch { topic: topic.clone(), offset })
            }
            DeliveryEffect::DeadLetter { offset, attempts, reason } => {
                Some(GroupEffect::DeadLetter { topic: topic.clone(), offset, attempts, reason })
            }
            // A window gives them last of all, and was not asked for that.
            DeliveryEffect::SaveCursor | DeliveryEffect::Reserve => None,
        }
    }

    /// Places every message of a topic whose key is known, in the order of its log.
    pub(super) fn place_fetched(&mut self, topic: &Topic) {
        while let Some(shared) = self.topics.get_mut(topic) {
            let Some((offset, key)) = shared.take_fetched() else { return };
            self.fetching -= 1;
            self.ages += 1;
            let age = self.ages;
            let holder = Holder::Nobody;
            let flight = Flight { age, key: key.clone(), holder, first_sent: None };
            shared.flights.insert(offset, flight);
            let place = Place { topic: topic.clone(), offset };
            match key {
                None => {
                    self.ready.insert(age, place);
                }
                Some(key) => {
                    if let Some(place) = self.lanes.enter(&key, age, place) {
                        self.members.queue(age, place, key);
                    }
                }
            }
        }
    }

    /// A message whose turn it is and that its window holds waits for a member.
    pub(super) fn make_ready_if_held(&mut self, place: &Place) {
        let Some(shared) = self.topics.get(&place.topic) else { return };
        let Some(flight) = shared.flights.get(&place.offset) else { return };
        if !shared.window.is_held(place.offset) {
            return;
        }
        match flight.key.clone() {
            Some(key) => self.members.queue(flight.age, place.clone(), key),
            None => {
                self.ready.insert(flight.age, place.clone());
            }
        }
    }

    /// After something was done to a message's window: what the member no longer has is taken off
    /// its hands, and what is settled lets the next of its key go.
    pub(super) fn reconcile(&mut self, topic: &Topic, offset: Offset) {
        let Some(shared) = self.topics.get_mut(topic) else { return };
        let Some(flight) = shared.flights.get_mut(&offset) else { return };
        match flight.holder {
            Holder::Holds { member, serving } => {
                if !shared.window.awaits_ack(offset) {
                    self.members.clear(member, serving);
                    flight.holder = Holder::Had(member);
                }
            }
            Holder::Had(_) | Holder::Nobody => {
                if !shared.window.is_held(offset) {
                    self.ready.remove(&flight.age);
                    self.members.unqueue(flight.age);
                }
            }
        }
        if shared.window.is_in_flight(offset) {
            return;
        }
        let Some(flight) = shared.flights.remove(&offset) else { return };
        if let Some(key) = flight.key
            && let Some((age, place)) = self.lanes.leave(&key, flight.age)
        {
            self.members.queue(age, place, key);
        }
    }
}
