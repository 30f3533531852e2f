//! One group with members that come and go, and everything that can happen to it.
//!
//! As in the window layer, each step does something to the group and to a [`Model`] beside it,
//! then compares the two. Fetches are answered late and in any order, sometimes effects are left
//! untaken, and a crash goes back to states saved per topic, the last or older ones.

mod carry_out;
mod checks;
mod model;
mod replies;
mod steps;
mod subject;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tidings_core::{
    Backoff, CursorState, DeliveryPolicy, Epoch, Instant, MemberId, Offset, OrderKey, Topic,
};

use crate::mutation::Mutation;
use crate::random::Random;
use crate::run::Run;
use crate::sometimes::Coverage;
use crate::trace::{Trace, Tracing};
use crate::violation::Violation;
use model::{Messages, Model};
use subject::Subject;

const EPOCH: Epoch = Epoch::new(7);

/// Which troubles a seed has. Each seed draws its own, so that one trouble does not hide another.
#[derive(Clone, Copy, Debug)]
struct Troubles {
    strays: bool,
    trims: bool,
    letters_fail: bool,
    leavers: bool,
    pauses: bool,
    crashes: bool,
    losses: bool,
    untaken: bool,
    late_fetches: bool,
    hesitant: bool,
}

/// The log of one topic, as far as it matters: which messages there are, and their keys.
#[derive(Clone, Debug, Default)]
struct Log {
    first: Offset,
    keys: Vec<Option<OrderKey>>,
    damaged: BTreeSet<Offset>,
}

impl Log {
    fn head(&self) -> Offset {
        Offset::new(self.keys.len() as u64)
    }

    fn key(&self, offset: Offset) -> Option<OrderKey> {
        self.keys.get(offset.previous().get() as usize)?.clone()
    }

    fn is_gone(&self, offset: Offset) -> bool {
        offset < self.first || self.damaged.contains(&offset)
    }

    /// The last of the run of gone messages that begins at `offset`.
    fn gone_through(&self, offset: Offset) -> Offset {
        let mut last = offset;
        while last < self.head() && self.is_gone(last.next()) {
            last = last.next();
        }
        last
    }
}

/// A saved state of one topic, and the model's messages of it at that moment.
#[derive(Clone, Debug)]
struct Saved {
    state: CursorState,
    /// What the model would have saved, but for what it reserves.
    expected: CursorState,
    messages: Messages,
}

#[derive(Debug)]
struct Scene {
    random: Random,
    troubles: Troubles,
    policy: DeliveryPolicy,
    now: Instant,
    logs: BTreeMap<Topic, Log>,
    mutation: Option<Mutation>,
    subject: Subject,
    model: Model,
    members_made: u64,
    /// Fetches asked for and not answered.
    fetches: Vec<(Topic, Offset)>,
    /// Deliveries that members have and did not answer.
    in_hand: Vec<(MemberId, Topic, Offset)>,
    /// Messages that reached a member once.
    sent: BTreeSet<(Topic, Offset)>,
    /// Dead letters being appended.
    appending: BTreeSet<(Topic, Offset)>,
    /// Dead letters that are durable.
    letters: BTreeSet<(Topic, Offset)>,
    saves: BTreeMap<Topic, Vec<Saved>>,
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
            leavers: draw(),
            pauses: draw(),
            crashes: draw(),
            losses: draw(),
            untaken: draw(),
            late_fetches: draw(),
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
        let mut trace = Trace::new(tracing);
        trace.line(|| format!("{policy:?}, {troubles:?}"));
        let subject = Subject::new(mutation, random.seed());
        let mut scene = Self {
            random,
            troubles,
            policy,
            now: Instant::ORIGIN,
            logs: BTreeMap::new(),
            mutation,
            subject,
            model: Model::new(policy),
            members_made: 0,
            fetches: Vec::new(),
            in_hand: Vec::new(),
            sent: BTreeSet::new(),
            appending: BTreeSet::new(),
            letters: BTreeSet::new(),
            saves: BTreeMap::new(),
            coverage: Coverage::default(),
            trace,
        };
        scene.open_topic();
        scene.join();
        scene
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
        if self.subject.next_deadline().is_some_and(|at| at <= self.now) {
            self.deadline_passed();
        }
        while let Some(effect) = self.subject.next_effect(self.now) {
            self.carry_out(effect)?;
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

    fn missing(&mut self, topic: &Topic, first: Offset, last: Offset) {
        let now = self.now;
        self.trace.line(|| format!("{:>7} missing {topic} {first}..{last}", now.as_ms()));
        self.subject.missing(topic, first, last);
        self.model.missing(topic, first, last);
    }

    /// The saved cursor of a topic becomes durable, as it stands now.
    fn save(&mut self, topic: &Topic) {
        const SAVES_KEPT: usize = 4;
        let Some(state) = self.subject.state(topic) else { return };
        self.trace.line(|| format!("          saved {topic} {state:?}"));
        let expected = self.model.state(topic);
        let messages = self.model.messages(topic).clone();
        let saves = self.saves.entry(topic.clone()).or_default();
        saves.push(Saved { state, expected, messages });
        if saves.len() > SAVES_KEPT {
            self.told_saved();
        }
    }
}
