//! Decides which member of a group gets which message of a shared subscription, and in what order.

mod dispatch;
mod lanes;
mod members;
mod shared_topic;
mod standing;
mod turns;
mod unanswered;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use crate::backoff::Jitter;
use crate::cursor_state::CursorState;
use crate::delivery_window::{DeliveryPolicy, DeliveryWindow, GiveUp, Interrupted, SettleOutcome};
use crate::id::OrderKey;
use crate::limits::{GROUP_IN_FLIGHT_MAX, GROUP_LOOK_AHEAD_FACTOR};
use crate::position::Offset;
use crate::presence::Departure;
use crate::priority::{Priority, PriorityQueue};
use crate::time::Instant;
use crate::topic::Topic;
use lanes::Lanes;
use members::Members;
use shared_topic::{Holder, SharedTopic};
pub use standing::{MemberStanding, TopicStanding};

/// Names one member of a group, as long as it is one. A member that leaves and comes back has
/// another id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MemberId(u64);

impl MemberId {
    /// The member with this number; callers see to it that no two members ever share one.
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// The number.
    pub const fn get(self) -> u64 {
        self.0
    }
}

/// Something for the caller to carry out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GroupEffect {
    /// Find out the order key of a message, then report with [`Group::fetched`],
    /// [`Group::missing`] or [`Group::fetch_failed`].
    Fetch {
        /// Which log.
        topic: Topic,
        /// Which message.
        offset: Offset,
    },
    /// Send the message to the member. If that cannot be done, say so with [`Group::missing`],
    /// [`Group::not_sent`] or [`Group::returned`].
    Deliver {
        /// To whom.
        member: MemberId,
        /// Which log.
        topic: Topic,
        /// Which message.
        offset: Offset,
        /// Which delivery of it, from 1.
        attempt: u32,
    },
    /// Append the message to the dead letters, then report with [`Group::dead_lettered`] or
    /// [`Group::dead_letter_failed`].
    DeadLetter {
        /// Which log.
        topic: Topic,
        /// Which message.
        offset: Offset,
        /// How often it was delivered.
        attempts: u32,
        /// Why no more.
        reason: GiveUp,
    },
    /// [`Group::state`] of this topic has changed in a way worth saving. May be carried out late.
    SaveCursor {
        /// Which log.
        topic: Topic,
    },
    /// Save [`Group::state`] of this topic at once, and again until it is durable: without it, soon
    /// nothing new of it is delivered. Tell [`Group::saved`], as of every save.
    Reserve {
        /// Which log.
        topic: Topic,
    },
    /// The topic [gives way](Group::give_way) to others and nothing of it is in flight: save its
    /// [`Group::closing_state`], then close it with [`Group::close_if_idle`] and open it again once
    /// it is its turn.
    Rest {
        /// Which topic.
        topic: Topic,
    },
}

/// One message of one topic.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Place {
    topic: Topic,
    offset: Offset,
}

/// Divides the messages of one or more topics among members.
///
/// Each topic has a [`DeliveryWindow`], whose business attempts, timeouts, backoff, dead letters
/// and cursor stay. The group decides who gets what:
///
/// - A message **without an order key** goes to the member with the most free room, and among
///   those to the one served least recently.
/// - A message **with an order key** goes to the member that the key falls to (rendezvous hashing:
///   a key stays while its member stays, and a member that joins takes over few keys), also if
///   others have more room. At most one message of a key is unsettled with members at a time, over
///   all topics of the group. So the order per key and topic holds through nacks, timeouts,
///   backoff, dead letters, and members that come and go.
///
/// What waits for its key or its member is *parked*. It counts against the group's bound, which is
/// [`GROUP_LOOK_AHEAD_FACTOR`] times the sum of the members' windows: so many messages of busy keys
/// may lie between a message and the cursor before it waits too.
///
/// Inputs, effects and deadlines work as they do for [`DeliveryWindow`].
///
/// Invariant: a message is in exactly one place: being fetched; parked behind its key; ready for
/// a member; with a member; or with its window (backing off, on its way to the dead letters).
#[derive(Clone, Debug)]
pub struct Group {
    members: Members,
    topics: BTreeMap<Topic, SharedTopic>,
    lanes: Lanes,
    /// Messages without an order key that wait for any member, by age.
    ready: BTreeMap<u64, Place>,
    /// Numbers messages as they are first asked for; smaller is older, and is served first.
    ages: u64,
    /// Unsettled messages asked for, over all topics.
    in_flight: usize,
    /// Of those, messages whose order key is not known yet.
    fetching: usize,
    /// Topics whose window has decided something.
    decided: BTreeSet<Topic>,
    /// Topics with messages never asked for, served in turn, and by their priorities.
    behind: PriorityQueue<Topic>,
    /// Topics that give way and have nothing in flight any more.
    at_rest: BTreeSet<Topic>,
    /// Counts the turns of topics.
    turns: u64,
    unsaved: BTreeSet<Topic>,
    /// No deadline lies before this moment. May be too early, never too late.
    deadline: Option<Instant>,
    seeds: Jitter,
}

