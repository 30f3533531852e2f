//! Notices that wait for room in a subscription's queue.

use tidings_protocol::PresenceChange;

use crate::limits::NOTICES_HELD_MAX;
use crate::subscription::Queued;

/// What the server says only once, kept until the application has room for it. What a later
/// notice says as well is not kept twice.
#[derive(Debug, Default)]
pub(in crate::agenda) struct Held(Vec<Queued>);

impl Held {
    pub(in crate::agenda) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Takes everything out, oldest first.
    pub(in crate::agenda) fn take(&mut self) -> Vec<Queued> {
        std::mem::take(&mut self.0)
    }

    /// Keeps a notice; messages are not for here.
    pub(in crate::agenda) fn keep(&mut self, notice: Queued) {
        let notice = match notice {
            // One event that is kept for later and another that is not would make a wrong list.
            Queued::Presence(PresenceChange { topic, .. }) => {
                let (joined, left) = (Vec::new(), Vec::new());
                Queued::Presence(PresenceChange { topic, joined, left, reset: true })
            }
            other => other,
        };
        self.0.retain(|kept| !replaces(&notice, kept));
        if self.0.len() + 1 < NOTICES_HELD_MAX {
            return self.0.push(notice);
        }
        // What exactly it misses is no longer known, but that it misses something is.
        match self.0.last_mut() {
            Some(Queued::Missed { count }) => *count += 1,
            _ => self.0.push(Queued::Missed { count: 1 }),
        }
    }
}

/// Whether whoever hears `new` need not hear `old`.
fn replaces(new: &Queued, old: &Queued) -> bool {
    match (new, old) {
        (Queued::Reset(new), Queued::Reset(old)) => new.topic == old.topic,
        (Queued::Presence(_), Queued::Presence(_))
        | (Queued::Subscribed { .. }, Queued::Subscribed { .. }) => true,
        (
            Queued::Message { .. }
            | Queued::Subscribed { .. }
            | Queued::Reset(_)
            | Queued::Presence(_)
            | Queued::Missed { .. },
            _,
        ) => false,
    }
}

#[cfg(test)]
mod tests {
    use tidings_core::{Epoch, Filter, Offset, ResetReason, Topic};
    use tidings_protocol::Reset;

    use super::*;

    fn reset(topic: u64, first: u64) -> Queued {
        Queued::Reset(Reset {
            sub: Filter::parse("#").unwrap(),
            topic: Topic::parse(&topic.to_string()).unwrap(),
            reason: ResetReason::Trimmed,
            epoch: Epoch::new(1),
            first: Offset::new(first),
            offset: Offset::new(first),
        })
    }

    fn firsts(held: &mut Held) -> Vec<(String, u64)> {
        let notices = held.take().into_iter();
        notices
            .map(|notice| match notice {
                Queued::Reset(reset) => (reset.topic.to_string(), reset.first.get()),
                Queued::Missed { count } => ("missed".to_owned(), count),
                other => panic!("not kept here: {other:?}"),
            })
            .collect()
    }

    #[test]
    fn the_last_reset_of_each_topic_is_kept() {
        let mut held = Held::default();
        for (topic, first) in [(1, 5), (2, 6), (1, 7)] {
            held.keep(reset(topic, first));
        }
        assert_eq!(firsts(&mut held), [("2".to_owned(), 6), ("1".to_owned(), 7)]);
        assert!(held.is_empty());
    }

    #[test]
    fn what_does_not_fit_is_told_to_be_missing() {
        let mut held = Held::default();
        for topic in 0..NOTICES_HELD_MAX as u64 + 9 {
            held.keep(reset(topic, 1));
        }
        let kept = firsts(&mut held);
        assert_eq!(kept.len(), NOTICES_HELD_MAX);
        assert_eq!(kept.last(), Some(&("missed".to_owned(), 10)));
    }

    #[test]
    fn a_presence_event_that_waits_says_to_ask_for_the_list() {
        let mut held = Held::default();
        let topic = Topic::parse("room/1").unwrap();
        for _ in 0..2 {
            let (joined, left) = (Vec::new(), Vec::new());
            let topic = topic.clone();
            held.keep(Queued::Presence(PresenceChange { topic, joined, left, reset: false }));
        }
        let kept = held.take();
        assert!(matches!(&kept[..], [Queued::Presence(change)] if change.reset), "{kept:?}");
    }
}
