//! A group in a story: `group` begins, `topic` and `join` add, `append` writes to a log whose
//! messages are fetched at once unless `fetch_by_hand`, and saved at once where something is reserved
//! unless `save_by_hand`. `advance` lets time pass.

use std::collections::BTreeMap;
use std::time::Duration;

use tidings_core::{
    Backoff, CursorState, DeliveryPolicy, Departure, Epoch, GiveUp, Group, GroupEffect, Instant,
    MemberId, Offset, OrderKey, Priority, SettleOutcome, Topic,
};

use crate::story::{Command, Machine, duration, moment, number, range};

#[derive(Debug, Default)]
pub(crate) struct Sharing {
    now: Instant,
    setup: Option<DeliveryPolicy>,
    group: Option<Group>,
    /// The order keys of every message.
    logs: BTreeMap<Topic, Vec<Option<OrderKey>>>,
    fetch_by_hand: bool,
    save_by_hand: bool,
}

impl Machine for Sharing {
    fn run(&mut self, command: &Command, observed: &mut Vec<String>) -> Result<(), String> {
        match command.name() {
            "group" => self.begin(command)?,
            "topic" => self.open(command)?,
            "append" => self.append(command)?,
            "advance" => self.advance(duration(command.word()?)?, observed)?,
            "fetch_by_hand" => self.fetch_by_hand = true,
            "save_by_hand" => self.save_by_hand = true,
            "close" => self.close(command, observed)?,
            "closed" => {
                let topic = topic(command.word()?)?;
                let closed = self.group()?.close_if_idle(&topic);
                observed.push(format!("{} closed {topic}: {closed}", moment(self.now)));
            }
            "give_way" => {
                let (now, most) = (self.now, number(command.word()?)? as usize);
                self.group()?.give_way(now, most);
            }
            "standing" => self.stand(observed)?,
            _ => self.tell(command, observed)?,
        }
        self.take_effects(observed)
    }
}

impl Sharing {
    fn group(&mut self) -> Result<&mut Group, String> {
        self.group.as_mut().ok_or_else(|| "the story begins with `group`".to_owned())
    }

    fn begin(&mut self, command: &Command) -> Result<(), String> {
        let (base, cap) = command
            .value("backoff")
            .unwrap_or("1s..1m")
            .split_once("..")
            .ok_or("a backoff is `base..cap`, such as `1s..1m`")?;
        self.setup = Some(DeliveryPolicy {
            ack_timeout: duration(command.needed("ack_timeout")?)?,
            attempts_max: number(command.needed("attempts_max")?)? as u32,
            backoff: Backoff { base: duration(base)?, cap: duration(cap)? },
        });
        self.group = Some(Group::new(1));
        Ok(())
    }

    fn open(&mut self, command: &Command) -> Result<(), String> {
        let topic = topic(command.word()?)?;
        let policy = self.setup.ok_or("the story begins with `group`")?;
        let cursor = Offset::new(number(command.value("cursor").unwrap_or("1"))?);
        let log = self.logs.entry(topic.clone()).or_default();
        let tail = Offset::new(log.len() as u64);
        let state = CursorState::at(Epoch::new(1), cursor);
        let priority = match command.value("priority") {
            None => Priority::Normal,
            Some(word) => {
                let known = Priority::ALL.into_iter().find(|priority| priority.as_str() == word);
                known.ok_or("a priority is `urgent`, `normal` or `bulk`")?
            }
        };
        self.group()?.topic_opened(&topic, (policy.into(), priority), state, tail);
        Ok(())
    }

    /// Nothing more is delivered of a topic for now.
    fn close(&mut self, command: &Command, observed: &mut Vec<String>) -> Result<(), String> {
        let topic = topic(command.word()?)?;
        let now = moment(self.now);
        let state = self.group()?.closing_state(&topic).ok_or("no such topic")?;
        let attempts: Vec<_> = state.attempts.iter().map(|(o, n)| format!("{o}:{n}")).collect();
        let (next, reserved) = (state.next, state.reserved);
        let attempts = attempts.join(",");
        observed.push(format!("{now} closing next={next} attempts={attempts} reserved={reserved}"));
        Ok(())
    }

    /// `append jobs a b - a`: messages with these keys, `-` for none.
    fn append(&mut self, command: &Command) -> Result<(), String> {
        let topic = topic(command.word()?)?;
        let log = self.logs.entry(topic.clone()).or_default();
        for key in command.words().skip(1) {
            let key = (key != "-").then(|| OrderKey::parse(key)).transpose();
            log.push(key.map_err(|error| error.to_string())?);
        }
        let tail = Offset::new(log.len() as u64);
        self.group()?.tail_advanced(&topic, tail);
        Ok(())
    }