impl Group {
    /// A group without members and topics. `seed` feeds the jitter of backoffs.
    pub fn new(seed: u64) -> Self {
        Self {
            members: Members::new(),
            topics: BTreeMap::new(),
            lanes: Lanes::new(),
            ready: BTreeMap::new(),
            ages: 0,
            in_flight: 0,
            fetching: 0,
            decided: BTreeSet::new(),
            behind: PriorityQueue::default(),
            at_rest: BTreeSet::new(),
            turns: 0,
            unsaved: BTreeSet::new(),
            deadline: None,
            seeds: Jitter::new(seed),
        }
    }

    /// The group reads `topic`, from `state` on, over a log whose last offset is `tail`. Nothing
    /// if it does already. What is new in it is started by its `priority`.
    pub fn topic_opened(
        &mut self,
        topic: &Topic,
        (policy, priority): (Arc<DeliveryPolicy>, Priority),
        state: CursorState,
        tail: Offset,
    ) {
        if self.topics.contains_key(topic) {
            return;
        }
        let window = DeliveryWindow::new(policy, self.bound(), state, tail, self.seeds.next_u64());
        self.topics.insert(topic.clone(), SharedTopic::new(window, priority));
        self.take_turn(topic);
    }

    /// The saved cursor of a topic just opened was made for this group and reserves through
    /// `reserved`: nothing was sent before, and so much may be.
    pub fn topic_begins(&mut self, topic: &Topic, reserved: Offset) {
        self.change(topic, |window| window.begins(reserved));
    }

    /// The saved cursor of a topic just opened is of another life of the log.
    pub fn topic_begins_anew(&mut self, topic: &Topic) {
        self.change(topic, DeliveryWindow::begins_anew);
    }

    /// A [`state`](Self::state) of a topic that reserves through `reserved` is durable.
    pub fn saved(&mut self, topic: &Topic, reserved: Offset) {
        self.change(topic, |window| window.saved(reserved));
    }

    /// What to save of a topic in which nothing new is delivered for now, when no other save of it
    /// is on its way: nothing is in flight, or the group ends. Before anything new is delivered, it is
    /// reserved anew.
    pub fn closing_state(&mut self, topic: &Topic) -> Option<CursorState> {
        self.unsaved.remove(topic);
        self.change(topic, DeliveryWindow::closing_state)
    }

    /// The group stops reading a topic in which nothing is pending, or that rests; returns whether it did. Its
    /// [`closing_state`](Self::closing_state) must have been saved.
    pub fn close_if_idle(&mut self, topic: &Topic) -> bool {
        let idle = self.topics.get(topic).is_some_and(SharedTopic::is_closable);
        if idle {
            self.topics.remove(topic);
            self.behind.retain(|other| other != topic);
            self.unsaved.remove(topic);
            self.decided.remove(topic);
            self.at_rest.remove(topic);
        }
        idle
    }

    /// A member takes part, with at most `window` unacked messages.
    pub fn member_joined(&mut self, member: MemberId, window: u32) {
        self.members.join(member, window.max(1));
        self.members_changed();
    }

    /// A member takes part no more. What it had goes to others at once. If its connection broke, the
    /// message that it had longest may be why, and that was an attempt; to leave in good order uses
    /// up none.
    pub fn member_left(&mut self, member: MemberId, departure: Departure) {
        let Some(in_hand) = self.members.leave(member) else { return };
        let mut which = match departure {
            Departure::Broken => Interrupted::Longest,
            Departure::Meant | Departure::Ended => Interrupted::Another,
        };
        for place in in_hand {
            self.change(&place.topic, |window| window.interrupted(place.offset, which));
            which = Interrupted::Another;
            let shared = self.topics.get_mut(&place.topic);
            if let Some(flight) = shared.and_then(|s| s.flights.get_mut(&place.offset)) {
                flight.holder = Holder::Nobody;
            }
            self.make_ready_if_held(&place);
        }
        self.members_changed();
    }

