//! Publishers: each publishes its messages one after the other, most with a key, and repeats
//! those until they are acknowledged.

use std::time::Duration;

use tidings_core::Position;

use super::World;
use super::event::{Event, Process, PublishAnswer, Try};
use super::store::{Found, Outcome, Ticket, Write};
use crate::history::{Name, Record};
use crate::sometimes::Sometimes;

#[derive(Debug)]
pub(super) struct Publisher {
    /// Messages not begun.
    pub(super) left: u32,
    current: Option<Current>,
    /// How long it waits for an answer. Less than a slow sync takes, for some.
    pub(super) patience: Duration,
}

#[derive(Clone, Copy, Debug)]
struct Current {
    name: Name,
    keyed: bool,
    ttl: Option<Duration>,
    number: u32,
}

impl Publisher {
    pub(super) const fn new(left: u32, patience: Duration) -> Self {
        Self { left, current: None, patience }
    }
}

impl World {
    /// Begins its next message, or repeats the current one.
    pub(super) fn publisher_acts(&mut self, publisher: usize) {
        if self.publishers[publisher].current.is_none() && !self.begin_message(publisher) {
            return;
        }
        if !self.server.up {
            return self.publisher_acts_later(publisher);
        }
        let patience = self.publishers[publisher].patience;
        let Some(current) = &mut self.publishers[publisher].current else { return };
        if current.number > 0 && !current.keyed {
            // Without a key a second try could store it twice.
            return;
        }
        current.number += 1;
        let request = Try { publisher, name: current.name, number: current.number };
        self.coverage.met_if(request.number > 1, Sometimes::PublishRepeated);
        self.after(patience, Event::PublishTimesOut { request });
        let latency = self.latency();
        let process = self.server.process;
        self.after(latency, Event::PublishArrives { request, process });
    }

    fn begin_message(&mut self, publisher: usize) -> bool {
        if self.publishers[publisher].left == 0 {
            return false;
        }
        self.names += 1;
        let name = Name::new(self.names);
        let keyed = self.random.chance(80);
        self.publishers[publisher].left -= 1;
        let ttl = self.draw_ttl();
        self.publishers[publisher].current = Some(Current { name, keyed, ttl, number: 0 });
        self.record(Record::Published { name, keyed });
        if let Some(ttl) = ttl {
            self.record(Record::Perishes { name, ttl });
        }
        true
    }

    /// Most messages are worth delivering for ever, some for moments, some for hours.
    fn draw_ttl(&mut self) -> Option<Duration> {
        let ttl = match self.random.below(10) {
            0 => self.random.between(1, 400),
            1 => self.random.between(60_000, 4 * 60 * 60 * 1_000),
            _ => return None,
        };
        Some(Duration::from_millis(ttl))
    }

    fn publisher_acts_later(&mut self, publisher: usize) {
        let pause = Duration::from_millis(self.random.between(1, 120));
        self.after(pause, Event::PublisherActs { publisher });
    }

    pub(super) fn publish_arrives(&mut self, request: Try, process: Process) {
        let lost = self.plan.loses_answers && self.chaos() && self.random.chance(8);
        if self.server.process != process || !self.server.up || lost {
            return;
        }
        let Some(current) = self.current(request) else { return };
        let (name, keyed, ttl) = (request.name, current.keyed, current.ttl);
        let write = Write::Publish { name, keyed, ttl };
        if self.submit(write, Ticket::Publisher(request)).is_err() {
            self.publish_done(request, Outcome::Refused);
        }
    }

    /// The server has an outcome, and answers.
    pub(super) fn publish_done(&mut self, request: Try, outcome: Outcome) {
        let answer = match outcome {
            Outcome::Published(position) => PublishAnswer::Published(position),
            Outcome::Duplicate { first, found } => {
                self.note_duplicate(found);
                PublishAnswer::Published(first)
            }
            Outcome::Saved | Outcome::Refused => {
                self.coverage.met_if(self.store.is_poisoned(), Sometimes::PoisonedStoreRefused);
                self.coverage.met_if(self.store.is_full(), Sometimes::FullStoreRefused);
                PublishAnswer::Refused
            }
        };
        if !(self.plan.loses_answers && self.chaos() && self.random.chance(12)) {
            let latency = self.latency();
            self.after(latency, Event::PublishAnswered { request, answer });
        }
    }

    fn note_duplicate(&mut self, found: Found) {
        self.coverage.met(match found {
            Found::SameCommit => Sometimes::DuplicateFoundInBatch,
            Found::SameProcess => Sometimes::DuplicateFound,
            Found::EarlierProcess => Sometimes::DuplicateFoundAfterRestart,
        });
    }

    pub(super) fn publish_answered(&mut self, request: Try, answer: PublishAnswer) {
        if self.current(request).is_none() {
            return;
        }
        match answer {
            PublishAnswer::Published(position) => self.acknowledged(request, position),
            PublishAnswer::Refused => self.try_again(request),
        }
    }

    fn acknowledged(&mut self, request: Try, position: Position) {
        self.record(Record::Acknowledged { name: request.name, position });
        self.publishers[request.publisher].current = None;
        self.publisher_acts_later(request.publisher);
    }

    /// No answer in time: it is unknown whether the message is in the log.
    pub(super) fn publish_times_out(&mut self, request: Try) {
        if self.current(request).is_some_and(|current| current.number == request.number) {
            self.try_again(request);
        }
    }

    /// Again, if the key makes that safe; else on to the next message.
    fn try_again(&mut self, request: Try) {
        if self.current(request).is_some_and(|current| !current.keyed) {
            self.publishers[request.publisher].current = None;
        }
        self.publisher_acts_later(request.publisher);
    }

    /// What the publisher waits for, if that is still this message.
    fn current(&self, request: Try) -> Option<Current> {
        self.publishers[request.publisher].current.filter(|current| current.name == request.name)
    }
}
