//! The groups that this shard owns: one place where each shared subscription is decided.
//!
//! A group belongs to the shard that its name falls to. It hears of new messages from the commits
//! like everybody else, reads the log through the readers, and talks to its members by letter,
//! also where they are connections of this shard.

mod carry_out;
mod failed;
mod finding;
mod joining;
mod saving;
mod settling;
mod story;
mod survey;

use std::collections::{BTreeMap, HashMap};
use std::hash::BuildHasher as _;
use std::sync::Arc;

use rustc_hash::FxBuildHasher;
use slab::Slab;
use tidings_core::{
    AttemptLog, FilterTrie, GiveUp, Group, GroupKey, Instant, MemberId, Message, Offset, Recovery,
    TimerWheel, Timestamp, Topic,
};
use tidings_protocol::StartFrom;

use super::failed::Moment;
use super::trace::{Cause, TracedDeliveries};
use super::{Shard, TIMER_SLOT};
use crate::delivery_record::ReaderId;
use crate::group_letter::{GroupSlot, Joining, MemberLetter, MemberWord};
use crate::inbox::Letter;
use kept::Kept;

mod kept;

/// Which of `shards` owns a group.
pub(super) fn owner_of(key: &GroupKey, shards: usize) -> usize {
    (FxBuildHasher.hash_one(key) % shards.max(1) as u64) as usize
}

/// The groups of a shard.
#[derive(Debug)]
pub(super) struct Groups {
    slots: Slab<OwnedGroup>,
    by_key: HashMap<GroupKey, u32>,
    /// Finds the groups that a message is for.
    filters: FilterTrie<GroupSlot>,
    timers: TimerWheel<GroupSlot>,
    /// Cursors that moved since they were saved.
    unsaved: Vec<(GroupSlot, Topic)>,
    generation: u32,
}

/// A group with its members, from the first that joins until the last has left.
#[derive(Debug)]
struct OwnedGroup {
    slot: GroupSlot,
    key: GroupKey,
    group: Group,
    members: BTreeMap<MemberId, Joining>,
    topics: BTreeMap<Topic, OwnedTopic>,
    stage: Stage,
    /// Where it starts in topics without a cursor.
    from: StartFrom,
    /// When it began: with `from` new, what was published later is for it.
    since: Timestamp,
    kept: Kept,
    /// Names in the record of deliveries, over all topics.
    readers: usize,
    armed: Option<Instant>,
    /// When the cursors of topics in which nothing moves are saved again.
    touch_at: Instant,
    /// When topics are looked for again, because there were too many or news of them was lost.
    look_again_at: Option<Instant>,
    /// The last topic that was found: the next look goes on after it, so that each has its turn.
    looked_through: Option<Topic>,
}

/// Whether members can join yet.
#[derive(Debug)]
enum Stage {
    /// The first cursor is being saved, or the topics with messages are being looked for.
    Opening {
        waiting: Vec<(MemberId, Joining)>,
        started: Recovery,
    },
    Open,
    /// Nobody is left. The cursors are closed, and who comes now waits until they are.
    Closing {
        waiting: Vec<(MemberId, Joining)>,
        written: bool,
    },
}

/// What the shell has to know of a topic of a group.
#[derive(Debug, Default)]
struct OwnedTopic {
    /// What the group asked for and the log has still to give.
    wanted: Vec<Wanted>,
    reading: bool,
    unsaved: bool,
    /// Cursors on their way to the store. Until they are there, the store knows an older one.
    saving: u32,
    /// It rests, and its closing state is to be saved once no other save is on its way.
    rests: bool,
    /// Its closing state is on its way, since nothing waited in it or others wait for its place.
    closing: bool,
    /// How deliveries of messages ended that are not settled.
    attempts: AttemptLog,
    /// Members, and the group itself, by their names in the record of deliveries.
    readers: BTreeMap<Option<MemberId>, ReaderId>,
    traced: TracedDeliveries,
}

impl OwnedTopic {
    fn is_quiet(&self) -> bool {
        self.wanted.is_empty() && !self.reading && !self.unsaved && self.saving == 0
    }
}

/// A message to be fetched from the log.
#[derive(Clone, Copy, Debug)]
struct Wanted {
    offset: Offset,
    purpose: Purpose,
}

/// What to do with a message once it is fetched.
#[derive(Clone, Copy, Debug)]
enum Purpose {
    /// Tell the group its order key.
    Key,
    Deliver {
        member: MemberId,
        attempt: u32,
    },
    DeadLetter {
        attempts: u32,
        reason: GiveUp,
    },
}

