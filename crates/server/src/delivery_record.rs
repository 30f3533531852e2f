//! What a shard remembers of its latest durable and shared deliveries: for the story of one message.
//!
//! A ring of events of fixed size: an event costs a few writes to memory and no allocation, and the
//! oldest make room. It is no promise and decides nothing; what it no longer reaches back to, it says.

use std::collections::VecDeque;

use slab::Slab;
use tidings_core::{AttemptEnd, ClientId, CursorKey, Instant, Offset, Topic, UserId};

/// What happened to a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Happening {
    /// The message was sent.
    Sent,
    /// It was acked by itself.
    Acked,
    /// It and everything before it was acked.
    AckedThrough,
    /// The delivery failed.
    Failed(AttemptEnd),
    /// The delivery never left: the connection had no room for it.
    Returned,
    /// The message became a dead letter.
    GivenUp,
}

/// Who gets deliveries: a subscription on one connection.
#[derive(Clone, Debug)]
pub(crate) struct Reader {
    pub(crate) key: CursorKey,
    /// Whose connection, and which; none for what a group does by itself.
    pub(crate) who: Option<(UserId, ClientId)>,
}

/// Names a reader of a record. Given with its first event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ReaderId(u32);

/// 24 bytes.
#[derive(Clone, Copy, Debug)]
struct Event {
    offset: Offset,
    at: Instant,
    reader: ReaderId,
    /// No policy allows more than a thousand.
    attempt: u16,
    what: Happening,
}

/// An event of one message.
#[derive(Clone, Debug)]
pub(crate) struct Remembered {
    pub(crate) at: Instant,
    pub(crate) reader: Reader,
    /// Which delivery, from 1; 0 where that is not known.
    pub(crate) attempt: u32,
    pub(crate) what: Happening,
}

/// The latest events of a shard.
#[derive(Debug)]
pub(crate) struct DeliveryRecord {
    events: VecDeque<Event>,
    events_max: usize,
    /// Events there were before the first one kept.
    forgotten: u64,
    /// When the record began.
    began: Instant,
    readers: Slab<Reader>,
    /// Readers that are gone, with how many events there were by then: once these are forgotten, so
    /// are they.
    gone: VecDeque<(u64, ReaderId)>,
}

impl DeliveryRecord {
    /// A record of the latest `events_max` events; with 0 it is off.
    pub(crate) fn new(events_max: usize, began: Instant) -> Self {
        let (events, gone) = (VecDeque::new(), VecDeque::new());
        Self { events, events_max, forgotten: 0, began, readers: Slab::new(), gone }
    }

    /// Notes what happened. `reader` has its name from its first event on, and keeps it.
    pub(crate) fn note(
        &mut self,
        reader: &mut Option<ReaderId>,
        who: impl FnOnce() -> Reader,
        (at, offset, attempt): (Instant, Offset, u32),
        what: Happening,
    ) {
        if self.events_max == 0 {
            return;
        }
        let reader = *reader.get_or_insert_with(|| ReaderId(self.readers.insert(who()) as u32));
        if self.events.len() >= self.events_max {
            self.events.pop_front();
            self.forgotten += 1;
            self.forget_readers();
        }
        let attempt = u16::try_from(attempt).unwrap_or(u16::MAX);
        self.events.push_back(Event { offset, at, reader, attempt, what });
    }

    /// A reader's connection or subscription ended.
    pub(crate) fn left(&mut self, reader: Option<ReaderId>) {
        if let Some(reader) = reader {
            self.gone.push_back((self.forgotten + self.events.len() as u64, reader));
        }
    }

    fn forget_readers(&mut self) {
        while let Some((events, reader)) = self.gone.front().copied()
            && events <= self.forgotten
        {
            self.gone.pop_front();
            self.readers.remove(reader.0 as usize);
        }
    }

    /// From when on nothing is missing; `None` if the record is off.
    pub(crate) fn reaches_back_to(&self) -> Option<Instant> {
        let oldest = self.events.front().filter(|_| self.forgotten > 0);
        (self.events_max > 0).then(|| oldest.map_or(self.began, |event| event.at))
    }

