//! The index finds what was appended, trimmed and moved.

use tidings_core::Jitter;

use super::*;

fn topic(name: &str) -> Topic {
    Topic::parse(name).unwrap()
}

fn run(first: u64, messages: u32, segment: u64, position: u32) -> Run {
    Run {
        first: Offset::new(first),
        segment: SegmentId(segment),
        time: Timestamp::from_ms(first),
        time_max: Timestamp::from_ms(first),
        messages,
        position,
        span: 100 * messages,
        bytes: 100 * messages,
    }
}

/// Offsets to segments, as a reader would find them.
fn layout(index: &Index, slot: Slot) -> Vec<(u64, u64, u64)> {
    let runs = index.log(slot).runs.iter();
    runs.map(|run| (run.first.get(), run.last().get(), run.segment.0)).collect()
}

#[test]
fn runs_close_to_each_other_are_joined() {
    let mut index = Index::default();
    let slot = index.slot_or_insert(&topic("a"));
    index.append(slot, run(1, 2, 1, 4096), Waited::ForSync);
    index.append(slot, run(3, 2, 1, 4400), Waited::ForSync);
    index.append(slot, run(5, 1, 1, 4096 + 40_000), Waited::ForSync);
    index.append(slot, run(6, 1, 2, 4096), Waited::ForSync);
    assert_eq!(layout(&index, slot), [(1, 4, 1), (5, 5, 1), (6, 6, 2)]);
    assert_eq!(index.messages(), 6);
    assert_eq!(index.live().get(&SegmentId(1)), Some(&500));
}

#[test]
fn trimming_frees_a_segment_when_its_last_run_goes() {
    let mut index = Index::default();
    let slot = index.slot_or_insert(&topic("a"));
    index.append(slot, run(1, 4, 1, 4096), Waited::ForSync);
    index.append(slot, run(5, 4, 2, 4096), Waited::ForSync);
    assert_eq!(index.trim(slot, Offset::new(3)), 2);
    assert_eq!(index.live().len(), 2);
    assert_eq!(index.trim(slot, Offset::new(2)), 0);
    assert_eq!(index.trim(slot, Offset::new(5)), 2);
    assert_eq!(index.live().keys().copied().collect::<Vec<_>>(), [SegmentId(2)]);
    assert_eq!(index.trim(slot, Offset::new(100)), 4);
    let log = index.log(slot);
    assert_eq!((log.first, log.head, log.bytes), (Offset::new(9), Offset::new(8), 0));
    assert!(index.live().is_empty());
}

#[test]
fn moved_messages_are_found_at_their_new_place() {
    let mut index = Index::default();
    let slot = index.slot_or_insert(&topic("a"));
    index.append(slot, run(1, 10, 1, 4096), Waited::ForSync);
    index.append(slot, run(11, 10, 2, 4096), Waited::ForSync);
    index.relocate(slot, run(4, 3, 9, 4096));
    assert_eq!(layout(&index, slot), [(1, 3, 1), (4, 6, 9), (7, 10, 1), (11, 20, 2)]);
    assert_eq!(index.messages(), 20);
    index.relocate(slot, run(1, 10, 9, 8192));
    assert_eq!(layout(&index, slot), [(1, 10, 9), (11, 20, 2)]);
    assert_eq!(index.live().get(&SegmentId(1)), None);
    index.trim(slot, Offset::new(11));
    index.relocate(slot, run(1, 10, 9, 9000));
    assert_eq!(layout(&index, slot), [(11, 20, 2)]);
    assert_eq!(index.messages(), 10);
}

