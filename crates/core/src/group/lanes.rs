//! Order keys: one message of each at a time.

use std::collections::BTreeMap;

use super::Place;
use crate::id::OrderKey;

/// What is under way for one key.
#[derive(Clone, Debug)]
struct Lane {
    /// The age of the message whose turn it is, until it is settled.
    current: u64,
    /// Those after it, by age.
    parked: BTreeMap<u64, Place>,
}

/// The keys of unsettled messages.
#[derive(Clone, Debug)]
pub(super) struct Lanes {
    lanes: BTreeMap<OrderKey, Lane>,
}

impl Lanes {
    pub(super) const fn new() -> Self {
        Self { lanes: BTreeMap::new() }
    }

    /// A message of `key` arrives. Returns it if it is its turn, else parks it.
    pub(super) fn enter(&mut self, key: &OrderKey, age: u64, place: Place) -> Option<Place> {
        match self.lanes.get_mut(key) {
            Some(lane) => {
                lane.parked.insert(age, place);
                None
            }
            None => {
                let lane = Lane { current: age, parked: BTreeMap::new() };
                self.lanes.insert(key.clone(), lane);
                Some(place)
            }
        }
    }

    /// A message of `key` is settled. Returns the one whose turn it is now, if it was that one's.
    pub(super) fn leave(&mut self, key: &OrderKey, age: u64) -> Option<(u64, Place)> {
        let lane = self.lanes.get_mut(key)?;
        if lane.current != age {
            lane.parked.remove(&age);
            return None;
        }
        match lane.parked.pop_first() {
            Some((age, place)) => {
                lane.current = age;
                Some((age, place))
            }
            None => {
                self.lanes.remove(key);
                None
            }
        }
    }
}
