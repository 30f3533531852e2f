//! What can happen to a window.

use std::time::Duration;

use tidings_core::{Departure, Instant, Offset, SettleOutcome};

use super::checks::agree;
use super::model::{Fate, Letter};
use super::subject::Subject;
use super::{Saved, Scene, draw_window};
use crate::sometimes::Sometimes;
use crate::violation::{Promise, Violation, ensure};

/// What a subscriber may say of one message.
#[derive(Clone, Copy, Debug)]
enum Answer {
    Ack,
    AckThrough,
    Nack(Option<Duration>),
    Refuse,
    Extend(Duration),
}

impl Scene {
    /// One thing happens.
    pub(super) fn step(&mut self) -> Result<(), Violation> {
        match self.random.below(100) {
            0..20 => self.append(),
            20..50 => return self.answer_one(),
            50..58 if self.troubles.strays => return self.answer_astray(),
            58..74 => self.time_passes(),
            74..81 if self.troubles.trims => self.lose_messages(),
            81..88 => self.dead_letter_outcome(),
            88..90 if self.save_due => self.save(),
            90..92 => self.told_saved(),
            92..96 if self.troubles.reconnects => self.reconnect(),
            96..99 if self.troubles.crashes => self.crash(),
            _ => {}
        }
        Ok(())
    }

    fn append(&mut self) {
        self.log.head = self.log.head.plus(self.random.between(1, 3));
        // News of the tail may be late, and may come twice.
        let behind = self.random.below(5);
        let tail = Offset::new(self.log.head.get().saturating_sub(behind));
        self.trace.line(|| format!("          tail_advanced {tail}"));
        self.subject.tail_advanced(tail);
        self.model.tail_advanced(tail);
    }

    fn answer_one(&mut self) -> Result<(), Violation> {
        if self.in_hand.is_empty() {
            return Ok(());
        }
        // Mostly in order, as subscribers are.
        let in_order = self.random.chance(50);
        let index = if in_order { 0 } else { self.random.index(self.in_hand.len()) };
        let offset = self.in_hand.remove(index);
        let answer = self.draw_answer();
        self.answer(offset, answer)
    }

    /// An answer of anything: sent, settled, or never sent.
    fn answer_astray(&mut self) -> Result<(), Violation> {
        let offset = Offset::new(self.random.below(self.log.head.get() + 4));
        let answer = self.draw_answer();
        self.answer(offset, answer)
    }

    fn draw_answer(&mut self) -> Answer {
        let some_time = Duration::from_millis(self.random.below(6_000));
        match self.random.below(100) {
            0..25 if self.troubles.hesitant => Answer::Nack(None),
            25..35 if self.troubles.hesitant => Answer::Nack(Some(some_time)),
            35..42 if self.troubles.hesitant => Answer::Refuse,
            42..50 if self.troubles.hesitant => Answer::Extend(some_time),
            50..65 => Answer::AckThrough,
            _ => Answer::Ack,
        }
    }

    fn answer(&mut self, offset: Offset, answer: Answer) -> Result<(), Violation> {
        let now = self.now;
        self.trace.line(|| format!("{:>7} {answer:?} {offset}", now.as_ms()));
        self.note_answer(offset, answer);
        let (subject, model) = (&mut self.subject, &mut self.model);
        let (ours, expected) = match answer {
            Answer::Ack => (subject.acked(offset), model.acked(offset)),
            Answer::AckThrough => (subject.acked_through(offset), model.acked_through(offset)),
            Answer::Nack(delay) => {
                (subject.nacked(now, offset, delay), model.nacked(now, offset, delay))
            }
            Answer::Refuse => (subject.refused(offset), model.refused(offset)),
            Answer::Extend(more) => {
                (subject.extended(now, offset, more), model.extended(now, offset, more))
            }
        };
        self.coverage.met_if(expected == SettleOutcome::Stale, Sometimes::StaleAnswer);
        agree(Promise::Contract, "the outcome", &ours, &expected)
    }