    /// A member has no room for a while, whatever its window says: it gets nothing more, and its
    /// keys fall to others. What it has in hand stays with it.
    pub fn member_paused(&mut self, member: MemberId) {
        self.members.pause(member);
        self.queue_anew();
    }

    /// A member that was paused has room again.
    pub fn member_resumed(&mut self, member: MemberId) {
        self.members.resume(member);
        self.queue_anew();
    }

    /// The log of `topic` has grown to `tail`.
    pub fn tail_advanced(&mut self, topic: &Topic, tail: Offset) {
        self.change(topic, |window| window.tail_advanced(tail));
    }

    /// A message was fetched, and has this order key.
    pub fn fetched(&mut self, topic: &Topic, offset: Offset, order_key: Option<OrderKey>) {
        let Some(shared) = self.topics.get_mut(topic) else { return };
        if shared.window.is_held(offset)
            && let Some(fetched) = shared.fetching.get_mut(&offset)
        {
            *fetched = Some(order_key);
            self.place_fetched(topic);
        }
    }

    /// A message could not be fetched; it is wanted again at `again_at`.
    pub fn fetch_failed(&mut self, topic: &Topic, offset: Offset, again_at: Instant) {
        let shared = self.topics.get(topic);
        if shared.is_some_and(|shared| matches!(shared.fetching.get(&offset), Some(None))) {
            self.change(topic, |window| window.not_sent(offset, again_at));
        }
    }

    /// The log of `topic` no longer has the messages `first..=last`: they are settled.
    pub fn missing(&mut self, topic: &Topic, first: Offset, last: Offset) {
        if last < first {
            return;
        }
        self.change(topic, |window| window.missing(first, last));
        let Some(shared) = self.topics.get_mut(topic) else { return };
        let gone: Vec<_> = shared.fetching.range(first..=last).map(|(o, _)| *o).collect();
        for offset in &gone {
            shared.fetching.remove(offset);
        }
        self.fetching -= gone.len();
        let gone: Vec<_> = shared.flights.range(first..=last).map(|(o, _)| *o).collect();
        for offset in gone {
            self.reconcile(topic, offset);
        }
        self.place_fetched(topic);
    }

    /// Whether it changes anything that the messages `first..=last` of `topic` are missing.
    pub fn lacks(&self, topic: &Topic, first: Offset, last: Offset) -> bool {
        self.topics.get(topic).is_some_and(|shared| shared.window.lacks(first, last))
    }

    /// A delivery could not be carried out: it does not count as an attempt, and is wanted again
    /// at `again_at`.
    pub fn not_sent(&mut self, topic: &Topic, offset: Offset, again_at: Instant) {
        if self.holder(topic, offset).is_some() {
            self.change(topic, |window| window.not_sent(offset, again_at));
            self.take_back(topic, offset);
        }
    }

    /// A member gives a delivery back that never left: it does not count as an attempt, and goes
    /// to whoever has room.
    pub fn returned(&mut self, member: MemberId, topic: &Topic, offset: Offset) -> SettleOutcome {
        if self.holder(topic, offset) != Some(member) {
            return SettleOutcome::Stale;
        }
        self.change(topic, |window| window.held(offset));
        self.take_back(topic, offset);
        self.make_ready_if_held(&Place { topic: topic.clone(), offset });
        SettleOutcome::Done
    }

    /// A member is done with a message.
    pub fn acked(&mut self, member: MemberId, topic: &Topic, offset: Offset) -> SettleOutcome {
        self.answered(member, topic, offset, |window| window.acked(offset))
    }

    /// A member wants a message to be delivered again, to itself or another, after `delay` or,
    /// without one, after the policy's backoff.
    pub fn nacked(
        &mut self,
        now: Instant,
        member: MemberId,
        topic: &Topic,
        offset: Offset,
        delay: Option<Duration>,
    ) -> SettleOutcome {
        self.answered(member, topic, offset, |window| window.nacked(now, offset, delay))
    }

    /// A member says that nobody will ever take this message: on to the dead letters.
    pub fn refused(&mut self, member: MemberId, topic: &Topic, offset: Offset) -> SettleOutcome {
        self.answered(member, topic, offset, |window| window.refused(offset))
    }

    /// A member needs `more` time, from now, for one delivery.
    pub fn extended(
        &mut self,
        now: Instant,
        member: MemberId,
        topic: &Topic,
        offset: Offset,
        more: Duration,
    ) -> SettleOutcome {
        self.answered(member, topic, offset, |window| window.extended(now, offset, more))
    }

