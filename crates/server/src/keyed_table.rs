//! A hash table of things that have their key within. A map would keep the key twice, and of each of
//! its entries there are up to two.

use std::hash::{BuildHasher, Hash, RandomState};

use hashbrown::HashTable;

/// What can be found by a part of itself.
pub(crate) trait Keyed {
    type Key: Hash + Eq;

    fn key(&self) -> &Self::Key;
}

impl<T: Keyed> Keyed for Box<T> {
    type Key = T::Key;

    fn key(&self) -> &Self::Key {
        (**self).key()
    }
}

/// Things with a key each. Whoever changes one leaves its key as it is. Clients choose keys, so the
/// hash is drawn anew for each table: nobody can choose many that collide.
#[derive(Debug)]
pub(crate) struct KeyedTable<T> {
    table: HashTable<T>,
    hash: RandomState,
}

impl<T> Default for KeyedTable<T> {
    fn default() -> Self {
        Self { table: HashTable::new(), hash: RandomState::new() }
    }
}

impl<T: Keyed> KeyedTable<T> {
    pub(crate) fn get(&self, key: &T::Key) -> Option<&T> {
        self.table.find(self.hash.hash_one(key), |each| each.key() == key)
    }

    pub(crate) fn get_mut(&mut self, key: &T::Key) -> Option<&mut T> {
        self.table.find_mut(self.hash.hash_one(key), |each| each.key() == key)
    }

    /// Puts it in, in place of what has the same key.
    pub(crate) fn insert(&mut self, new: T) -> Option<T> {
        if let Some(before) = self.get_mut(new.key()) {
            return Some(std::mem::replace(before, new));
        }
        let hash = |each: &T| self.hash.hash_one(each.key());
        self.table.insert_unique(hash(&new), new, hash);
        None
    }

    pub(crate) fn remove(&mut self, key: &T::Key) -> Option<T> {
        let found =
            self.table.find_entry(self.hash.hash_one(key), |each| each.key() == key).ok()?;
        let (removed, _) = found.remove();
        // What a crowd needed is given back once it has gone.
        if self.table.len() < self.table.capacity() / 4 {
            let room = self.table.len() * 2;
            self.table.shrink_to(room, |each| self.hash.hash_one(each.key()));
        }
        Some(removed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq)]
    struct Entry(u32, &'static str);

    impl Keyed for Entry {
        type Key = u32;

        fn key(&self) -> &u32 {
            &self.0
        }
    }

    #[test]
    fn one_of_each_key_is_there_and_the_newest() {
        let mut table = KeyedTable::default();
        assert_eq!(table.insert(Entry(1, "a")), None);
        assert_eq!(table.insert(Entry(2, "b")), None);
        assert_eq!(table.insert(Entry(1, "c")), Some(Entry(1, "a")));
        table.get_mut(&2).unwrap().1 = "d";
        assert_eq!((table.get(&1), table.get(&2)), (Some(&Entry(1, "c")), Some(&Entry(2, "d"))));
        assert_eq!(table.remove(&1), Some(Entry(1, "c")));
        assert_eq!(table.get(&1), None);
        assert_eq!(table.remove(&1), None);
    }

    #[test]
    fn a_crowd_that_went_leaves_no_memory_behind() {
        let mut table = KeyedTable::default();
        for key in 0..10_000 {
            table.insert(Entry(key, ""));
        }
        for key in 10..10_000 {
            table.remove(&key);
        }
        assert!(table.table.capacity() < 100, "room for {} is left", table.table.capacity());
        assert!((0..10).all(|key| table.get(&key).is_some()), "they moved along");
    }
}
