//! One delivery window, and everything that can happen to it.
//!
//! Each step does something to the window and to a [`Model`] beside it, then compares the two.
//! Sometimes effects are left untaken, so that inputs come between a decision and its effect; a
//! crash goes back to a saved state, the last or an older one, since saved cursors may lag.

mod checks;
mod model;
mod steps;
mod subject;

use std::collections::BTreeSet;
use std::time::Duration;

use tidings_core::{Backoff, CursorState, DeliveryEffect, DeliveryPolicy, Epoch, Instant, Offset};

use crate::mutation::Mutation;
use crate::random::Random;
use crate::run::Run;
use crate::sometimes::{Coverage, Sometimes};
use crate::trace::{Trace, Tracing};
use crate::violation::Violation;
use model::Model;
use subject::Subject;

const EPOCH: Epoch = Epoch::new(7);

/// How often in a row something may become due in the moment in which it was put off.
const ROUNDS_AT_ONCE_MAX: u32 = 8;

/// Which troubles a seed has. Each seed draws its own, so that one trouble does not hide another.
#[derive(Clone, Copy, Debug)]
struct Troubles {
    strays: bool,
    trims: bool,
    letters_fail: bool,
    reconnects: bool,
    crashes: bool,
    losses: bool,
    untaken: bool,
    hesitant: bool,
}

/// The log that the window reads, as far as it matters: which messages there are.
#[derive(Clone, Debug)]
struct Log {
    first: Offset,
    head: Offset,
    damaged: BTreeSet<Offset>,
}

impl Log {
    fn is_gone(&self, offset: Offset) -> bool {
        offset < self.first || self.damaged.contains(&offset)
    }

    /// The last of the run of gone messages that begins at `offset`.
    fn gone_through(&self, offset: Offset) -> Offset {
        let mut last = offset;
        while last < self.head && self.is_gone(last.next()) {
            last = last.next();
        }
        last
    }
}

/// A saved state, what it should have been, and the model at that moment.
#[derive(Clone, Debug)]
struct Saved {
    state: CursorState,
    expected: CursorState,
    model: Model,
}

#[derive(Debug)]
struct Scene {
    random: Random,
    troubles: Troubles,
    now: Instant,
    log: Log,
    mutation: Option<Mutation>,
    subject: Subject,
    model: Model,
    /// Deliveries the subscriber has and did not answer.
    in_hand: Vec<Offset>,
    /// Dead letters being appended.
    appending: BTreeSet<Offset>,
    /// Dead letters that are durable.
    letters: BTreeSet<Offset>,
    /// Messages that reached the subscriber's connection, in any process.
    sent_ever: BTreeSet<Offset>,
    save_due: bool,
    /// The last state known to be durable, and those on their way after it.
    saves: Vec<Saved>,
    coverage: Coverage,
    trace: Trace,
}

/// Runs one seed.
pub(crate) fn run(seed: u64, mutation: Option<Mutation>, tracing: Tracing) -> Run {
    let mut scene = Scene::new(seed, mutation, tracing);
    let verdict = scene.play();
    if let Err(violation) = &verdict {
        scene.trace.line(|| violation.to_string());
    }
    Run { verdict, coverage: scene.coverage, trace: scene.trace }
}

impl Scene {
    fn new(seed: u64, mutation: Option<Mutation>, tracing: Tracing) -> Self {
        let mut random = Random::new(seed);
        let mut draw = || random.chance(60);
        let troubles = Troubles {
            strays: draw(),
            trims: draw(),
            letters_fail: draw(),
            reconnects: draw(),
            crashes: draw(),
            losses: draw(),
            untaken: draw(),
            hesitant: draw(),
        };
        let base = random.between(4, 2_000);
        let policy = DeliveryPolicy {
            ack_timeout: Duration::from_millis(random.between(10, 5_000)),
            attempts_max: random.between(1, 4) as u32,
            backoff: Backoff {
                base: Duration::from_millis(base),
                cap: Duration::from_millis(base * random.between(1, 5)),
            },
        };
        let window = draw_window(&mut random);
        let state = CursorState::beginning(EPOCH, Offset::FIRST, window);
        let model = Model::new(policy, window, EPOCH, state.reserved);
        let saves =
            vec![Saved { state: state.clone(), expected: state.clone(), model: model.clone() }];
        let (seed, reserved) = (random.seed(), state.reserved);
        let mut subject = Subject::new(mutation, policy, window, state, Offset::ORIGIN, seed);
        subject.begins(reserved);
        let mut trace = Trace::new(tracing);
        trace.line(|| format!("window {window}, {policy:?}, {troubles:?}"));
        Self {
            random,
            troubles,
            now: Instant::ORIGIN,
            log: Log { first: Offset::FIRST, head: Offset::ORIGIN, damaged: BTreeSet::new() },
            mutation,
            subject,
            model,
            in_hand: Vec::new(),
            appending: BTreeSet::new(),
            letters: BTreeSet::new(),
            sent_ever: BTreeSet::new(),
            save_due: false,
            saves,
            coverage: Coverage::default(),
            trace,
        }
    }