    /// The dead letter of this message is durable: the message is settled.
    pub fn dead_lettered(&mut self, topic: &Topic, offset: Offset) {
        self.change(topic, |window| window.dead_lettered(offset));
        self.reconcile(topic, offset);
    }

    /// The dead letter could not be written: it is tried again after the policy's backoff.
    pub fn dead_letter_failed(&mut self, now: Instant, topic: &Topic, offset: Offset) {
        self.change(topic, |window| window.dead_letter_failed(now, offset));
    }

    /// Time has passed; anything due is delivered again or given up.
    pub fn deadline_passed(&mut self, now: Instant) {
        if self.deadline.is_none_or(|at| at > now) {
            return;
        }
        self.deadline = None;
        let topics: Vec<_> = self.topics.keys().cloned().collect();
        for topic in topics {
            self.change(&topic, |window| window.deadline_passed(now));
            let Some(shared) = self.topics.get(&topic) else { continue };
            let flights: Vec<_> = shared.flights.keys().copied().collect();
            for offset in flights {
                self.reconcile(&topic, offset);
            }
        }
    }

    /// When [`deadline_passed`](Self::deadline_passed) is wanted; `None` for not at all.
    pub const fn next_deadline(&self) -> Option<Instant> {
        self.deadline
    }

    fn answered(
        &mut self,
        member: MemberId,
        topic: &Topic,
        offset: Offset,
        tell: impl FnOnce(&mut DeliveryWindow) -> SettleOutcome,
    ) -> SettleOutcome {
        let flight = self.topics.get(topic).and_then(|shared| shared.flights.get(&offset));
        if !flight.is_some_and(|flight| flight.holder.may_answer(member)) {
            return SettleOutcome::Stale;
        }
        let outcome = self.change(topic, tell).unwrap_or(SettleOutcome::Stale);
        self.reconcile(topic, offset);
        outcome
    }

    /// Who has the message in hand.
    fn holder(&self, topic: &Topic, offset: Offset) -> Option<MemberId> {
        match self.topics.get(topic)?.flights.get(&offset)?.holder {
            Holder::Holds { member, .. } => Some(member),
            Holder::Had(_) | Holder::Nobody => None,
        }
    }

    /// A delivery never reached its member, who so has nothing to say of it.
    fn take_back(&mut self, topic: &Topic, offset: Offset) {
        self.reconcile(topic, offset);
        let shared = self.topics.get_mut(topic);
        if let Some(flight) = shared.and_then(|s| s.flights.get_mut(&offset)) {
            flight.holder = Holder::Nobody;
        }
    }

    /// Does something to a topic's window, and keeps what the group knows of it in step.
    fn change<T>(&mut self, topic: &Topic, it: impl FnOnce(&mut DeliveryWindow) -> T) -> Option<T> {
        let shared = self.topics.get_mut(topic)?;
        let before = shared.window.in_flight();
        let result = it(&mut shared.window);
        self.in_flight = self.in_flight - before + shared.window.in_flight();
        if shared.window.has_decided() {
            self.decided.insert(topic.clone());
        }
        if shared.window.take_unsaved() {
            self.unsaved.insert(topic.clone());
        }
        if !shared.is_listed && shared.course.takes() && shared.window.has_new() {
            shared.is_listed = true;
            self.behind.push(shared.priority, topic.clone());
        }
        if !shared.course.takes() && shared.window.in_flight() == 0 {
            self.at_rest.insert(topic.clone());
        }
        if let Some(at) = shared.window.next_deadline() {
            self.deadline = Some(self.deadline.map_or(at, |earlier| earlier.min(at)));
        }
        Some(result)
    }

    /// The members are others: keys may fall to others, and the bound has moved.
    fn members_changed(&mut self) {
        self.queue_anew();
        let bound = self.bound();
        let topics: Vec<_> = self.topics.keys().cloned().collect();
        for topic in topics {
            self.change(&topic, |window| window.set_window(bound));
        }
    }

    fn queue_anew(&mut self) {
        for (age, place, key) in self.members.take_queued() {
            self.members.queue(age, place, key);
        }
    }

    /// How many messages may be in flight.
    fn bound(&self) -> u32 {
        self.members.window().saturating_mul(GROUP_LOOK_AHEAD_FACTOR).min(GROUP_IN_FLIGHT_MAX)
    }
}