    fn note_answer(&mut self, offset: Offset, answer: Answer) {
        let fate = self.model.fate(offset);
        let sent = matches!(fate, Some(Fate::Sent { .. }));
        let later = self.model.cursor() < offset;
        let given_up = |fate| matches!(fate, Fate::GivenUp { .. });
        let given_up_before = self.model.fates().any(|(o, fate)| o <= offset && given_up(fate));
        let coverage = &mut self.coverage;
        coverage
            .met_if(matches!(fate, Some(Fate::Unsent { .. }) | None), Sometimes::UnsentAnswered);
        match answer {
            Answer::Ack => {
                coverage.met_if(sent && later, Sometimes::AckedOutOfOrder);
                let waiting = matches!(fate, Some(Fate::Waiting { .. }));
                coverage.met_if(waiting, Sometimes::AckedWhileWaiting);
            }
            Answer::AckThrough => {
                coverage.met_if(given_up_before, Sometimes::AckedThroughGivenUp);
            }
            Answer::Nack(None) => coverage.met_if(sent, Sometimes::Nacked),
            Answer::Nack(Some(_)) => coverage.met_if(sent, Sometimes::NackedWithDelay),
            Answer::Refuse => coverage.met_if(sent, Sometimes::Refused),
            Answer::Extend(_) => coverage.met_if(sent, Sometimes::Extended),
        }
    }

    /// To the next deadline, to just before it, or anywhere.
    fn time_passes(&mut self) {
        let deadline = self.subject.next_deadline().unwrap_or(self.now).max(self.now);
        let before = Instant::from_ms(deadline.as_ms().saturating_sub(1)).max(self.now);
        self.now = match self.random.below(10) {
            0..6 => deadline,
            6..8 => before,
            _ => self.now + Duration::from_millis(self.random.below(8_000)),
        };
        let (now, was_due) = (self.now, self.model.dues().any(|(_, due)| due <= self.now));
        self.coverage.met_if(was_due, Sometimes::TimedOut);
        if self.random.chance(50) && self.subject.next_deadline().is_some_and(|at| at <= now) {
            self.deadline_passed();
        }
    }

    /// Retention trims the oldest, or a message is damaged. The window hears of it now, or when
    /// the message is read.
    fn lose_messages(&mut self) {
        let unasked = |fate| matches!(fate, Fate::GivenUp { letter: Letter::Due, .. });
        let unasked = self.model.fates().find(|(_, fate)| unasked(*fate));
        if let Some((offset, _)) = unasked {
            self.coverage.met(Sometimes::GoneBeforeLetterAsked);
            self.log.damaged.insert(offset);
            return self.missing(offset, offset);
        }
        if self.random.chance(40) {
            let offset = Offset::new(self.random.between(1, self.log.head.get().max(1)));
            if offset <= self.log.head {
                self.log.damaged.insert(offset);
            }
            return;
        }
        let first = self.log.first.plus(self.random.below(4)).min(self.log.head.next());
        self.log.first = first;
        if self.random.chance(50) {
            let in_flight = self.model.in_flight() > 0 && self.model.cursor() < first;
            self.coverage.met_if(in_flight, Sometimes::TrimmedUnderWindow);
            let ahead = self.model.first_unsent().is_some_and(|unsent| unsent < first);
            self.coverage.met_if(ahead, Sometimes::TrimmedUnsent);
            self.missing(Offset::FIRST, first.previous());
        } else if self.random.chance(20) {
            // An empty range: nothing is missing.
            let cursor = self.model.cursor();
            self.missing(cursor, cursor.previous());
        } else if let Some(unsent) = self.model.first_unsent() {
            // A hole beyond what was sent is found when sending gets there, not before.
            let beyond = unsent.plus(self.random.between(1, 3));
            self.subject.missing(beyond, beyond.next());
        }
    }

    fn dead_letter_outcome(&mut self) {
        let Some(offset) = self.appending.pop_first() else { return };
        let now = self.now;
        if self.troubles.letters_fail && self.random.chance(40) {
            self.trace.line(|| format!("{:>7} dead_letter_failed {offset}", now.as_ms()));
            self.coverage.met(Sometimes::DeadLetterFailed);
            self.subject.dead_letter_failed(now, offset);
            self.model.dead_letter_failed(now, offset);
        } else {
            self.dead_lettered(offset);
        }
    }

