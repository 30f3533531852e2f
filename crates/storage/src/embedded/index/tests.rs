//! The index finds what was appended, trimmed and moved.

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

/// The figures of `docs/storage-format.md`.
#[test]
fn memory_is_what_the_documentation_says() {
    assert_eq!(size_of::<Run>(), 48);
    assert_eq!(size_of::<TopicLog>(), 80);
}
