//! Stories of a connection: who has to say something by when.

use std::time::Duration;

use tidings_core::{
    CloseCode, Connection, ConnectionEffect, ConnectionSettings, ConnectionState, Instant,
    Timestamp,
};

use crate::story::{Command, Machine, duration, moment};

/// Where the wall clock stands when a story begins.
const WALL_START: Timestamp = Timestamp::from_ms(1_000_000_000_000);

#[derive(Debug)]
pub(crate) struct Life {
    now: Instant,
    wall: Timestamp,
    settings: ConnectionSettings,
    connection: Option<Connection>,
}

impl Default for Life {
    fn default() -> Self {
        let settings = ConnectionSettings::default();
        Self { now: Instant::ORIGIN, wall: WALL_START, settings, connection: None }
    }
}

impl Machine for Life {
    fn run(&mut self, command: &Command, observed: &mut Vec<String>) -> Result<(), String> {
        let now = self.now;
        match command.name() {
            "accept" => {
                self.settings = ConnectionSettings {
                    handshake_timeout: duration(command.needed("handshake")?)?,
                    ping_interval: duration(command.needed("ping")?)?,
                    pong_timeout: duration(command.needed("pong")?)?,
                };
                self.connection = Some(Connection::accepted(&self.settings, now));
            }
            "authenticated" => {
                let expires = command.value("token_expires_in").map(duration).transpose()?;
                let expires = expires.map(|expires| self.wall.plus(expires));
                self.connection()?.authenticated(now, expires);
            }
            "heard" => self.connection()?.heard(now),
            "advance" => self.advance(duration(command.word()?)?, observed)?,
            "wall_clock_jumps" => self.wall = self.wall.plus(duration(command.word()?)?),
            "close" => {
                let word = command.word()?;
                let code = CloseCode::ALL.into_iter().find(|code| code.as_str() == word);
                let code = code.ok_or_else(|| format!("`{word}` is no close code"))?;
                let effect = self.connection()?.close(code);
                observed.push(written(now, effect));
            }
            "state" => observed.push(self.state()?),
            _ => return Err(command.unknown()),
        }
        Ok(())
    }
}

impl Life {
    fn connection(&mut self) -> Result<&mut Connection, String> {
        self.connection.as_mut().ok_or_else(|| "the story begins with `accept`".to_owned())
    }

    /// Lets both clocks pass, stopping at each deadline on the way.
    fn advance(&mut self, by: Duration, observed: &mut Vec<String>) -> Result<(), String> {
        let end = self.now + by;
        loop {
            let (settings, now, wall) = (self.settings, self.now, self.wall);
            let connection = self.connection()?;
            let due = connection.next_deadline(&settings, now, wall).filter(|at| *at <= end);
            let at = due.unwrap_or(end).max(now);
            self.wall = wall.plus(at.since(now));
            self.now = at;
            if due.is_none() {
                return Ok(());
            }
            let wall = self.wall;
            if let Some(effect) = self.connection()?.deadline_passed(&settings, at, wall) {
                observed.push(written(at, effect));
            }
        }
    }

    fn state(&mut self) -> Result<String, String> {
        let now = moment(self.now);
        Ok(match self.connection()?.state() {
            ConnectionState::AwaitingConnect { due } => {
                format!("{now} awaiting_connect due {}", moment(due))
            }
            ConnectionState::Active { heard } => format!("{now} active heard {}", moment(heard)),
            ConnectionState::AwaitingPong { due } => {
                format!("{now} awaiting_pong due {}", moment(due))
            }
            ConnectionState::Closed => format!("{now} closed"),
        })
    }
}

fn written(now: Instant, effect: ConnectionEffect) -> String {
    match effect {
        ConnectionEffect::Ping => format!("{} ping", moment(now)),
        ConnectionEffect::Close(code) => {
            format!("{} close {} {}", moment(now), code.code(), code.as_str())
        }
    }
}
