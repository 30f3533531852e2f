//! A set of offsets kept as ranges, so that a long run costs as much as a single offset.

use std::collections::BTreeMap;

use crate::position::Offset;

/// Offsets, as disjoint inclusive ranges that do not touch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OffsetSet {
    /// First to last of each range.
    ranges: BTreeMap<Offset, Offset>,
}

impl OffsetSet {
    /// The offsets of these inclusive ranges.
    pub fn from_ranges(ranges: impl IntoIterator<Item = (Offset, Offset)>) -> Self {
        let mut set = Self::default();
        for (first, last) in ranges {
            set.insert(first, last);
        }
        set
    }

    /// Adds `first..=last`, joining what it touches; nothing if `last` is before `first`.
    pub fn insert(&mut self, mut first: Offset, mut last: Offset) {
        if last < first {
            return;
        }
        if let Some((f, l)) = self.ranges.range(..=first).next_back().map(|(f, l)| (*f, *l))
            && l.next() >= first
        {
            self.ranges.remove(&f);
            first = f;
            last = last.max(l);
        }
        while let Some((f, l)) =
            self.ranges.range(first..=last.next()).next().map(|(f, l)| (*f, *l))
        {
            self.ranges.remove(&f);
            last = last.max(l);
        }
        self.ranges.insert(first, last);
    }

    /// The last offset of the range that `offset` is in, if it is in one.
    pub fn run_end(&self, offset: Offset) -> Option<Offset> {
        let (_, last) = self.ranges.range(..=offset).next_back()?;
        (*last >= offset).then_some(*last)
    }

    /// Whether `offset` is in the set.
    pub fn contains(&self, offset: Offset) -> bool {
        self.run_end(offset).is_some()
    }

    /// The ranges that lie within `first..=last`, cut to it, rising.
    pub fn within(
        &self,
        first: Offset,
        last: Offset,
    ) -> impl Iterator<Item = (Offset, Offset)> + use<'_> {
        let before = self.ranges.range(..first).next_back().filter(|(_, end)| **end >= first);
        // A range cannot end before it starts.
        let rest = self.ranges.range(first..=last.max(first));
        before
            .into_iter()
            .chain(rest)
            .map(move |(f, l)| ((*f).max(first), (*l).min(last)))
            .filter(|(f, l)| f <= l)
    }

    /// How many offsets of `first..=last` it holds.
    pub fn count_within(&self, first: Offset, last: Offset) -> u64 {
        self.within(first, last).map(|(f, l)| l.next().distance_from(f)).sum()
    }

    /// Removes `first..=last`.
    pub fn remove(&mut self, first: Offset, last: Offset) {
        let cut: Vec<_> = self.within(first, last).collect();
        for (from, to) in cut {
            let Some((f, l)) = self.ranges.range(..=from).next_back().map(|(f, l)| (*f, *l)) else {
                continue;
            };
            self.ranges.remove(&f);
            if f < from {
                self.ranges.insert(f, from.previous());
            }
            if to < l {
                self.ranges.insert(to.next(), l);
            }
        }
    }

    /// Whether it holds nothing.
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// Removes every offset before `first_kept`.
    pub fn remove_before(&mut self, first_kept: Offset) {
        while let Some((first, last)) = self.ranges.first_key_value().map(|(f, l)| (*f, *l)) {
            if first >= first_kept {
                break;
            }
            self.ranges.remove(&first);
            if last >= first_kept {
                self.ranges.insert(first_kept, last);
            }
        }
    }

    /// How many offsets it holds.
    pub fn count(&self) -> u64 {
        self.ranges.iter().map(|(first, last)| last.next().distance_from(*first)).sum()
    }

    /// The ranges, rising.
    pub fn ranges(&self) -> impl Iterator<Item = (Offset, Offset)> {
        self.ranges.iter().map(|(first, last)| (*first, *last))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::backoff::Jitter;

    #[test]
    fn agrees_with_a_plain_set() {
        for seed in 0..200 {
            let mut random = Jitter::new(seed);
            let mut ours = OffsetSet::default();
            let mut plain = BTreeSet::new();
            for _ in 0..60 {
                let first = random.below(50);
                let last = first + random.below(6);
                match random.below(8) {
                    0 => {
                        ours.remove_before(Offset::new(first));
                        plain = plain.split_off(&first);
                    }
                    1 | 2 => {
                        ours.remove(Offset::new(first), Offset::new(last));
                        plain.retain(|n| !(first..=last).contains(n));
                    }
                    _ => {
                        ours.insert(Offset::new(first), Offset::new(last));
                        plain.extend(first..=last);
                    }
                }
                assert_eq!(ours.count(), plain.len() as u64);
                assert_eq!(ours.is_empty(), plain.is_empty());
                let within = ours.within(Offset::new(first), Offset::new(last));
                let within = within.flat_map(|(f, l)| f.get()..=l.get());
                assert!(within.eq(plain.range(first..=last).copied()), "seed {seed}");
                let count = ours.count_within(Offset::new(first), Offset::new(last));
                assert_eq!(count, plain.range(first..=last).count() as u64);
                for n in 0..60 {
                    let end = ours.run_end(Offset::new(n)).map(Offset::get);
                    let expected = plain
                        .contains(&n)
                        .then(|| (n..).find(|m| !plain.contains(&(m + 1))))
                        .flatten();
                    assert_eq!(end, expected, "seed {seed}");
                }
            }
        }
    }
}