    /// What is remembered of one message, oldest first.
    pub(crate) fn of(&self, topic: &Topic, offset: Offset) -> Vec<Remembered> {
        let mut is_open = vec![false; self.readers.iter().map(|(n, _)| n + 1).max().unwrap_or(0)];
        let mut found = Vec::new();
        for event in &self.events {
            let slot = event.reader.0 as usize;
            let is_about_it = match event.what {
                // It says nothing of a message that this reader was not sent or has settled.
                Happening::AckedThrough => event.offset >= offset && is_open[slot],
                Happening::Sent
                | Happening::Acked
                | Happening::Failed(_)
                | Happening::Returned
                | Happening::GivenUp => event.offset == offset,
            };
            let Some(reader) = self.readers.get(slot).filter(|r| r.key.topic() == topic) else {
                continue;
            };
            if !is_about_it {
                continue;
            }
            is_open[slot] = match event.what {
                // A failed delivery may still be acked, until its message is settled.
                Happening::Sent | Happening::Failed(_) => true,
                Happening::Acked
                | Happening::AckedThrough
                | Happening::Returned
                | Happening::GivenUp => false,
            };
            found.push(Remembered {
                at: event.at,
                reader: reader.clone(),
                attempt: event.attempt.into(),
                what: event.what,
            });
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use tidings_core::{DurableKey, SubscriptionName};

    use super::*;

    fn reader(name: &str) -> Reader {
        let user = UserId::parse("alice").unwrap();
        let key = DurableKey {
            user: user.clone(),
            name: SubscriptionName::parse(name).unwrap(),
            topic: Topic::parse("jobs").unwrap(),
        };
        Reader { key: key.into(), who: Some((user, ClientId::parse("phone").unwrap())) }
    }

    fn note(
        record: &mut DeliveryRecord,
        id: &mut Option<ReaderId>,
        ms: u64,
        n: u64,
        what: Happening,
    ) {
        let about = (Instant::from_ms(ms), Offset::new(n), 1);
        record.note(id, || reader("w"), about, what);
    }

    fn story(record: &DeliveryRecord, offset: u64) -> Vec<(u64, Happening)> {
        let found = record.of(&Topic::parse("jobs").unwrap(), Offset::new(offset));
        found.iter().map(|event| (event.at.as_ms(), event.what)).collect()
    }

    #[test]
    fn tells_what_happened_to_one_message() {
        let mut record = DeliveryRecord::new(100, Instant::from_ms(5));
        let id = &mut None;
        for (ms, offset, what) in [
            (10, 1, Happening::Sent),
            (11, 2, Happening::Sent),
            (12, 1, Happening::Failed(AttemptEnd::Nacked)),
            (13, 3, Happening::Sent),
            (14, 1, Happening::Sent),
            (15, 2, Happening::AckedThrough),
            (16, 3, Happening::AckedThrough),
        ] {
            note(&mut record, id, ms, offset, what);
        }
        let failed = Happening::Failed(AttemptEnd::Nacked);
        let (sent, acked) = (Happening::Sent, Happening::AckedThrough);
        assert_eq!(story(&record, 1), [(10, sent), (12, failed), (14, sent), (15, acked)]);
        assert_eq!(story(&record, 2), [(11, sent), (15, acked)]);
        assert_eq!(story(&record, 3), [(13, sent), (16, acked)]);
        assert!(story(&record, 4).is_empty());
        assert!(record.of(&Topic::parse("other").unwrap(), Offset::new(1)).is_empty());
        assert_eq!(record.reaches_back_to(), Some(Instant::from_ms(5)));
    }

    #[test]
    fn forgets_the_oldest_and_says_so_and_readers_that_are_gone() {
        let mut record = DeliveryRecord::new(3, Instant::ORIGIN);
        for n in 1..=1000 {
            let mut id = None;
            note(&mut record, &mut id, n, n, Happening::Sent);
            record.left(id);
        }
        assert!(story(&record, 997).is_empty());
        assert_eq!(story(&record, 998), [(998, Happening::Sent)]);
        assert_eq!(record.reaches_back_to(), Some(Instant::from_ms(998)));
        assert!(record.readers.len() <= 4 && record.gone.len() <= 4, "{record:?}");
    }

    #[test]
    fn one_that_is_off_remembers_nothing() {
        let mut record = DeliveryRecord::new(0, Instant::ORIGIN);
        let mut id = None;
        note(&mut record, &mut id, 1, 1, Happening::Sent);
        record.left(id);
        assert!(story(&record, 1).is_empty());
        assert_eq!((record.reaches_back_to(), record.readers.len()), (None, 0));
    }

    #[test]
    fn an_event_is_as_small_as_it_is_said_to_be() {
        assert_eq!(size_of::<Event>(), 24);
    }
}
