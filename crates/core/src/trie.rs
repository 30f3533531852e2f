//! Which filters match a topic, without trying them one by one.

use std::collections::BTreeMap;

use crate::filter::Filter;
use crate::topic::Topic;

/// A map from filters to values that finds all values whose filter matches a topic. Its cost
/// grows with the topic's depth and the wildcards met, not with the number of filters.
#[derive(Clone, Debug)]
pub struct FilterTrie<T> {
    root: Node<T>,
    len: usize,
}

#[derive(Clone, Debug)]
struct Node<T> {
    children: BTreeMap<Box<str>, Self>,
    values: Vec<T>,
}

impl<T> Default for Node<T> {
    fn default() -> Self {
        Self { children: BTreeMap::new(), values: Vec::new() }
    }
}

impl<T> Default for FilterTrie<T> {
    fn default() -> Self {
        Self { root: Node::default(), len: 0 }
    }
}

impl<T> FilterTrie<T> {
    /// How many values it holds.
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether it holds none.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Adds `value` under `filter`. The same filter may hold many.
    pub fn insert(&mut self, filter: &Filter, value: T) {
        let mut node = &mut self.root;
        for level in filter.levels() {
            node = node.children.entry(level.into()).or_default();
        }
        node.values.push(value);
        self.len += 1;
    }

    /// Removes the first value under `filter` that `is_it` accepts.
    pub fn remove(&mut self, filter: &Filter, is_it: impl Fn(&T) -> bool) -> Option<T> {
        let levels: Vec<_> = filter.levels().collect();
        let removed = remove_below(&mut self.root, &levels, &is_it);
        self.len -= usize::from(removed.is_some());
        removed
    }

    /// Calls `found` with every value whose filter matches `topic`.
    pub fn matching<'t>(&'t self, topic: &Topic, mut found: impl FnMut(&'t T)) {
        if self.is_empty() {
            return;
        }
        let levels: Vec<_> = topic.levels().collect();
        visit(&self.root, &levels, topic.is_reserved(), &mut found);
    }
}

fn visit<'t, T>(
    node: &'t Node<T>,
    levels: &[&str],
    no_wildcard_here: bool,
    found: &mut impl FnMut(&'t T),
) {
    if !no_wildcard_here && let Some(rest) = node.children.get("#") {
        rest.values.iter().for_each(&mut *found);
    }
    let Some((level, below)) = levels.split_first() else {
        return node.values.iter().for_each(found);
    };
    if let Some(child) = node.children.get(*level) {
        visit(child, below, false, found);
    }
    if !no_wildcard_here && let Some(child) = node.children.get("+") {
        visit(child, below, false, found);
    }
}

fn remove_below<T>(node: &mut Node<T>, levels: &[&str], is_it: &impl Fn(&T) -> bool) -> Option<T> {
    let Some((level, below)) = levels.split_first() else {
        let at = node.values.iter().position(is_it)?;
        return Some(node.values.swap_remove(at));
    };
    let child = node.children.get_mut(*level)?;
    let removed = remove_below(child, below, is_it);
    if child.values.is_empty() && child.children.is_empty() {
        node.children.remove(*level);
    }
    removed
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backoff::Jitter;

    #[test]
    fn finds_what_trying_every_filter_finds() {
        let words = ["a", "b", "", "+", "#", "$a"];
        for seed in 0..300 {
            let mut random = Jitter::new(seed);
            let mut name = |depth: u64| {
                let levels = (0..=random.below(depth)).map(|_| words[random.below(6) as usize]);
                levels.collect::<Vec<_>>().join("/")
            };
            let filters: Vec<_> = (0..20).filter_map(|_| Filter::parse(&name(4)).ok()).collect();
            let topics: Vec<_> = (0..40).filter_map(|_| Topic::parse(&name(4)).ok()).collect();
            let mut trie = FilterTrie::default();
            for (i, filter) in filters.iter().enumerate() {
                trie.insert(filter, i);
            }
            for topic in &topics {
                let mut found = Vec::new();
                trie.matching(topic, |i| found.push(*i));
                found.sort_unstable();
                let tried: Vec<_> =
                    (0..filters.len()).filter(|i| filters[*i].matches(topic)).collect();
                assert_eq!(found, tried, "seed {seed}, topic {topic}");
            }
            for (i, filter) in filters.iter().enumerate() {
                assert_eq!(trie.remove(filter, |v| *v == i), Some(i));
            }
            assert!(trie.is_empty() && trie.root.children.is_empty());
        }
    }
}
