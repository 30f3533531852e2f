//! A reader of an event stream of two topics, which shows its last id when it comes back.

use std::io::{ErrorKind, Read as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::Value;
use tidings_sim::history::Subscriber;

use super::follow::Place;
use super::ledger::{Count, Ledger, Stage};
use super::link::Gone;
use super::{RETRY, http, topic_name};
use crate::program::Dice;

/// How long one look for events takes at most.
const LOOK: Duration = Duration::from_millis(20);
/// How long the server has to begin its answer.
const ANSWER: Duration = Duration::from_secs(20);

#[derive(Debug)]
struct Reader<'a> {
    ledger: &'a Ledger,
    port: u16,
    places: [Place<'a>; 2],
    last_id: Option<String>,
    dice: Dice,
}

/// Reads two topics until it has all of both.
pub(crate) fn read(
    ledger: &Ledger,
    port: u16,
    topics: [usize; 2],
    subscriber: Subscriber,
    dice: Dice,
) {
    let places = topics.map(|topic| Place::new(ledger, topic, subscriber));
    let mut reader = Reader { ledger, port, places, last_id: None, dice };
    while !reader.is_done() {
        if reader.run().is_err() {
            std::thread::sleep(RETRY);
        }
    }
}

impl<'a> Reader<'a> {
    fn is_done(&self) -> bool {
        self.places.iter().all(Place::is_done) || self.ledger.is_overdue()
    }

    /// One answer of the server, as long as it lasts.
    fn run(&mut self) -> Result<(), Gone> {
        let topics = self.places.each_ref().map(|place| topic_name(place.topic));
        let path = format!("/v1/stream?topic={}&topic={}&from=first", topics[0], topics[1]);
        let more = self.last_id.as_ref().map(|id| format!("last-event-id: {id}\r\n"));
        let socket = http::send(self.port, "GET", &path, &more.unwrap_or_default())?;
        socket.set_read_timeout(Some(LOOK)).map_err(|_| Gone)?;
        let mut text = Text { socket, bytes: Vec::new() };
        let status = text.head()?;
        if status != 200 {
            assert_eq!(status, 503, "a stream was refused");
            return Err(Gone);
        }
        while !self.is_done() {
            while let Some(event) = text.event() {
                self.got(&event)?;
            }
            text.look()?;
            if self.ledger.stage() == Stage::Trouble && self.dice.below(300) == 0 {
                self.ledger.count(Count::Left, 1);
                return Ok(());
            }
        }
        Ok(())
    }

    fn got(&mut self, event: &str) -> Result<(), Gone> {
        let field = |name: &str| event.lines().find_map(|line| line.strip_prefix(name));
        let data = field("data: ").map_or(Value::Null, |data| serde_json::from_str(data).unwrap());
        match field("event: ") {
            Some("ready") => {
                for (place, state) in self.places.iter_mut().zip(data["topics"].as_array().unwrap())
                {
                    place.goes_on(state);
                }
            }
            Some("message") => {
                self.ledger.count(Count::Streamed, 1);
                self.place(&data).got(&data);
            }
            Some("reset") => self.place(&data).reset(&data),
            Some("goaway") => return Err(Gone),
            // When to come back, or nothing but a sign of life.
            Some(_) | None => {}
        }
        // Only now: whoever breaks off before the end of an event has not had it.
        if let Some(id) = field("id: ") {
            self.last_id = Some(id.to_owned());
        }
        Ok(())
    }

    fn place(&mut self, data: &Value) -> &mut Place<'a> {
        let topic = data["topic"].as_str().unwrap();
        let index = usize::from(topic_name(self.places[0].topic) != topic);
        &mut self.places[index]
    }
}

/// What came and was not read.
#[derive(Debug)]
struct Text {
    socket: TcpStream,
    bytes: Vec<u8>,
}

impl Text {
    /// Reads what there is, if something comes soon.
    fn look(&mut self) -> Result<(), Gone> {
        let mut part = [0; 16 * 1024];
        match self.socket.read(&mut part) {
            Ok(0) => Err(Gone),
            Ok(length) => {
                self.bytes.extend_from_slice(&part[..length]);
                Ok(())
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                Ok(())
            }
            Err(_) => Err(Gone),
        }
    }

    /// The status.
    fn head(&mut self) -> Result<u16, Gone> {
        let until = Instant::now() + ANSWER;
        while Instant::now() < until {
            if let Some((head, rest)) = http::split_head(&self.bytes) {
                let status = http::status(&head);
                self.bytes = rest.to_vec();
                return status.ok_or(Gone);
            }
            self.look()?;
        }
        Err(Gone)
    }

    /// The next whole event.
    fn event(&mut self) -> Option<String> {
        let end = self.bytes.windows(2).position(|window| window == b"\n\n")?;
        let event = self.bytes.drain(..end + 2).collect();
        Some(String::from_utf8(event).expect("a stream is text"))
    }
}