impl Groups {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            slots: Slab::new(),
            by_key: HashMap::default(),
            filters: FilterTrie::default(),
            timers: TimerWheel::new(now, TIMER_SLOT),
            unsaved: Vec::new(),
            generation: 0,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.timers.next_deadline()
    }

    fn get(&mut self, slot: GroupSlot) -> Option<&mut OwnedGroup> {
        let owned = self.slots.get_mut(slot.index as usize)?;
        (owned.slot == slot).then_some(owned)
    }

    fn find(&mut self, key: &GroupKey) -> Option<&mut OwnedGroup> {
        let index = *self.by_key.get(key)?;
        self.slots.get_mut(index as usize)
    }

    fn slots(&self) -> Vec<GroupSlot> {
        self.slots.iter().map(|(_, owned)| owned.slot).collect()
    }

    fn remove(&mut self, slot: GroupSlot) {
        if self.get(slot).is_none() {
            return;
        }
        let owned = self.slots.remove(slot.index as usize);
        self.by_key.remove(&owned.key);
        self.filters.remove(&owned.key.filter, |other| *other == slot);
    }
}

impl Shard {
    /// A message was appended: every group of this shard that reads its topic hears of it.
    pub(super) fn deliver_to_groups(&mut self, shared: &crate::commit::SharedMessage) {
        let topic = shared.message.topic();
        let mut slots = Vec::new();
        self.groups.filters.matching(topic, |slot| slots.push(*slot));
        for slot in slots {
            self.deliver_to_group(slot, &shared.message);
        }
    }

    fn deliver_to_group(&mut self, slot: GroupSlot, message: &Arc<Message>) {
        let topic = message.topic();
        let Some(owned) = self.groups.get(slot) else { return };
        match (&owned.stage, owned.key.filter.as_topic()) {
            (Stage::Open, _) | (Stage::Opening { .. }, None) => {}
            // Its cursor is being saved: it will look at the log. Or it ends.
            (Stage::Opening { .. }, Some(_)) | (Stage::Closing { .. }, _) => return,
        }
        if !owned.topics.contains_key(topic) && !self.open_topic(slot, topic, message.offset) {
            return;
        }
        let Some(owned) = self.groups.get(slot) else { return };
        owned.group.tail_advanced(topic, message.offset);
        self.pump_group(slot, std::slice::from_ref(message));
    }

    /// Tells a member something.
    fn write_to_member(&self, joining: &Joining, member: MemberId, word: MemberWord) {
        let connection = joining.place.connection;
        let letter = MemberLetter { connection, member, word };
        self.env.inboxes[joining.place.lane as usize].post(Letter::ToMember(letter));
    }

    /// Acts on every deadline of groups that has passed.
    pub(super) fn run_group_timers(&mut self) {
        let mut due = Vec::new();
        self.groups.timers.advance(self.now, &mut due);
        for slot in due {
            self.group_deadline_passed(slot);
        }
    }

    fn group_deadline_passed(&mut self, slot: GroupSlot) {
        let now = self.now;
        let Some(owned) = self.groups.get(slot) else { return };
        owned.armed = owned.armed.filter(|armed| *armed > now);
        if matches!(owned.stage, Stage::Closing { .. }) {
            return;
        }
        owned.hold_unsent(now, &self.env.policies);
        owned.note_timeouts(Moment::at(now), &mut self.record);
        owned.group.deadline_passed(now);
        owned.trace_all_ended(Cause::Deadline);
        let touch = owned.touch_at <= now;
        let look = owned.look_again_at.is_some_and(|at| at <= now);
        if touch {
            self.touch_group_cursors(slot);
        }
        if look {
            self.make_room(slot);
            self.look_for_topics(slot);
        }
        self.pump_group(slot, &[]);
    }

    /// Has the wheel look at a group by its next deadline.
    fn arm_group(&mut self, slot: GroupSlot) {
        let Some(owned) = self.groups.get(slot) else { return };
        let deadlines = [owned.group.next_deadline(), owned.look_again_at, Some(owned.touch_at)];
        let Some(deadline) = deadlines.into_iter().flatten().min() else { return };
        if owned.armed.is_none_or(|armed| deadline < armed) {
            owned.armed = Some(deadline);
            self.groups.timers.insert(deadline, slot);
        }
    }
}

impl OwnedGroup {
    /// What waits to be fetched has not been sent: its time to be acked has not begun.
    fn hold_unsent(&mut self, now: Instant, policies: &tidings_core::PolicyTable) {
        for (topic, owned) in &self.topics {
            let more = policies.policy(topic).delivery.ack_timeout;
            for wanted in &owned.wanted {
                match wanted.purpose {
                    Purpose::Deliver { member, .. } => {
                        self.group.extended(now, member, topic, wanted.offset, more);
                    }
                    Purpose::Key | Purpose::DeadLetter { .. } => {}
                }
            }
        }
    }
}
