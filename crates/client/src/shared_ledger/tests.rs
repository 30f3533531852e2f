//! A member's books: nothing acked that was not taken, nothing taken twice.

use tidings_core::{Jitter, ResetReason};

use super::*;

fn at(topic: &str, offset: u64) -> TopicOffset {
    TopicOffset { topic: Topic::parse(topic).unwrap(), offset: Offset::new(offset) }
}

/// The name of the message that stands at `offset`, unless a test says otherwise.
fn name(offset: u64) -> MessageId {
    MessageId::from_bits(u128::from(offset))
}

fn receive(ledger: &mut SharedLedger, offset: u64) -> Verdict {
    ledger.received(name(offset), at("jobs/a", offset))
}

fn acks(ledger: &mut SharedLedger) -> Vec<(String, Vec<u64>)> {
    let acks = ledger.take_acks();
    acks.map(|(topic, offsets)| (topic.to_string(), offsets.into_iter().map(Offset::get).collect()))
        .collect()
}

#[test]
fn acks_are_single_and_by_topic() {
    let mut ledger = SharedLedger::new();
    for offset in [3, 9, 7] {
        assert_eq!(receive(&mut ledger, offset), Verdict::HandOut);
    }
    assert_eq!(ledger.received(name(100), at("jobs/b", 1)), Verdict::HandOut);
    for offset in [9, 100, 3] {
        ledger.acked(name(offset));
    }
    let expected = [("jobs/a".to_owned(), vec![3, 9]), ("jobs/b".to_owned(), vec![1])];
    assert_eq!(acks(&mut ledger), expected);
    assert_eq!(acks(&mut ledger), [], "each is said once");
}

#[test]
fn a_message_in_hand_is_not_handed_out_again() {
    let mut ledger = SharedLedger::new();
    receive(&mut ledger, 5);
    assert_eq!(receive(&mut ledger, 5), Verdict::Repeat);
    assert_eq!(ledger.released(name(5)), Some(at("jobs/a", 5)));
    assert_eq!(ledger.released(name(5)), None, "given back once");
    assert_eq!(receive(&mut ledger, 5), Verdict::HandOut);
}

#[test]
fn an_ack_lost_with_the_connection_is_given_when_the_message_comes_again() {
    let mut ledger = SharedLedger::new();
    receive(&mut ledger, 5);
    ledger.acked(name(5));
    acks(&mut ledger);
    ledger.disconnected();
    assert_eq!(receive(&mut ledger, 5), Verdict::Repeat);
    assert_eq!(acks(&mut ledger), [("jobs/a".to_owned(), vec![5])]);
}

#[test]
fn an_answer_goes_only_over_the_connection_that_brought_the_message() {
    let mut ledger = SharedLedger::new();
    for offset in 1..=4 {
        receive(&mut ledger, offset);
    }
    ledger.disconnected();
    // Another member has it now, and its offset may be another message's.
    ledger.acked(name(1));
    assert_eq!(acks(&mut ledger), []);
    assert_eq!((ledger.released(name(2)), ledger.given_up(name(3))), (None, None));
    assert_eq!(ledger.place(name(4)), None);
    // What comes back is answered where it is now.
    assert_eq!(ledger.received(name(4), at("jobs/a", 40)), Verdict::Repeat);
    ledger.acked(name(4));
    assert_eq!(acks(&mut ledger), [("jobs/a".to_owned(), vec![40])]);
}

#[test]
fn another_life_of_one_log_takes_no_answers_to_the_old_one() {
    let mut ledger = SharedLedger::new();
    receive(&mut ledger, 5);
    receive(&mut ledger, 6);
    ledger.received(name(100), at("jobs/b", 5));
    ledger.acked(name(6));
    let topic = Topic::parse("jobs/a").unwrap();
    ledger.reset(&topic, Epoch::new(8), ResetReason::Trimmed);
    assert!(ledger.place(name(5)).is_some(), "the same log");
    ledger.reset(&topic, Epoch::new(8), ResetReason::EpochChanged);
    for offset in [5, 100] {
        ledger.acked(name(offset));
    }
    assert_eq!(acks(&mut ledger), [("jobs/b".to_owned(), vec![5])]);
    assert_eq!(ledger.epoch(), None, "of many topics there is no one epoch");
}

#[test]
fn a_message_given_up_is_not_handed_out_until_the_server_has_answered() {
    let mut ledger = SharedLedger::new();
    receive(&mut ledger, 5);
    assert_eq!(ledger.given_up(name(5)), Some(at("jobs/a", 5)));
    ledger.acked(name(5));
    assert_eq!(acks(&mut ledger), [], "given up is not done");
    assert_eq!(receive(&mut ledger, 5), Verdict::Repeat);
    ledger.give_up_answered(name(5));
    assert_eq!(receive(&mut ledger, 5), Verdict::HandOut);
    ledger.given_up(name(5));
    ledger.disconnected();
    assert_eq!(receive(&mut ledger, 5), Verdict::HandOut, "nobody knows whether it arrived");
}