    fn dead_lettered(&mut self, offset: Offset) {
        let now = self.now;
        self.trace.line(|| format!("{:>7} dead_lettered {offset}", now.as_ms()));
        self.letters.insert(offset);
        self.subject.dead_lettered(offset);
        self.model.dead_lettered(offset);
    }

    /// The connection ends with its last state saved, and the subscription is taken up again.
    fn reconnect(&mut self) {
        self.coverage.met(Sometimes::Reconnected);
        let in_order = self.random.chance(30);
        self.coverage.met_if(in_order, Sometimes::LeftInOrder);
        let departure = if in_order { Departure::Ended } else { Departure::Broken };
        let (state, expected) =
            (self.subject.last_state(departure), self.model.last_state(departure));
        self.resume(Saved { state, expected, model: self.model.clone() });
    }

    /// The server ends between anything and anything: a saved state is all that is left, and
    /// some of the dead letters on their way have become durable.
    fn crash(&mut self) {
        self.coverage.met_if(!self.appending.is_empty(), Sometimes::CrashedBeforeOutcome);
        while let Some(offset) = self.appending.pop_first() {
            if self.random.chance(50) {
                self.letters.insert(offset);
            }
        }
        let back = self.random.index(self.saves.len());
        self.coverage.met_if(back > 0, Sometimes::ResumedFromOlderState);
        self.saves.truncate(self.saves.len() - back);
        if let Some(left) = self.saves.last().cloned() {
            self.resume(left);
        }
    }

    /// A new window from the state that is left.
    fn resume(&mut self, left: Saved) {
        let Saved { state, expected, model } = left;
        let window = draw_window(&mut self.random);
        self.trace.line(|| format!("          resumed, window {window}, from {state:?}"));
        self.coverage.met_if(window < self.model.window, Sometimes::WindowShrank);
        self.model = model.resumed(expected.clone(), window, self.log.head);
        let policy = self.model.policy;
        let used_up = |(_, attempts): &(Offset, u32)| *attempts >= policy.attempts_max;
        self.coverage.met_if(state.attempts.iter().any(used_up), Sometimes::ResumedUsedUp);
        let seed = self.random.seed();
        self.saves = vec![Saved { state: state.clone(), expected, model: self.model.clone() }];
        self.subject = Subject::new(self.mutation, policy, window, state, self.log.head, seed);
        self.in_hand.clear();
        self.appending.clear();
        self.save_due = false;
    }

    /// The last fault is over and the subscriber honest: what is owed arrives, in a bounded
    /// number of rounds.
    pub(super) fn finish(&mut self) -> Result<(), Violation> {
        self.troubles.losses = false;
        self.subject.tail_advanced(self.log.head);
        self.model.tail_advanced(self.log.head);
        let rounds_max = 20 + self.log.head.get() * u64::from(self.model.policy.attempts_max) * 4;
        for _ in 0..rounds_max {
            self.settle_down()?;
            let full = self.model.in_flight() >= self.model.window as usize;
            self.coverage
                .met_if(full && self.model.first_unsent().is_some(), Sometimes::WindowFull);
            if self.model.pending() == 0 {
                return self.check_all_settled();
            }
            if self.saves.len() > 1 {
                self.told_saved();
            } else if let Some(offset) = self.appending.pop_first() {
                self.dead_lettered(offset);
            } else if let Some(offset) = self.in_hand.pop() {
                self.answer(offset, Answer::Ack)?;
            } else {
                let deadline = self.subject.next_deadline();
                ensure(deadline.is_some(), Promise::Liveness, || {
                    format!("{} are pending, and nothing is due", self.model.pending())
                })?;
                self.now = deadline.unwrap_or(self.now).max(self.now);
            }
            self.check_always()?;
        }
        let what = format!("{} are pending after {rounds_max} rounds", self.model.pending());
        Err(Violation::new(Promise::Liveness, what))
    }
}
