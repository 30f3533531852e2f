//! Stories of messages for later. `schedule N at=TIME` puts message N on the schedule, as the log
//! tells of it; `due TIME` is the clock; `published` and `failed` are what came of it.

use std::time::Duration;

use tidings_core::{MessageId, Offset, Schedule, ScheduledMessage, Timestamp, Topic, UserId};

use crate::story::{Command, Machine, duration, number};

#[derive(Debug, Default)]
pub(crate) struct Later {
    schedule: Schedule,
    /// What was given out: due, or cancelled.
    out: Vec<ScheduledMessage>,
}

impl Machine for Later {
    fn run(&mut self, command: &Command, observed: &mut Vec<String>) -> Result<(), String> {
        match command.name() {
            "calendar" => return Ok(()),
            "schedule" => {
                let at = time(command.needed("at")?)?;
                let user = command.value("by").unwrap_or("alice");
                self.schedule.add(message(number(command.word()?)?, at, user)?);
            }
            "due" => {
                let now = time(command.word()?)?;
                let most = command.value("most").map_or(Ok(100), number)? as usize;
                let due = self.schedule.take_due(now, most);
                let names: Vec<_> = due.iter().map(|s| s.offset.to_string()).collect();
                observed.push(format!("publish [{}]", names.join(" ")));
                self.out.extend(due);
            }
            "cancel" => {
                let name = number(command.word()?)?;
                observed.push(match self.schedule.cancel(MessageId::new(0, 0, name)) {
                    Ok(cancelled) => {
                        self.out.push(cancelled);
                        format!("remove {name}")
                    }
                    Err(error) => format!("refused: {error}"),
                });
            }
            "published" => {
                let done = self.given(command)?;
                self.schedule.done(&done);
            }
            "removed" => {
                let cancelled = self.given(command)?;
                self.schedule.cancelled(&cancelled);
            }
            "failed" => {
                let failed = self.given(command)?;
                self.schedule.put_back(failed);
            }
            _ => return Err(command.unknown()),
        }
        if let Some(next) = self.schedule.next_due() {
            observed.push(format!("  next at {:?}", Duration::from_millis(next.as_ms())));
        } else {
            observed.push(format!("  {} out, none waits", self.schedule.len()));
        }
        Ok(())
    }
}

impl Later {
    fn given(&mut self, command: &Command) -> Result<ScheduledMessage, String> {
        let name = Offset::new(number(command.word()?)?);
        let at = self.out.iter().position(|given| given.offset == name);
        Ok(self.out.remove(at.ok_or("that message was not given out")?))
    }
}

fn time(text: &str) -> Result<Timestamp, String> {
    Ok(Timestamp::from_ms(duration(text)?.as_millis() as u64))
}

fn message(name: u64, deliver_at: Timestamp, user: &str) -> Result<ScheduledMessage, String> {
    Ok(ScheduledMessage {
        deliver_at,
        offset: Offset::new(name),
        id: MessageId::new(0, 0, name),
        topic: Topic::parse("reminders").map_err(|error| error.to_string())?,
        user: Some(UserId::parse(user).map_err(|error| error.to_string())?),
    })
}