#[test]
fn skipped_offsets_are_not_given_in_any_topic() {
    let mut index = Index::default();
    let waited = index.slot_or_insert(&topic("a"));
    let unwaited = index.slot_or_insert(&topic("b"));
    index.append(waited, run(1, 4, 1, 4096), Waited::ForSync);
    index.append(unwaited, run(1, 4, 1, 5000), Waited::NotForSync);
    index.skip(Skip { scope: SkipScope::Unwaited, by: 100 });
    assert_eq!(index.log(waited).head, Offset::new(4));
    assert_eq!(index.log(unwaited).head, Offset::new(104));
    index.skip(Skip { scope: SkipScope::All, by: 3 });
    assert_eq!(index.log(waited).head, Offset::new(7));
    let fresh = index.slot_or_insert(&topic("c"));
    assert_eq!(index.log(fresh).head, Offset::new(3));
    assert_eq!(index.log(fresh).first, Offset::new(4));
}

#[test]
fn time_is_found_also_where_the_clock_was_set_back() {
    let mut index = Index::default();
    let slot = index.slot_or_insert(&topic("a"));
    for (first, time) in [(1, 5_000), (2, 90_000), (3, 20_000), (4, 100_000)] {
        let run = Run {
            time: Timestamp::from_ms(time),
            time_max: Timestamp::from_ms(time),
            ..run(first, 1, first, 4096)
        };
        index.append(slot, run, Waited::ForSync);
    }
    let log = index.log(slot);
    assert_eq!(log.run_from_time(Timestamp::from_ms(0)), 0);
    assert_eq!(log.run_from_time(Timestamp::from_ms(10_000)), 1);
    assert_eq!(log.run_from_time(Timestamp::from_ms(95_000)), 3);
    assert_eq!(log.run_from_time(Timestamp::from_ms(200_000)), 4);
}

/// What a log should hold, offset by offset.
#[derive(Default)]
struct Model {
    kept: BTreeMap<u64, u64>,
    head: u64,
}

/// A mixture of everything that changes an index, against a map from offsets to segments.
/// `joins` says whether messages come in runs of several or each on its own: the checkpointer's
/// runs are not the writer's, and both must forget the same.
fn agrees_with_a_map(seed: u64, joins: u32) {
    let mut random = Jitter::new(seed);
    let mut index = Index::default();
    let slot = index.slot_or_insert(&topic("a"));
    let (mut model, mut segment) = (Model::default(), 1);
    for _ in 0..200 {
        match random.below(10) {
            0..3 => {
                segment += 1;
                let count = 1 + random.below(12) as u32;
                for part in (0..count).step_by(joins as usize) {
                    let messages = joins.min(count - part);
                    let run = run(model.head + 1, messages, segment, 4096 + 100 * part);
                    model.kept.extend((run.first.get()..=run.last().get()).map(|n| (n, segment)));
                    model.head = run.last().get();
                    index.append(slot, run, Waited::ForSync);
                }
            }
            3..7 => {
                let count = 1 + random.below(4);
                let offsets: Vec<u64> = (0..count).map(|_| random.below(model.head + 2)).collect();
                index.remove(slot, offsets.iter().copied().map(Offset::new));
                for offset in offsets {
                    assert!(!index.holds(slot, Offset::new(offset)));
                    model.kept.remove(&offset);
                }
            }
            7..9 => {
                segment += 1;
                // Read some time ago: some of it may be gone since.
                let first = 1 + random.below(model.head + 1);
                let last = (first + random.below(8)).min(model.head);
                if first <= last {
                    let moved = run(first, (last - first + 1) as u32, segment, 4096);
                    index.relocate(slot, moved);
                    model.kept.range_mut(first..=last).for_each(|(_, place)| *place = segment);
                }
            }
            _ => {
                let first = random.below(model.head + 2);
                if random.below(4) == 0 {
                    index.trim(slot, Offset::new(first));
                    model.kept = model.kept.split_off(&first);
                }
            }
        }
        check(&index, slot, &model, seed);
    }
}

