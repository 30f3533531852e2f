//! Publishes from the caller's hand to the server's answer.

use std::collections::VecDeque;
use std::num::NonZeroU32;
use std::time::Duration;

use tidings_core::Instant;
use tidings_protocol::{ClientBody, ClientFrame, Publish, RequestId};

/// How many different ids publishes have.
const IDS: u32 = (1 << 31) - 1;

/// The id of a connection's publish number `number`. Publishes have the even ids, so that their
/// numbers are consecutive and an answer finds its publish by counting.
fn id_of(number: u32) -> RequestId {
    NonZeroU32::new((number % IDS) * 2 + 2).expect("at least 2")
}

/// How many publishes after `first` the one with this id was sent; `None` for other requests' ids.
const fn distance(id: RequestId, first: u32) -> Option<usize> {
    if !id.get().is_multiple_of(2) {
        return None;
    }
    let number = (id.get() / 2 - 1) as u64;
    let first = (first % IDS) as u64;
    Some(((number + IDS as u64 - first) % IDS as u64) as usize)
}

/// A publish without an answer, with whoever waits for it.
#[derive(Debug)]
pub(crate) struct Pending<T> {
    /// Its place among all publishes of the client: retries keep their order.
    sequence: u64,
    frame: ClientFrame,
    /// What it counts for in the outbox.
    pub(crate) weight: usize,
    /// Who waits.
    pub(crate) ticket: T,
}

/// Publishes in the order they were given, until each is answered. Holds at most what its
/// callers were let in with; what is on its way when a connection ends is sent again on the next,
/// in the same order and with the same keys, so the server recognises what it has.
#[derive(Debug)]
pub(crate) struct Outbox<T> {
    /// Not sent on this connection, rising by sequence.
    waiting: VecDeque<Pending<T>>,
    /// Sent on this connection in order; `None` where the answer has come.
    in_flight: VecDeque<Option<Pending<T>>>,
    /// The number of the first in flight.
    first: u32,
    /// Nothing is sent before this time.
    resume_at: Option<Instant>,
    next_sequence: u64,
}

impl<T> Outbox<T> {
    pub(crate) const fn new() -> Self {
        Self {
            waiting: VecDeque::new(),
            in_flight: VecDeque::new(),
            first: 0,
            resume_at: None,
            next_sequence: 0,
        }
    }

    pub(crate) fn add(&mut self, publish: Publish, weight: usize, ticket: T) {
        let frame = ClientFrame { id: None, body: ClientBody::Publish(publish) };
        let sequence = self.next_sequence;
        self.next_sequence += 1;
        self.waiting.push_back(Pending { sequence, frame, weight, ticket });
    }

    /// The next frame to send, if one may be sent now: then say [`Self::sent`] or
    /// [`Self::take_next`].
    pub(crate) fn next_frame(
        &mut self,
        now: Instant,
        in_flight_max: usize,
    ) -> Option<&ClientFrame> {
        if self.resume_at.is_some_and(|at| at > now) || self.in_flight.len() >= in_flight_max {
            return None;
        }
        self.resume_at = None;
        let number = self.first.wrapping_add(self.in_flight.len() as u32);
        let next = self.waiting.front_mut()?;
        next.frame.id = Some(id_of(number));
        Some(&next.frame)
    }

    /// The next frame is on its way.
    pub(crate) fn sent(&mut self) {
        let next = self.waiting.pop_front();
        debug_assert!(next.is_some(), "only what next_frame gave is sent");
        self.in_flight.push_back(next);
    }

    /// The next frame cannot be sent: out of the queue with it.
    pub(crate) fn take_next(&mut self) -> Option<Pending<T>> {
        self.waiting.pop_front()
    }

    /// The publish that an answer with this id is for.
    pub(crate) fn answered(&mut self, id: RequestId) -> Option<Pending<T>> {
        let place = distance(id, self.first)?;
        let pending = self.in_flight.get_mut(place)?.take();
        while let Some(None) = self.in_flight.front() {
            self.in_flight.pop_front();
            self.first = (self.first + 1) % IDS;
        }
        pending
    }

    /// This publish was refused for now: nothing more is sent until `after` has passed, and then
    /// in the order of the callers.
    pub(crate) fn retry(&mut self, now: Instant, pending: Pending<T>, after: Duration) {
        let place = self.waiting.partition_point(|other| other.sequence < pending.sequence);
        self.waiting.insert(place, pending);
        let at = now + after;
        self.resume_at = Some(self.resume_at.map_or(at, |other| other.max(at)));
    }

    /// The connection is gone: everything without an answer waits again, in order.
    pub(crate) fn disconnected(&mut self) {
        let unanswered: Vec<_> = self.in_flight.drain(..).flatten().collect();
        for pending in unanswered {
            let place = self.waiting.partition_point(|other| other.sequence < pending.sequence);
            self.waiting.insert(place, pending);
        }
        self.first = 0;
        self.resume_at = None;
    }

