//! What goes first where things wait, without keeping the rest from going at all.

use std::collections::VecDeque;

/// How soon what waits should go, compared with the rest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Priority {
    /// Before everything else: calls, alarms, commands.
    Urgent,
    /// As it comes.
    #[default]
    Normal,
    /// When there is room: reports, imports, backfills.
    Bulk,
}

impl Priority {
    /// From first to last.
    pub const ALL: [Self; 3] = [Self::Urgent, Self::Normal, Self::Bulk];

    /// The word in the configuration.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Urgent => "urgent",
            Self::Normal => "normal",
            Self::Bulk => "bulk",
        }
    }

    /// How many go in a row, while others wait, before the next priority has a turn. So bulk gets at
    /// least one turn of 21.
    pub const fn share(self) -> u32 {
        match self {
            Self::Urgent => 16,
            Self::Normal => 4,
            Self::Bulk => 1,
        }
    }

    const fn index(self) -> usize {
        match self {
            Self::Urgent => 0,
            Self::Normal => 1,
            Self::Bulk => 2,
        }
    }
}

/// A queue in which urgent things overtake, normal ones overtake bulk, and each priority keeps its
/// share of turns. Among things of one priority the order is that of their arrival.
#[derive(Clone, Debug)]
pub struct PriorityQueue<T> {
    lines: [VecDeque<T>; Priority::ALL.len()],
    /// Turns each priority has had since all who waited had theirs.
    had: [u32; Priority::ALL.len()],
}

impl<T> Default for PriorityQueue<T> {
    fn default() -> Self {
        Self { lines: [const { VecDeque::new() }; Priority::ALL.len()], had: Default::default() }
    }
}

impl<T> PriorityQueue<T> {
    /// Adds something behind all of its priority.
    pub fn push(&mut self, priority: Priority, item: T) {
        self.lines[priority.index()].push_back(item);
    }

    /// What [`pop`](Self::pop) would take.
    pub fn peek(&self) -> Option<&T> {
        self.turn().and_then(|priority| self.lines[priority.index()].front())
    }

    /// Takes whose turn it is.
    pub fn pop(&mut self) -> Option<T> {
        let priority = self.turn()?;
        let item = self.lines[priority.index()].pop_front();
        let others_wait = Priority::ALL
            .iter()
            .any(|other| *other != priority && !self.lines[other.index()].is_empty());
        if !others_wait || self.had[priority.index()] >= priority.share() {
            // Nobody else waits, or all have had their share: a new round.
            self.had = Default::default();
        }
        self.had[priority.index()] += u32::from(others_wait);
        item
    }

    /// Takes out all but what `keep` wants.
    pub fn retain(&mut self, keep: impl Fn(&T) -> bool) {
        for line in &mut self.lines {
            line.retain(&keep);
        }
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.lines.iter().all(VecDeque::is_empty)
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.lines.iter().map(VecDeque::len).sum()
    }

    /// The first that waits and has not had its share, else the first that waits.
    fn turn(&self) -> Option<Priority> {
        let waits = |priority: &Priority| !self.lines[priority.index()].is_empty();
        let is_due = |priority: &Priority| self.had[priority.index()] < priority.share();
        let mut waiting = Priority::ALL.into_iter().filter(waits);
        waiting.clone().find(is_due).or_else(|| waiting.next())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(urgent: u32, normal: u32, bulk: u32) -> PriorityQueue<(Priority, u32)> {
        let mut queue = PriorityQueue::default();
        for (priority, count) in Priority::ALL.into_iter().zip([urgent, normal, bulk]) {
            for n in 0..count {
                queue.push(priority, (priority, n));
            }
        }
        queue
    }

    #[test]
    fn urgent_overtakes_and_each_keeps_its_order() {
        let mut queue = filled(0, 2, 2);
        assert_eq!(queue.pop(), Some((Priority::Normal, 0)));
        queue.push(Priority::Urgent, (Priority::Urgent, 0));
        assert_eq!(queue.peek(), Some(&(Priority::Urgent, 0)));
        let rest: Vec<_> = std::iter::from_fn(|| queue.pop()).collect();
        let expected = [
            (Priority::Urgent, 0),
            (Priority::Normal, 1),
            (Priority::Bulk, 0),
            (Priority::Bulk, 1),
        ];
        assert_eq!(rest, expected);
        assert!(queue.is_empty());
    }

    #[test]
    fn under_an_endless_rush_everybody_keeps_a_share() {
        let mut queue = filled(10_000, 10_000, 10_000);
        let mut counts = [0; 3];
        for _ in 0..2_100 {
            let seen = queue.peek().copied();
            let popped = queue.pop();
            assert_eq!(seen, popped, "peek tells what pop takes");
            counts[popped.unwrap().0.index()] += 1;
        }
        assert_eq!(counts, [1_600, 400, 100]);
        assert_eq!(queue.len(), 30_000 - 2_100);
    }

    #[test]
    fn nobody_waits_for_a_share_that_is_not_wanted() {
        let mut queue = filled(100, 0, 1);
        let at = std::iter::from_fn(|| queue.pop()).position(|(p, _)| p == Priority::Bulk);
        assert_eq!(at, Some(16), "after the sixteenth urgent one");
    }
}