fn check(index: &Index, slot: Slot, model: &Model, seed: u64) {
    let log = index.log(slot);
    let mut found = BTreeMap::new();
    let mut bytes = BTreeMap::new();
    for run in &log.runs {
        let removed = log.removed_of(run);
        let offsets = (run.first.get()..=run.last().get()).map(Offset::new);
        let live: Vec<_> = offsets.filter(|offset| !removed.contains(*offset)).collect();
        assert!(!live.is_empty(), "seed {seed}: a run without messages");
        assert!(run.bytes > 0, "seed {seed}");
        found.extend(live.iter().map(|offset| (offset.get(), run.segment.0)));
        *bytes.entry(run.segment).or_default() += u64::from(run.bytes);
    }
    assert_eq!(found, model.kept, "seed {seed}");
    assert_eq!(index.messages(), model.kept.len() as u64, "seed {seed}");
    assert_eq!(log.messages, model.kept.len() as u64, "seed {seed}");
    assert_eq!(*index.live(), bytes, "seed {seed}");
    assert_eq!(log.bytes, bytes.values().sum::<u64>(), "seed {seed}");
    assert_eq!(log.head.get(), model.head, "seed {seed}");
    let first_kept = model.kept.keys().next().copied().unwrap_or(model.head + 1);
    assert!(log.first.get() <= first_kept, "seed {seed}");
    // What was removed of runs that are gone is not remembered.
    let remembered = log.removed.as_ref().map_or(0, |removed| removed.count());
    let of_runs: u64 = log.runs.iter().map(|run| log.removed_of(run).count()).sum();
    assert_eq!(remembered, of_runs, "seed {seed}");
}

#[test]
fn removing_moving_and_trimming_agree_with_a_map() {
    for seed in 0..60 {
        agrees_with_a_map(seed, 1);
        agrees_with_a_map(seed, 5);
    }
}

#[test]
fn what_was_removed_while_it_was_moved_stays_removed() {
    // As one run, and as several of which one is dropped whole.
    for parts in [&[10][..], &[4, 6], &[4, 3, 3]] {
        let mut index = Index::default();
        let slot = index.slot_or_insert(&topic("a"));
        let mut first = 1;
        for (n, messages) in (1..).zip(parts) {
            index.append(slot, run(first, *messages, n, 4096), Waited::ForSync);
            first += u64::from(*messages);
        }
        for offset in 5..=10 {
            index.remove(slot, [Offset::new(offset)]);
        }
        index.relocate(slot, run(1, 10, 9, 4096));
        let held = (1..=10).filter(|offset| index.holds(slot, Offset::new(*offset)));
        assert_eq!(held.collect::<Vec<_>>(), [1, 2, 3, 4], "{parts:?}");
        assert_eq!(index.live().keys().copied().collect::<Vec<_>>(), [SegmentId(9)]);
    }
}

/// Dead letters are replayed and purged in any order.
#[test]
fn a_hundred_thousand_removals_in_random_order_leave_little() {
    const COUNT: u64 = 100_000;
    let mut index = Index::default();
    let slot = index.slot_or_insert(&topic("a"));
    for n in 0..COUNT {
        let run = Run {
            time: Timestamp::default(),
            time_max: Timestamp::default(),
            ..run(n + 1, 1, 1, 4096 + 100 * n as u32)
        };
        index.append(slot, run, Waited::ForSync);
    }
    let runs = index.log(slot).runs.len();
    // A step without a common divisor visits every offset, far from the one before.
    let mut offset = 0;
    for n in 0..COUNT {
        offset = (offset + 61_803) % COUNT;
        index.remove(slot, [Offset::new(offset + 1)]);
        if n % 1000 == 0 {
            assert!(index.log(slot).runs.len() <= runs);
        }
    }
    assert_eq!(index.messages(), 0);
    assert!(index.live().is_empty() && index.log(slot).removed.is_none());
    assert_eq!(index.log(slot).first, Offset::new(COUNT + 1));
}

/// The figures of `docs/storage-format.md`.
#[test]
fn memory_is_what_the_documentation_says() {
    assert_eq!(size_of::<Run>(), 48);
    assert_eq!(size_of::<TopicLog>(), 104);
}
