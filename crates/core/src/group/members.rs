//! The members of a group: who has room, and to whom an order key falls.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use super::{MemberId, Place};
use crate::backoff::Jitter;
use crate::id::OrderKey;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pace {
    Taking,
    Paused,
}

#[derive(Clone, Debug)]
pub(super) struct Member {
    window: u32,
    pace: Pace,
    /// What it was sent and has not answered, by when it was sent.
    in_hand: BTreeMap<u64, Place>,
    /// When it was last sent something; 0 for never.
    served: u64,
    /// Messages whose keys fall to it, by age.
    queue: BTreeMap<u64, (Place, OrderKey)>,
}

impl Member {
    fn free(&self) -> usize {
        match self.pace {
            Pace::Taking => (self.window as usize).saturating_sub(self.in_hand.len()),
            Pace::Paused => 0,
        }
    }
}

/// Who takes part.
#[derive(Clone, Debug)]
pub(super) struct Members {
    members: BTreeMap<MemberId, Member>,
    /// Messages with keys while no member takes any.
    homeless: BTreeMap<u64, (Place, OrderKey)>,
    /// Counts deliveries.
    servings: u64,
}

impl Members {
    pub(super) const fn new() -> Self {
        Self { members: BTreeMap::new(), homeless: BTreeMap::new(), servings: 0 }
    }

    pub(super) fn join(&mut self, id: MemberId, window: u32) {
        let member = Member {
            window,
            pace: Pace::Taking,
            in_hand: BTreeMap::new(),
            served: 0,
            queue: BTreeMap::new(),
        };
        self.members.entry(id).or_insert(member);
    }

    /// Removes a member. Returns what it had in hand, longest held first.
    pub(super) fn leave(&mut self, id: MemberId) -> Option<impl Iterator<Item = Place> + use<>> {
        let mut member = self.members.remove(&id)?;
        self.homeless.append(&mut member.queue);
        Some(member.in_hand.into_values())
    }

    pub(super) fn pause(&mut self, id: MemberId) {
        if let Some(member) = self.members.get_mut(&id) {
            member.pace = Pace::Paused;
        }
    }

    pub(super) fn resume(&mut self, id: MemberId) {
        if let Some(member) = self.members.get_mut(&id) {
            member.pace = Pace::Taking;
        }
    }

    /// The sum of the windows.
    pub(super) fn window(&self) -> u32 {
        self.members.values().fold(0, |sum, member| sum.saturating_add(member.window))
    }

    /// How many more messages could be sent now.
    pub(super) fn free(&self) -> usize {
        self.members.values().map(Member::free).sum()
    }

    /// The member with the most free room; among equals the one served least recently.
    pub(super) fn roomiest(&self) -> Option<MemberId> {
        let with_room = self.members.iter().filter(|(_, member)| member.free() > 0);
        let best = with_room.max_by_key(|(id, m)| (m.free(), Reverse(m.served), Reverse(**id)));
        best.map(|(id, _)| *id)
    }

    /// The oldest message in the queue of a member with room.
    pub(super) fn oldest_queued(&self) -> Option<(u64, MemberId)> {
        let with_room = self.members.iter().filter(|(_, member)| member.free() > 0);
        let queued = with_room.filter_map(|(id, m)| Some((*m.queue.first_key_value()?.0, *id)));
        queued.min()
    }

    /// Puts a message with a key behind the others of the member that its key falls to.
    pub(super) fn queue(&mut self, age: u64, place: Place, key: OrderKey) {
        let queue = match self.falls_to(&key).and_then(|id| self.members.get_mut(&id)) {
            Some(member) => &mut member.queue,
            None => &mut self.homeless,
        };
        queue.insert(age, (place, key));
    }

    /// Takes one message out of whichever queue it is in.
    pub(super) fn unqueue(&mut self, age: u64) -> Option<Place> {
        let queues = self.members.values_mut().map(|member| &mut member.queue);
        let mut queues = queues.chain([&mut self.homeless]);
        queues.find_map(|queue| queue.remove(&age)).map(|(place, _)| place)
    }

    /// Empties all queues.
    pub(super) fn take_queued(&mut self) -> impl Iterator<Item = (u64, Place, OrderKey)> + use<> {
        let mut all = std::mem::take(&mut self.homeless);
        for member in self.members.values_mut() {
            all.append(&mut member.queue);
        }
        all.into_iter().map(|(age, (place, key))| (age, place, key))
    }

    /// A member is sent a message. Returns the number of this serving.
    pub(super) fn serve(&mut self, id: MemberId, place: Place) -> u64 {
        self.servings += 1;
        if let Some(member) = self.members.get_mut(&id) {
            member.served = self.servings;
            member.in_hand.insert(self.servings, place);
        }
        self.servings
    }

    /// A member no longer has what it was sent with this serving.
    pub(super) fn clear(&mut self, id: MemberId, serving: u64) {
        if let Some(member) = self.members.get_mut(&id) {
            member.in_hand.remove(&serving);
        }
    }

    /// Every member: its id, what it has in hand, its window.
    pub(super) fn standings(&self) -> impl Iterator<Item = (MemberId, usize, u32)> {
        self.members.iter().map(|(id, member)| (*id, member.in_hand.len(), member.window))
    }

    /// The member with the highest score for `key`. Each key ranks the members anew, so a member
    /// that leaves spreads its keys over all others, and one that joins takes a fair share of
    /// everybody's and moves no other.
    fn falls_to(&self, key: &OrderKey) -> Option<MemberId> {
        let key = fingerprint(key.as_str().as_bytes());
        let score = |id: MemberId| Jitter::new(key ^ Jitter::new(id.get()).next_u64()).next_u64();
        let taking = self.members.iter().filter(|(_, member)| match member.pace {
            Pace::Taking => true,
            Pace::Paused => false,
        });
        taking.map(|(id, _)| *id).max_by_key(|id| (score(*id), *id))
    }
}

/// FNV-1a: the same on every machine and in every version, unlike a hasher of the library.
fn fingerprint(bytes: &[u8]) -> u64 {
    let fold = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01B3);
    bytes.iter().fold(0xCBF2_9CE4_8422_2325, fold)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group_of(ids: impl IntoIterator<Item = u64>) -> Members {
        let mut members = Members::new();
        for id in ids {
            members.join(MemberId::new(id), 1);
        }
        members
    }

    fn owners(members: &Members) -> Vec<u64> {
        let key = |n| OrderKey::parse(&format!("account-{n}")).unwrap();
        (0..3_000).map(|n| members.falls_to(&key(n)).unwrap().get()).collect()
    }

    #[test]
    fn keys_fall_evenly_and_move_only_with_their_member() {
        let (three, four) = (owners(&group_of([1, 2, 3])), owners(&group_of([1, 2, 3, 4])));
        for id in 1..=3 {
            let share = three.iter().filter(|owner| **owner == id).count();
            assert!((850..1150).contains(&share), "member {id} has {share} of 3000 keys");
        }
        let moved: Vec<_> = three.iter().zip(&four).filter(|(old, new)| old != new).collect();
        assert!((600..900).contains(&moved.len()), "{} of 3000 keys moved", moved.len());
        assert!(moved.iter().all(|(_, new)| **new == 4), "only to the one that joined");
    }
}