    fn play(&mut self) -> Result<(), Violation> {
        for _ in 0..self.random.between(40, 160) {
            self.step()?;
            self.check_always()?;
            if self.troubles.untaken && self.random.chance(60) {
                self.take_some()?;
                self.check_always()?;
            } else {
                self.settle_down()?;
            }
        }
        self.finish()
    }

    /// Does what is due and takes every effect, then expects nothing left to do.
    fn settle_down(&mut self) -> Result<(), Violation> {
        // What could not be sent may be wanted again at once.
        for _ in 0..ROUNDS_AT_ONCE_MAX {
            if self.subject.next_deadline().is_some_and(|at| at <= self.now) {
                self.deadline_passed();
            }
            while let Some(effect) = self.subject.next_effect(self.now) {
                self.carry_out(effect)?;
            }
            if self.subject.next_deadline().is_none_or(|at| at > self.now) {
                break;
            }
        }
        self.check_always()?;
        self.check_settled_down()
    }

    /// Takes a few effects, perhaps not all.
    fn take_some(&mut self) -> Result<(), Violation> {
        for _ in 0..self.random.below(3) {
            let Some(effect) = self.subject.next_effect(self.now) else { break };
            self.carry_out(effect)?;
        }
        Ok(())
    }

    fn deadline_passed(&mut self) {
        let now = self.now;
        self.trace.line(|| format!("{:>7} deadline_passed", now.as_ms()));
        self.subject.deadline_passed(now);
        self.model.deadline_passed(now);
    }

    fn carry_out(&mut self, effect: DeliveryEffect) -> Result<(), Violation> {
        let now = self.now;
        self.trace.line(|| format!("{:>7}   {effect:?}", now.as_ms()));
        match effect {
            DeliveryEffect::Send { offset, attempt } => {
                self.model.sent(now, offset, attempt)?;
                self.check_says_so(offset, attempt)?;
                self.coverage.met_if(attempt > 1, Sometimes::SentAgain);
                let first = attempt > 1 && !self.sent_ever.contains(&offset);
                self.coverage.met_if(first, Sometimes::SaidAgainThoughFirst);
                self.deliver(offset);
            }
            DeliveryEffect::DeadLetter { offset, attempts, reason } => {
                self.model.dead_letter(now, offset, attempts, reason)?;
                self.coverage.met(Sometimes::GaveUp);
                if self.log.is_gone(offset) {
                    self.coverage.met(Sometimes::GoneBeforeDeadLetter);
                    self.missing(offset, offset);
                } else {
                    self.appending.insert(offset);
                }
            }
            DeliveryEffect::Reserve => {
                self.check_always()?;
                self.coverage.met(Sometimes::Reserved);
                self.model.unsaved = false;
                self.save();
                if self.random.chance(50) {
                    self.told_saved();
                }
            }
            DeliveryEffect::SaveCursor => {
                self.check_always()?;
                self.check_save_wanted()?;
                self.model.unsaved = false;
                self.save_due = true;
                if self.random.chance(50) {
                    self.save();
                }
            }
        }
        Ok(())
    }

    /// Reads the message and sends it, if it is still there and nothing is lost on the way.
    fn deliver(&mut self, offset: Offset) {
        if self.log.is_gone(offset) {
            let last = self.log.gone_through(offset);
            self.coverage.met(Sometimes::GoneWhenRead);
            self.coverage.met_if(last > offset, Sometimes::GoneRunWhenRead);
            self.missing(offset, last);
        } else if self.troubles.losses && self.random.chance(10) {
            let again_at = self.now + Duration::from_millis(self.random.below(5_000));
            self.coverage.met(Sometimes::NotSent);
            self.trace.line(|| format!("          not sent, again at {}", again_at.as_ms()));
            self.subject.not_sent(offset, again_at);
            self.model.not_sent(offset, again_at);
        } else {
            self.sent_ever.insert(offset);
            if self.troubles.losses && self.random.chance(20) {
                self.coverage.met(Sometimes::DeliveryLost);
            } else {
                self.in_hand.push(offset);
            }
        }
    }

    fn missing(&mut self, first: Offset, last: Offset) {
        let now = self.now;
        self.trace.line(|| format!("{:>7} missing {first}..{last}", now.as_ms()));
        self.subject.missing(first, last);
        self.model.missing(first, last);
    }

    /// The cursor is on its way to the disk, as it stands now.
    fn save(&mut self) {
        self.save_due = false;
        let state = self.subject.state();
        self.trace.line(|| format!("          saves {state:?}"));
        let expected = CursorState { reserved: state.reserved, ..self.model.state() };
        self.saves.push(Saved { state, expected, model: self.model.clone() });
    }

    /// The window hears that everything on its way is durable.
    fn told_saved(&mut self) {
        self.saves.drain(..self.saves.len() - 1);
        let reserved = self.saves[0].state.reserved;
        self.trace.line(|| format!("          saved, {reserved} reserved"));
        self.subject.saved(reserved);
        self.model.saved(reserved);
    }
}

fn draw_window(random: &mut Random) -> u32 {
    if random.chance(20) { 16 } else { random.between(1, 4) as u32 }
}
