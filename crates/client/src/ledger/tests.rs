//! The ledger against random loss, repeats and nacks, and its rules one by one.

use tidings_core::Jitter;

use super::*;

const EPOCH: Epoch = Epoch::new(7);

fn at(offset: u64) -> Position {
    Position { epoch: EPOCH, offset: Offset::new(offset) }
}

fn place(first: u64, head: u64) -> SubscribedPlace {
    SubscribedPlace {
        epoch: EPOCH,
        offset: Offset::new(head),
        first: Offset::new(first),
        recovered: true,
        reason: None,
        pending: 0,
    }
}

fn ledger() -> Ledger {
    let mut ledger = Ledger::new(8192);
    ledger.subscribed(&place(1, 1_000_000));
    ledger
}

fn receive(ledger: &mut Ledger, offsets: impl IntoIterator<Item = u64>) -> Vec<u64> {
    let is_new = |offset: &u64| ledger.received(Offset::new(*offset)) == Verdict::HandOut;
    offsets.into_iter().filter(is_new).collect()
}

/// The acks that are due: cumulative, single.
fn acks(ledger: &mut Ledger) -> (Option<u64>, Vec<u64>) {
    let Acks { through, each } = ledger.take_acks();
    (through.map(Offset::get), each.into_iter().map(Offset::get).collect())
}

#[test]
fn acks_in_order_make_one_cumulative_ack() {
    let mut ledger = ledger();
    assert_eq!(receive(&mut ledger, 1..=5), [1, 2, 3, 4, 5]);
    (1..=4).for_each(|offset| ledger.acked(at(offset)));
    assert_eq!(acks(&mut ledger), (Some(4), vec![]));
    assert_eq!(acks(&mut ledger), (None, vec![]));
}

#[test]
fn a_cumulative_ack_never_covers_what_was_not_acked() {
    let mut ledger = ledger();
    receive(&mut ledger, 1..=6);
    [1, 3, 4, 6].into_iter().for_each(|offset| ledger.acked(at(offset)));
    assert!(ledger.released(at(2)), "nacked");
    assert_eq!(acks(&mut ledger), (Some(1), vec![3, 4, 6]));
    // The redelivery is handed out again, and its ack closes the gap up to 5.
    assert_eq!(receive(&mut ledger, [2]), [2]);
    ledger.acked(at(2));
    assert_eq!(acks(&mut ledger), (Some(4), vec![]));
}

#[test]
fn a_message_in_hand_is_not_handed_out_again() {
    let mut ledger = ledger();
    receive(&mut ledger, [1]);
    assert_eq!(receive(&mut ledger, [1]), Vec::<u64>::new(), "the ack timeout passed");
    ledger.disconnected();
    ledger.subscribed(&place(1, 1));
    assert_eq!(receive(&mut ledger, [1]), Vec::<u64>::new(), "the connection was lost");
    ledger.acked(at(1));
    assert_eq!(acks(&mut ledger), (Some(1), vec![]));
    assert_eq!(receive(&mut ledger, [1]), Vec::<u64>::new(), "acked");
    assert_eq!(acks(&mut ledger), (Some(1), vec![]), "the repeat is acked again");
}

#[test]
fn an_ack_lost_with_the_connection_is_given_when_the_message_comes_again() {
    let mut ledger = ledger();
    receive(&mut ledger, 1..=4);
    [1, 2, 4].into_iter().for_each(|offset| ledger.acked(at(offset)));
    ledger.disconnected();
    ledger.subscribed(&place(1, 4));
    // Nothing is said about what this connection has not brought: the server would take a
    // cumulative ack for whatever it is just sending.
    assert_eq!(acks(&mut ledger), (None, vec![]));
    assert_eq!(receive(&mut ledger, [1]), Vec::<u64>::new());
    assert_eq!(acks(&mut ledger), (Some(1), vec![]));
    assert_eq!(receive(&mut ledger, [2, 3, 4, 5]), [5]);
    assert_eq!(acks(&mut ledger), (Some(2), vec![4]));
}

#[test]
fn a_message_given_up_is_never_acked_instead() {
    let mut ledger = ledger();
    receive(&mut ledger, 1..=2);
    assert!(ledger.given_up(at(1)));
    ledger.acked(at(2));
    assert_eq!(acks(&mut ledger), (None, vec![2]), "not confirmed: nothing cumulative");
    ledger.disconnected();
    ledger.subscribed(&place(1, 2));
    assert_eq!(receive(&mut ledger, [1]), [1], "the giving up was lost: the application decides");
    assert!(ledger.given_up(at(1)));
    ledger.give_up_confirmed(Offset::new(1));
    assert_eq!(receive(&mut ledger, [2]), Vec::<u64>::new());
    assert_eq!(acks(&mut ledger), (Some(2), vec![]));
}

#[test]
fn another_life_of_the_log_starts_from_nothing() {
    let mut ledger = ledger();
    receive(&mut ledger, 1..=3);
    ledger.reset(ResetReason::EpochChanged, Epoch::new(8), Offset::FIRST);
    ledger.acked(at(1));
    assert_eq!(acks(&mut ledger), (None, vec![]), "an old answer says nothing about new content");
    assert_eq!(receive(&mut ledger, 1..=3), [1, 2, 3]);
}

#[test]
fn what_was_skipped_changes_nothing_for_the_rest() {
    let mut ledger = ledger();
    receive(&mut ledger, 1..=3);
    ledger.reset(ResetReason::Skipped, EPOCH, Offset::new(9));
    assert_eq!(receive(&mut ledger, [3, 9]), [9], "3 is still with the application");
    ledger.acked(at(3));
    assert_eq!(acks(&mut ledger), (None, vec![3]), "its answer still counts");
}

