//! Stories of presence: who is on a topic, and what those who watch are told.

use std::collections::BTreeMap;

use tidings_core::{
    Admission, Announcement, Departure, Instant, Member, News, Presence, PresenceSettings, Present,
    Timestamp, Topic,
};

use crate::story::{Command, Machine, duration, moment, number};

#[derive(Debug, Default)]
pub(crate) struct Attendance {
    now: Instant,
    presence: Option<Presence>,
    /// How each connection is counted, by the name the story gives it.
    connections: BTreeMap<String, (Topic, Member, Admission)>,
}

impl Machine for Attendance {
    fn run(&mut self, command: &Command, observed: &mut Vec<String>) -> Result<(), String> {
        match command.name() {
            "keep" => {
                self.presence = Some(Presence::new(PresenceSettings {
                    grace: duration(command.needed("grace")?)?,
                    members_per_topic_max: number(command.needed("per_topic")?)? as usize,
                    members_max: number(command.needed("in_all")?)? as usize,
                }));
            }
            "join" => self.join(command, observed)?,
            "leave" => self.leave(command, Departure::Meant)?,
            "break" => self.leave(command, Departure::Broken)?,
            "watch" => self.presence()?.watched(&topic(command)?),
            "unwatch" => self.presence()?.unwatched(&topic(command)?),
            "list" => {
                let limit = command.value("limit").map_or(Ok(1000), number)? as usize;
                let list = self.presence()?.present(&topic(command)?, limit);
                let mut line = format!("{} of {}:", list.members.len(), list.total);
                for present in &list.members {
                    line += &format!(" {}", shown(present));
                }
                observed.push(line);
            }
            "advance" => {
                let end = self.now + duration(command.word()?)?;
                while let Some(at) = self.presence()?.next_deadline().filter(|at| *at <= end) {
                    self.now = self.now.max(at);
                    let now = self.now;
                    for announcement in self.presence()?.deadline_passed(now, 100) {
                        observed.push(told(now, &announcement));
                    }
                }
                self.now = end;
            }
            _ => return Err(command.unknown()),
        }
        Ok(())
    }
}

impl Attendance {
    fn presence(&mut self) -> Result<&mut Presence, String> {
        self.presence.as_mut().ok_or_else(|| "the story begins with `keep`".to_owned())
    }

    /// `join NAME/CLIENT topic=… as=…`: `as` names the connection, `NAME/CLIENT` unless given.
    fn join(&mut self, command: &Command, observed: &mut Vec<String>) -> Result<(), String> {
        let name = command.word()?.to_owned();
        let (user, client) = name.split_once('/').ok_or("a member is USER/CLIENT")?;
        let member = Member {
            user: user.parse().map_err(|error| format!("{error}"))?,
            client: client.parse().map_err(|error| format!("{error}"))?,
        };
        let topic = command.value("topic").unwrap_or("room");
        let topic = Topic::parse(topic).map_err(|error| error.to_string())?;
        let (now, wall) = (self.now, Timestamp::from_ms(self.now.as_ms()));
        let admission = self.presence()?.joined(now, wall, &topic, &member);
        match admission {
            Admission::Listed => {}
            Admission::Unlisted => observed.push(format!("{} {name} unlisted", moment(now))),
        }
        let connection = command.value("as").unwrap_or(&name).to_owned();
        self.connections.insert(connection, (topic, member, admission));
        Ok(())
    }

    fn leave(&mut self, command: &Command, departure: Departure) -> Result<(), String> {
        let name = command.word()?;
        let left = self.connections.remove(name);
        let (topic, member, admission) = left.ok_or_else(|| format!("`{name}` is not there"))?;
        let now = self.now;
        self.presence()?.left(now, &topic, &member, admission, departure);
        Ok(())
    }
}

fn topic(command: &Command) -> Result<Topic, String> {
    Topic::parse(command.value("topic").unwrap_or("room")).map_err(|error| error.to_string())
}

fn told(now: Instant, announcement: &Announcement) -> String {
    let mut line = format!("{} tell {}", moment(now), announcement.topic);
    match &announcement.news {
        News::Changes { joined, left } => {
            for present in joined {
                line += &format!(" +{}", shown(present));
            }
            for present in left {
                line += &format!(" -{}", shown(present));
            }
        }
        News::TooMany => line += " too many",
    }
    line
}

fn shown(present: &Present) -> String {
    let Present { member, since } = present;
    format!("{}/{}({})", member.user, member.client, moment(Instant::from_ms(since.as_ms())))
}