    /// Lets time pass, stopping at each deadline on the way.
    fn advance(&mut self, by: Duration, observed: &mut Vec<String>) -> Result<(), String> {
        let end = self.now + by;
        while let Some(at) = self.group()?.next_deadline().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            let now = self.now;
            self.group()?.deadline_passed(now);
            self.take_effects(observed)?;
        }
        self.now = end;
        Ok(())
    }

    fn leave(&mut self, command: &Command, departure: Departure) -> Result<(), String> {
        self.group()?.member_left(member(command.word()?)?, departure);
        Ok(())
    }

    fn stand(&mut self, observed: &mut Vec<String>) -> Result<(), String> {
        let now = moment(self.now);
        let group = self.group()?;
        for topic in group.topic_standings() {
            observed.push(format!(
                "{now} {}: cursor={} lag={} unacked={} waiting={} attempts={}",
                topic.topic,
                topic.cursor,
                topic.lag,
                topic.unacked,
                topic.waiting,
                topic.attempts_most
            ));
        }
        for member in group.member_standings() {
            let (id, unacked, window) = (member.member.get(), member.unacked, member.window);
            observed.push(format!("{now} member {id}: unacked={unacked} window={window}"));
        }
        Ok(())
    }

    fn tell(&mut self, command: &Command, observed: &mut Vec<String>) -> Result<(), String> {
        let now = self.now;
        match command.name() {
            "join" => {
                let window = number(command.needed("window")?)? as u32;
                self.group()?.member_joined(member(command.word()?)?, window);
                return Ok(());
            }
            "leave" => self.leave(command, Departure::Meant)?,
            "disconnect" => self.leave(command, Departure::Broken)?,
            "pause" => self.group()?.member_paused(member(command.word()?)?),
            "resume_member" => self.group()?.member_resumed(member(command.word()?)?),
            _ => return self.tell_of_message(now, command, observed),
        }
        Ok(())
    }

    /// Something about one message: `acked jobs 3 by=1`.
    fn tell_of_message(
        &mut self,
        now: Instant,
        command: &Command,
        observed: &mut Vec<String>,
    ) -> Result<(), String> {
        let topic = topic(command.word()?)?;
        let words: Vec<_> = command.words().collect();
        let (first, last) = range(words.get(1).ok_or("which message?")?)?;
        let key = self.key_of(&topic, first);
        let by = command.value("by").map(member).transpose()?;
        let group = self.group()?;
        let who = || by.ok_or("`by=` which member?");
        let outcome = match command.name() {
            "acked" => group.acked(who()?, &topic, first),
            "nacked" => {
                let delay = command.value("delay").map(duration).transpose()?;
                group.nacked(now, who()?, &topic, first, delay)
            }
            "refused" => group.refused(who()?, &topic, first),
            "extended" => {
                let more = duration(command.needed("more")?)?;
                group.extended(now, who()?, &topic, first, more)
            }
            name => {
                let again = now + duration(command.value("again").unwrap_or("0s"))?;
                match name {
                    "fetched" => group.fetched(&topic, first, key),
                    "fetch_failed" => group.fetch_failed(&topic, first, again),
                    "not_sent" => group.not_sent(&topic, first, again),
                    "returned" => {
                        group.returned(who()?, &topic, first);
                    }
                    "missing" => group.missing(&topic, first, last),
                    "saved" => group.saved(&topic, first),
                    "dead_lettered" => group.dead_lettered(&topic, first),
                    "dead_letter_failed" => group.dead_letter_failed(now, &topic, first),
                    _ => return Err(command.unknown()),
                }
                return Ok(());
            }
        };
        if outcome == SettleOutcome::Stale {
            observed.push(format!("{} stale", moment(now)));
        }
        Ok(())
    }

    fn key_of(&self, topic: &Topic, offset: Offset) -> Option<OrderKey> {
        let index = offset.get().checked_sub(1)? as usize;
        self.logs.get(topic)?.get(index)?.clone()
    }

    fn take_effects(&mut self, observed: &mut Vec<String>) -> Result<(), String> {
        let now = self.now;
        while let Some(effect) = self.group()?.next_effect(now) {
            let line = match effect {
                GroupEffect::Fetch { topic, offset } if !self.fetch_by_hand => {
                    let key = self.key_of(&topic, offset);
                    self.group()?.fetched(&topic, offset, key);
                    continue;
                }
                GroupEffect::Fetch { topic, offset } => format!("fetch {topic} {offset}"),
                GroupEffect::Deliver { member, topic, offset, attempt } => {
                    let key = self.key_of(&topic, offset);
                    let key = key.map(|key| format!(" key={key}")).unwrap_or_default();
                    let member = member.get();
                    format!("deliver {topic} {offset} to={member} attempt={attempt}{key}")
                }
                GroupEffect::DeadLetter { topic, offset, attempts, reason } => {
                    let reason = match reason {
                        GiveUp::TimedOut => "timed_out",
                        GiveUp::ConnectionEnded => "connection_ended",
                        GiveUp::Nacked => "nacked",
                        GiveUp::Asked => "asked",
                    };
                    format!("dead_letter {topic} {offset} attempts={attempts} reason={reason}")
                }
                GroupEffect::SaveCursor { topic } => {
                    let cursor = self.group()?.cursor(&topic).unwrap_or_default();
                    format!("save_cursor {topic} next={cursor}")
                }
                GroupEffect::Rest { topic } => format!("rest {topic}"),
                GroupEffect::Reserve { topic } => {
                    let reserved = self.group()?.state(&topic).map(|state| state.reserved);
                    let reserved = reserved.unwrap_or_default();
                    if !self.save_by_hand {
                        self.group()?.saved(&topic, reserved);
                        continue;
                    }
                    format!("reserve {topic} through={reserved}")
                }
            };
            observed.push(format!("{} {line}", moment(now)));
        }
        Ok(())
    }
}

fn topic(text: &str) -> Result<Topic, String> {
    Topic::parse(text).map_err(|error| error.to_string())
}

fn member(text: &str) -> Result<MemberId, String> {
    number(text).map(MemberId::new)
}