#[test]
fn what_lies_before_damage_still_comes_again() {
    let mut ledger = ledger();
    receive(&mut ledger, 1..=3);
    ledger.acked(at(1));
    assert!(ledger.released(at(2)));
    ledger.reset(ResetReason::Damaged, EPOCH, Offset::new(6));
    assert_eq!(receive(&mut ledger, [2, 3, 6]), [2, 6], "3 is still with the application");
    [2, 3, 6].into_iter().for_each(|offset| ledger.acked(at(offset)));
    assert_eq!(acks(&mut ledger), (Some(6), vec![]));
}

#[test]
fn a_log_that_lost_its_end_starts_from_nothing() {
    let mut ledger = ledger();
    receive(&mut ledger, 1..=9);
    (1..=9).for_each(|offset| ledger.acked(at(offset)));
    ledger.disconnected();
    ledger.subscribed(&place(1, 5));
    assert_eq!(receive(&mut ledger, [6]), [6]);
}

#[test]
fn what_was_trimmed_is_not_waited_for() {
    let mut ledger = ledger();
    receive(&mut ledger, 1..=4);
    assert!(ledger.released(at(1)));
    [3, 4].into_iter().for_each(|offset| ledger.acked(at(offset)));
    ledger.reset(ResetReason::Trimmed, EPOCH, Offset::new(3));
    assert_eq!(receive(&mut ledger, 5..=5), [5]);
    ledger.acked(at(2));
    ledger.acked(at(5));
    assert_eq!(acks(&mut ledger), (Some(5), vec![]));
}

#[test]
fn memory_is_bounded_when_a_message_never_comes_again() {
    let mut ledger = Ledger::new(64);
    ledger.subscribed(&place(1, 1_000_000));
    receive(&mut ledger, [1]);
    assert!(ledger.released(at(1)), "dead-lettered by the server after its last attempt");
    for offset in 2..10_000 {
        receive(&mut ledger, [offset]);
        ledger.acked(at(offset));
        ledger.take_acks();
        assert!(ledger.entries.len() <= 65 && ledger.singles.len() <= 65);
    }
    assert_eq!(acks(&mut ledger), (None, vec![]));
    assert_eq!(ledger.done_through(), Offset::new(9_999));
}

/// A server that is too simple to be wrong: it remembers what is settled, sends in order within
/// a window, and repeats everything unsettled on a new connection.
struct Server {
    settled: BTreeSet<u64>,
    sent_here: BTreeSet<u64>,
    next: u64,
    head: u64,
}

impl Server {
    fn connect(&mut self) {
        self.sent_here.clear();
        self.next = 1;
    }

    /// What it sends next, if anything: a repeat of something open, or the next new one.
    fn send(&mut self, random: &mut Jitter) -> Option<u64> {
        let open: Vec<_> = self.sent_here.difference(&self.settled).copied().collect();
        if !open.is_empty() && (open.len() >= 8 || random.below(4) == 0) {
            return Some(open[random.below(open.len() as u64) as usize]);
        }
        while self.settled.contains(&self.next) {
            self.next += 1;
        }
        let offset = self.next;
        (offset <= self.head).then(|| {
            self.next += 1;
            self.sent_here.insert(offset);
            offset
        })
    }

    fn take(&mut self, acks: &Acks) {
        if let Some(through) = acks.through {
            // Everything below what was sent: also what the client has not been shown.
            self.settled.extend((1..self.next).filter(|offset| *offset <= through.get()));
        }
        let each = acks.each.iter().map(|offset| offset.get());
        self.settled.extend(each.filter(|offset| self.sent_here.contains(offset)));
    }
}

#[test]
fn loses_nothing_and_repeats_nothing_acked_whatever_gets_lost() {
    for seed in 0..300 {
        let random = &mut Jitter::new(seed);
        let head = 60;
        let mut server =
            Server { settled: BTreeSet::new(), sent_here: BTreeSet::new(), next: 1, head };
        let mut ledger = Ledger::new(8192);
        let (mut in_hand, mut done) = (Vec::new(), BTreeSet::new());
        ledger.subscribed(&place(1, head));
        for step in 0..20_000 {
            if server.settled.len() as u64 == head {
                break;
            }
            assert!(step < 19_999, "seed {seed}: stuck at {:?}", server.settled);
            match random.below(20) {
                0 => {
                    ledger.disconnected();
                    server.connect();
                    ledger.subscribed(&place(1, head));
                }
                1..10 => {
                    let Some(offset) = server.send(random) else { continue };
                    if ledger.received(Offset::new(offset)) == Verdict::HandOut {
                        assert!(
                            !in_hand.contains(&offset),
                            "seed {seed}: {offset} handed out twice"
                        );
                        assert!(!done.contains(&offset), "seed {seed}: {offset} after its ack");
                        in_hand.push(offset);
                    }
                }
                10..15 if !in_hand.is_empty() => {
                    let place = random.below(in_hand.len() as u64) as usize;
                    let offset = in_hand.swap_remove(place);
                    if random.below(5) == 0 {
                        assert!(ledger.released(at(offset)));
                    } else {
                        ledger.acked(at(offset));
                        done.insert(offset);
                    }
                }
                _ => {
                    let acks = ledger.take_acks();
                    // Now and then an ack is lost, together with its connection.
                    if random.below(6) == 0 {
                        ledger.disconnected();
                        server.connect();
                        ledger.subscribed(&place(1, head));
                    } else {
                        server.take(&acks);
                    }
                    let unasked: Vec<_> = server.settled.difference(&done).collect();
                    assert!(unasked.is_empty(), "seed {seed}: {unasked:?} settled without an ack");
                }
            }
        }
    }
}