    /// When [`Self::next_frame`] has something it does not have now, if time alone decides.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.resume_at.filter(|_| !self.waiting.is_empty())
    }

    /// Publishes without an answer.
    pub(crate) fn len(&self) -> usize {
        self.waiting.len() + self.in_flight.iter().flatten().count()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.in_flight.is_empty()
    }

    /// Whether an answer is due on this connection.
    pub(crate) fn awaits_answers(&self) -> bool {
        !self.in_flight.is_empty()
    }

    /// Everything without an answer.
    pub(crate) fn drain(&mut self) -> impl Iterator<Item = Pending<T>> {
        self.disconnected();
        std::mem::take(&mut self.waiting).into_iter()
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use tidings_core::{Data, Headers, Topic};

    use super::*;

    const NOW: Instant = Instant::from_ms(1000);

    fn outbox(count: u32) -> Outbox<u32> {
        let mut outbox = Outbox::new();
        for ticket in 0..count {
            let publish = Publish {
                topic: Topic::parse("t").unwrap(),
                data: Data::json(Bytes::from_static(b"1")),
                content_type: None,
                headers: Headers::new(),
                key: None,
                order_key: None,
                ttl: None,
                deliver_at: None,
            };
            outbox.add(publish, 1, ticket);
        }
        outbox
    }

    /// Sends what may be sent and gives the ids.
    fn send(outbox: &mut Outbox<u32>, now: Instant, max: usize) -> Vec<u32> {
        let mut ids = Vec::new();
        while let Some(frame) = outbox.next_frame(now, max) {
            ids.push(frame.id.unwrap().get());
            outbox.sent();
        }
        ids
    }

    fn answer(outbox: &mut Outbox<u32>, id: u32) -> Option<Pending<u32>> {
        outbox.answered(NonZeroU32::new(id).unwrap())
    }

    #[test]
    fn keeps_to_the_limit_and_finds_answers_in_any_order() {
        let mut outbox = outbox(5);
        assert_eq!(send(&mut outbox, NOW, 3), [2, 4, 6]);
        assert_eq!(answer(&mut outbox, 4).map(|p| p.ticket), Some(1));
        assert_eq!(answer(&mut outbox, 4).map(|p| p.ticket), None);
        assert_eq!(send(&mut outbox, NOW, 3), Vec::<u32>::new());
        assert_eq!(answer(&mut outbox, 2).map(|p| p.ticket), Some(0));
        assert_eq!(send(&mut outbox, NOW, 3), [8, 10]);
        for (id, ticket) in [(10, 4), (6, 2), (8, 3)] {
            assert_eq!(answer(&mut outbox, id).map(|p| p.ticket), Some(ticket));
        }
        assert!(outbox.is_empty());
        for id in [1, 3, 12, u32::MAX - 1] {
            assert!(answer(&mut outbox, id).is_none());
        }
    }

    #[test]
    fn sends_again_in_order_after_a_disconnect() {
        let mut outbox = outbox(4);
        send(&mut outbox, NOW, 3);
        answer(&mut outbox, 4);
        outbox.disconnected();
        assert_eq!(outbox.len(), 3);
        send(&mut outbox, NOW, 9);
        let order: Vec<_> =
            [2, 4, 6].iter().map(|id| answer(&mut outbox, *id).unwrap().ticket).collect();
        assert_eq!(order, [0, 2, 3]);
    }

    #[test]
    fn waits_as_asked_and_retries_in_the_callers_order() {
        let mut outbox = outbox(4);
        send(&mut outbox, NOW, 3);
        for (id, wait) in [(2, 10), (6, 30), (4, 20)] {
            let pending = answer(&mut outbox, id).unwrap();
            outbox.retry(NOW, pending, Duration::from_millis(wait));
        }
        assert_eq!(outbox.next_deadline(), Some(Instant::from_ms(1030)));
        assert_eq!(send(&mut outbox, Instant::from_ms(1029), 9), Vec::<u32>::new());
        assert_eq!(send(&mut outbox, Instant::from_ms(1030), 9).len(), 4);
        let order: Vec<_> =
            [8, 10, 12, 14].iter().map(|id| answer(&mut outbox, *id).unwrap().ticket).collect();
        assert_eq!(order, [0, 1, 2, 3]);
    }

    #[test]
    fn ids_go_round() {
        let mut outbox = outbox(3);
        outbox.first = IDS - 2;
        assert_eq!(send(&mut outbox, NOW, 9), [u32::MAX - 3, u32::MAX - 1, 2]);
        assert_eq!(answer(&mut outbox, 2).map(|p| p.ticket), Some(2));
        assert_eq!(answer(&mut outbox, u32::MAX - 3).map(|p| p.ticket), Some(0));
        assert_eq!(answer(&mut outbox, u32::MAX - 1).map(|p| p.ticket), Some(1));
        assert!(outbox.is_empty());
    }
}