#[test]
fn memory_of_what_is_done_is_bounded_and_covers_a_window() {
    let mut ledger = SharedLedger::new();
    let count = 3 * DONE_REMEMBERED_MAX as u64;
    for offset in 1..=count {
        receive(&mut ledger, offset);
        ledger.acked(name(offset));
        acks(&mut ledger);
    }
    assert_eq!(
        (ledger.done.len(), ledger.done_names.len()),
        (DONE_REMEMBERED_MAX, DONE_REMEMBERED_MAX)
    );
    assert!(ledger.items.is_empty());
    ledger.disconnected();
    let window = u64::from(tidings_core::limits::WINDOW_MAX);
    for offset in count - window + 1..=count {
        assert_eq!(receive(&mut ledger, offset), Verdict::Repeat);
    }
}

const TOPICS: [&str; 2] = ["jobs/a", "jobs/b"];

/// A server that is too simple to be wrong: it knows which message stands where, which of them
/// this member holds on this connection, and takes no other answer.
#[derive(Default)]
struct Server {
    /// By topic and offset.
    names: BTreeMap<(usize, u64), u64>,
    held: BTreeSet<(usize, u64)>,
    settled: BTreeSet<u64>,
    next_name: u64,
}

impl Server {
    /// A log of its own for a topic: other messages at the same places.
    fn rebuild(&mut self, topic: usize) {
        self.held.retain(|(of, _)| *of != topic);
        for offset in 1..=12 {
            self.next_name += 1;
            self.names.insert((topic, offset), self.next_name);
        }
    }

    /// Sends something not settled, also what this member has.
    fn send(&mut self, random: &mut Jitter) -> Option<((usize, u64), u64)> {
        let open = self.names.iter().filter(|(_, name)| !self.settled.contains(name));
        let open: Vec<_> = open.map(|(place, name)| (*place, *name)).collect();
        let (place, name) = *open.get(random.below(open.len().max(1) as u64) as usize)?;
        self.held.insert(place);
        Some((place, name))
    }

    fn take(&mut self, acks: impl Iterator<Item = (Topic, Vec<Offset>)>) {
        for (topic, offsets) in acks {
            let topic = TOPICS.iter().position(|name| *name == topic.as_str()).unwrap();
            for offset in offsets {
                if self.held.remove(&(topic, offset.get())) {
                    self.settled.extend(self.names.get(&(topic, offset.get())));
                }
            }
        }
    }

    fn is_done(&self) -> bool {
        self.names.values().all(|name| self.settled.contains(name))
    }
}

#[test]
fn settles_only_what_was_acked_and_hands_out_once_whatever_gets_lost() {
    for seed in 0..300 {
        let random = &mut Jitter::new(seed);
        let mut server = Server::default();
        let mut ledger = SharedLedger::new();
        (0..TOPICS.len()).for_each(|topic| server.rebuild(topic));
        let (mut in_hand, mut acked) = (Vec::new(), BTreeSet::new());
        let mut rebuilds = 3;
        for step in 0..40_000 {
            if server.is_done() && rebuilds == 0 {
                break;
            }
            assert!(step < 39_999, "seed {seed}: stuck with {:?}", server.settled);
            match random.below(40) {
                0 => {
                    ledger.disconnected();
                    server.held.clear();
                }
                1 if rebuilds > 0 => {
                    rebuilds -= 1;
                    let topic = random.below(TOPICS.len() as u64) as usize;
                    server.rebuild(topic);
                    if random.below(2) == 0 {
                        // While nobody could be told: of a filter no epoch is said afterwards.
                        ledger.disconnected();
                        server.held.clear();
                    } else {
                        let reason = ResetReason::EpochChanged;
                        ledger.reset(&Topic::parse(TOPICS[topic]).unwrap(), Epoch::new(8), reason);
                    }
                }
                2..20 => {
                    let Some(((topic, offset), message)) = server.send(random) else { continue };
                    if ledger.received(name(message), at(TOPICS[topic], offset)) == Verdict::HandOut
                    {
                        assert!(!in_hand.contains(&message), "seed {seed}: {message} twice");
                        assert!(!acked.contains(&message), "seed {seed}: {message} after its ack");
                        in_hand.push(message);
                    }
                }
                20..30 if !in_hand.is_empty() => {
                    let message = in_hand.swap_remove(random.below(in_hand.len() as u64) as usize);
                    match random.below(5) {
                        0 => drop(ledger.released(name(message))),
                        _ => {
                            ledger.acked(name(message));
                            acked.insert(message);
                        }
                    }
                }
                _ => {
                    let acks = ledger.take_acks();
                    // Now and then an ack is lost, together with its connection.
                    if random.below(6) == 0 {
                        ledger.disconnected();
                        server.held.clear();
                    } else {
                        server.take(acks);
                    }
                    let unasked: Vec<_> = server.settled.difference(&acked).collect();
                    assert!(unasked.is_empty(), "seed {seed}: {unasked:?} settled without an ack");
                }
            }
        }
    }
}
