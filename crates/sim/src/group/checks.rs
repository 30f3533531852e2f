//! What has to hold between the group and the model.

use std::fmt::Debug;

use super::Scene;
use super::model::{Fate, Why, is_in_flight};
use crate::violation::{Promise, Violation, ensure};

impl Scene {
    /// What holds after every input and effect.
    pub(super) fn check_always(&self) -> Result<(), Violation> {
        let (subject, model) = (&self.subject, &self.model);
        for topic in model.topics.keys() {
            let Some(mut ours) = subject.state(topic) else { continue };
            let reserved = std::mem::take(&mut ours.reserved);
            agree(Promise::AtLeastOnce, "the state to save", &ours, &model.state(topic))?;
            let most = model.reserves_at_most(topic);
            ensure(reserved <= most, Promise::Contract, || {
                format!("{topic} reserves through {reserved}, and may through {most}")
            })?;
        }
        for standing in subject.topic_standings() {
            let topic = &standing.topic;
            agree(Promise::AtLeastOnce, "the cursor", &standing.cursor, &model.cursor(topic))?;
            agree(Promise::Contract, "the lag", &standing.lag, &model.lag(topic))?;
            let messages = model.messages(topic);
            let unacked = messages.values().filter(|m| matches!(m.fate, Fate::With { .. }));
            agree(Promise::Contract, "unacked", &standing.unacked, &(unacked.count() as u64))?;
            let in_flight = messages.values().filter(|m| is_in_flight(m.fate)).count() as u64;
            let ours = standing.unacked + standing.waiting;
            agree(Promise::Contract, "in flight", &ours, &in_flight)?;
        }
        let unacked = model.unacked();
        for standing in subject.member_standings() {
            let unacked = unacked.get(&standing.member).copied().unwrap_or(0);
            agree(Promise::Contract, "unacked of a member", &standing.unacked, &unacked)?;
        }
        agree(Promise::Contract, "in flight", &subject.in_flight(), &model.in_flight())
    }

    /// What holds once every effect was taken: nothing that is due was left out.
    pub(super) fn check_settled_down(&self) -> Result<(), Violation> {
        let now = self.now;
        let deadline = self.subject.next_deadline();
        for (offset, due) in self.model.dues() {
            ensure(due > now, Promise::Liveness, || {
                format!("{offset} was due at {due:?}, and nothing came of it by {now:?}")
            })?;
            ensure(deadline.is_some_and(|at| at <= due), Promise::Liveness, || {
                format!("something is due at {due:?}, the next deadline is {deadline:?}")
            })?;
        }
        self.check_nobody_waits_for_nothing()?;
        self.check_enough_asked_for()?;
        ensure(self.model.unsaved.is_empty(), Promise::Contract, || {
            "something was settled, and the cursor was not to be saved".to_owned()
        })
    }

    /// What is ready is with a member, if one has room.
    fn check_nobody_waits_for_nothing(&self) -> Result<(), Violation> {
        let model = &self.model;
        let free = model.free_of_taking();
        let some_room = free.values().any(|free| *free > 0);
        let all_room = !free.is_empty() && free.values().all(|free| *free > 0);
        for (topic, offset, message) in model.all() {
            let ready = match message.fate {
                Fate::Held { .. } => message.placed,
                Fate::BackingOff { retry, .. } => retry.until <= self.now,
                _ => false,
            };
            let Some(key) = &message.key else {
                ensure(!ready || !some_room, Promise::Liveness, || {
                    format!("{topic} {offset} waits though a member has room")
                })?;
                continue;
            };
            // Some message of the key is out, unless none is because its member is full.
            if !ready || !all_room {
                continue;
            }
            let out = model.all().any(|(_, _, other)| {
                other.key.as_ref() == Some(key)
                    && match other.fate {
                        Fate::With { .. } | Fate::GivenUp { .. } => true,
                        Fate::BackingOff { retry, .. } => retry.until > self.now,
                        _ => false,
                    }
            });
            ensure(out, Promise::Liveness, || {
                format!("{topic} {offset} of {key} waits though every member has room")
            })?;
        }
        Ok(())
    }

    /// While members have room for more than is being fetched, nothing is left unasked that the
    /// bound allows.
    fn check_enough_asked_for(&self) -> Result<(), Violation> {
        let model = &self.model;
        if model.room() <= model.fetching() || model.in_flight() as u64 >= model.bound() {
            return Ok(());
        }
        for topic in model.topics.keys() {
            let Some(unasked) = model.first_unasked(topic) else { continue };
            if self.subject.topic_gives_way(topic) {
                // Others wait for its place. That it comes back is checked at the end.
                continue;
            }
            let span = unasked.distance_from(model.cursor(topic));
            let span_max = model.bound() * tidings_core::limits::WINDOW_SPAN_FACTOR;
            let reserved = model.reserved.get(topic).copied().unwrap_or_default();
            let awaited = unasked > reserved.durable
                && self.saves.iter().any(|(of, saves)| of == topic && saves.len() > 1);
            ensure(awaited || span >= span_max, Promise::Liveness, || {
                format!("there is room for {topic} {unasked}, and it was not asked for")
            })?;
        }
        Ok(())
    }

    /// Every message was acked, is gone from the log, or has a durable dead letter.
    pub(super) fn check_all_settled(&self) -> Result<(), Violation> {
        for (topic, offset, message) in self.model.all() {
            let kept = match message.fate {
                Fate::Settled(Why::Acked) => true,
                Fate::Settled(Why::Gone) => {
                    self.logs.get(topic).is_some_and(|log| log.is_gone(offset))
                }
                Fate::Settled(Why::DeadLettered) => self.letters.contains(&(topic.clone(), offset)),
                _ => false,
            };
            ensure(kept, Promise::AtLeastOnce, || {
                format!("{topic} {offset} ended as {:?}", message.fate)
            })?;
        }
        Ok(())
    }
}

pub(super) fn agree<T: PartialEq + Debug>(
    promise: Promise,
    name: &str,
    subject: &T,
    model: &T,
) -> Result<(), Violation> {
    ensure(subject == model, promise, || format!("{name}: {subject:?} instead of {model:?}"))
}
