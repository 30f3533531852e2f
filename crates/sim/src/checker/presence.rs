//! Lists of who is on a topic name everybody who is there, and no ghosts.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tidings_core::Instant;

use crate::history::presence::{ClientNumber, Farewell, PresenceRecord};
use crate::violation::{Promise, Violation, ensure};

/// Where a client is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Client {
    /// The process it is subscribed with, for certain.
    here: Option<u64>,
    /// The last process it has begun to enter.
    entered: Option<u64>,
    /// How and when it left that one.
    left: Option<(Farewell, Instant)>,
}

/// A question that is not answered yet.
#[derive(Debug)]
struct Question {
    at: Instant,
    /// Who was there when it was asked and has been since, with which process.
    here: BTreeMap<ClientNumber, u64>,
    /// Who may have been there at some time since, with which process.
    perhaps: BTreeSet<(ClientNumber, u64)>,
}

#[derive(Debug)]
struct Presence {
    stays_max: Duration,
    clients: BTreeMap<ClientNumber, Client>,
    questions: BTreeMap<u64, Question>,
    ending: BTreeSet<u64>,
}

/// The first violation of a history of one topic.
///
/// `stays_max` is how long somebody whose connection broke may stay on the list.
pub fn check(history: &[PresenceRecord], stays_max: Duration) -> Result<(), Violation> {
    let (clients, questions, ending) = (BTreeMap::new(), BTreeMap::new(), BTreeSet::new());
    let mut presence = Presence { stays_max, clients, questions, ending };
    history.iter().try_for_each(|record| presence.follow(record))
}

impl Presence {
    fn follow(&mut self, record: &PresenceRecord) -> Result<(), Violation> {
        match record {
            PresenceRecord::Entering { client, process } => {
                let entered = Some(*process);
                self.clients.insert(*client, Client { here: None, entered, left: None });
                for question in self.questions.values_mut() {
                    question.perhaps.insert((*client, *process));
                }
            }
            PresenceRecord::Here { client, process } => {
                self.clients.entry(*client).or_default().here = Some(*process);
            }
            PresenceRecord::Leaving { client } => {
                self.clients.entry(*client).or_default().here = None;
                for question in self.questions.values_mut() {
                    question.here.remove(client);
                }
            }
            PresenceRecord::Left { client, farewell, at } => {
                self.clients.entry(*client).or_default().left = Some((*farewell, *at));
            }
            PresenceRecord::Asking { question, at } => {
                let asked = self.asked(*at);
                self.questions.insert(*question, asked);
            }
            PresenceRecord::Answered { question, process, listed } => {
                let question = self.questions.remove(question);
                let question = question.expect("an answer has its question");
                return self.answered(&question, *process, listed);
            }
            PresenceRecord::Ending { process } => {
                self.ending.insert(*process);
            }
        }
        Ok(())
    }

    fn asked(&self, at: Instant) -> Question {
        let here = |(client, state): (&ClientNumber, &Client)| Some((*client, state.here?));
        let perhaps = |(client, state): (&ClientNumber, &Client)| {
            let may_be_there = match state.left {
                None => true,
                Some((Farewell::Answered, _)) => false,
                Some((Farewell::Broken, left)) => at.since(left) <= self.stays_max,
            };
            Some((*client, state.entered.filter(|_| may_be_there)?))
        };
        Question {
            at,
            here: self.clients.iter().filter_map(here).collect(),
            perhaps: self.clients.iter().filter_map(perhaps).collect(),
        }
    }

    fn answered(
        &self,
        question: &Question,
        process: u64,
        listed: &BTreeSet<ClientNumber>,
    ) -> Result<(), Violation> {
        for client in listed {
            ensure(question.perhaps.contains(&(*client, process)), Promise::NoGhosts, || {
                let known = self.clients.get(client);
                let at = question.at;
                format!("process {process} listed {client:?} after {at:?}, which is {known:?}")
            })?;
        }
        // Whoever ends sends its clients away before they hear of it.
        let here = question.here.iter().filter(|(_, with)| **with == process);
        for (client, _) in here.filter(|_| !self.ending.contains(&process)) {
            ensure(listed.contains(client), Promise::NothingSilent, || {
                format!("process {process} did not list {client:?} after {:?}", question.at)
            })?;
        }
        Ok(())
    }
}
