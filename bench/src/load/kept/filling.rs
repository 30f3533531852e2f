//! Makes what a server is to keep: many requests on their way at once, on a few connections.

use std::time::Duration;

use anyhow::{Context as _, bail};
use serde_json::Value;

use crate::load::crowd::{Crowd, Identity, Members, Traffic};
use crate::load::kept::{Kept, KeptOptions};
use crate::load::meter::{Cost, Meter, wait_for_calm};
use crate::load::token::Signer;
use crate::websocket::{self, Opcode};
use crate::wire::{self, PublishForm, Stamp, Stamps};

/// Connections that publish.
const CONNECTIONS: u32 = 16;
/// Cursors of one user, with tokens, and of one connection: within what servers allow by default. A few
/// users with very many would be another measurement.
const CURSORS_EACH: u32 = 250;
/// On their way at once, of all connections together. A connection may not have as many subscriptions.
const IN_FLIGHT: u32 = 1024;
/// Connections that are being made at once.
const AT_ONCE: usize = 256;
/// How long no answer may come.
const PATIENCE: Duration = Duration::from_secs(20);
/// Requests 1 and 2 are the greeting's.
const FIRST_ID: u32 = 3;
/// How often a long filling says how far it has come.
const TOLD_EVERY: u32 = 100_000;

/// Makes numbers `from` to `until` (without it) of what is to be kept, and says what that cost until
/// the server was done with it.
pub(super) fn fill(options: &KeptOptions, from: u32, until: u32) -> anyhow::Result<Cost> {
    let signer = options.secret_file.as_deref().map(Signer::read).transpose()?;
    let connections = connections(options.what, until - from);
    let identity = |connection| Identity {
        token: signer.as_ref().map_or_else(
            || options.server.token.clone(),
            |signer| {
                let user = format!("bench-kept-{from}-{connection}");
                Some(signer.token(&user, &format!("{}/#", options.topic)))
            },
        ),
        ..Identity::default()
    };
    let members = Members {
        publishers: connections as usize,
        groups: Vec::new(),
        token: None,
        identities: (0..connections).map(identity).collect(),
    };
    let mut crowd = Crowd::open(&options.server, members, AT_ONCE)?;
    let meter = Meter::start(options.server.server_pid)?;
    let mut filling = Filling::new(options, from, until, crowd.now());
    while filling.made < until - from {
        let wait = if filling.to_start.is_some() { 0 } else { 10 };
        crowd.turn(Duration::from_millis(wait), &mut filling)?;
        if crowd.now() > filling.progress + PATIENCE {
            let name = options.what.name();
            bail!("no answer for {PATIENCE:?}, {} {name} were made until then", filling.made);
        }
    }
    wait_for_calm(options.server.server_pid)?;
    meter.stop()
}

/// How many connections make so many.
const fn connections(what: Kept, many: u32) -> u32 {
    match what {
        Kept::Topics => CONNECTIONS,
        Kept::Cursors => many.div_ceil(CURSORS_EACH),
    }
}

/// What is being made. The `step`-th of a connection is number `from + step × connections +
/// connection`, and its requests have the next ids in order; so an answer says by itself what it
/// is for. An answer to the last request of one begins the one that is `in_flight` steps further.
#[derive(Debug)]
struct Filling {
    what: Kept,
    topic: String,
    from: u32,
    until: u32,
    connections: u32,
    /// Of each connection.
    in_flight: u32,
    /// The next of the first ones to begin without an answer; `None` when all have begun.
    to_start: Option<u32>,
    made: u32,
    stamps: Stamps,
    line: Vec<u8>,
    progress: Duration,
}

impl Filling {
    fn new(options: &KeptOptions, from: u32, until: u32, now: Duration) -> Self {
        let connections = connections(options.what, until - from);
        Self {
            connections,
            in_flight: (IN_FLIGHT / connections).clamp(1, 64),
            what: options.what,
            topic: options.topic.clone(),
            from,
            until,
            to_start: Some(0),
            made: 0,
            stamps: Stamps::of_this_run(),
            line: Vec::new(),
            progress: now,
        }
    }

    const fn requests_each(&self) -> u32 {
        match self.what {
            Kept::Topics => 1,
            Kept::Cursors => 2,
        }
    }

    /// The topic of what a connection makes in this step, if there is still one to make.
    fn topic(&self, connection: u32, step: u32) -> Option<String> {
        let number = self.from + step * self.connections + connection;
        (number < self.until).then(|| format!("{}/kept/{number}", self.topic))
    }

    /// Appends the first request of a step. Says whether there was one.
    fn begin(&mut self, now: Duration, connection: u32, step: u32, out: &mut Vec<u8>) -> bool {
        let Some(topic) = self.topic(connection, step) else { return false };
        let id = FIRST_ID + step * self.requests_each();
        self.line.clear();
        match self.what {
            Kept::Topics => {
                let stamp = Stamp { sequence: step, sent: now };
                PublishForm::new(&topic).put(&mut self.line, id, &self.stamps, stamp);
            }
            Kept::Cursors => {
                let subscribe = wire::subscribe(id, &topic, wire::Start::Durable("bench-kept"));
                self.line.extend_from_slice(subscribe.as_bytes());
            }
        }
        websocket::put_masked_frame(out, Opcode::Text, &self.line);
        true
    }
}

impl Traffic for Filling {
    fn frame(
        &mut self,
        now: Duration,
        from: usize,
        frame: &[u8],
        out: &mut Vec<u8>,
    ) -> anyhow::Result<()> {
        let connection = u32::try_from(from).expect("there are a few connections");
        let (id, word) = read(frame)?;
        let Some(place) = id.checked_sub(FIRST_ID) else { bail!("request {id} was never sent") };
        let (step, request) = (place / self.requests_each(), place % self.requests_each());
        let Some(topic) = self.topic(connection, step) else {
            bail!("request {id} was never sent")
        };
        self.progress = now;
        match (self.what, request, word.as_str()) {
            (Kept::Topics, 0, "published") | (Kept::Cursors, 1, "unsubscribed") => {
                self.made += 1;
                if self.made.is_multiple_of(TOLD_EVERY) {
                    let (made, name) = (self.from + self.made, self.what.name());
                    eprintln!("{made} {name} of {} are made", self.until);
                }
                self.begin(now, connection, step + self.in_flight, out);
            }
            (Kept::Cursors, 0, "subscribed") => {
                // A cursor stays when its subscription goes, and a connection has room for few.
                let unsubscribe = wire::unsubscribe(id + 1, &topic);
                websocket::put_masked_frame(out, Opcode::Text, unsubscribe.as_bytes());
            }
            _ => bail!("request {id} was answered by `{word}`"),
        }
        Ok(())
    }

    fn due(&mut self, now: Duration, out: &mut Vec<u8>) -> anyhow::Result<Option<usize>> {
        while let Some(start) = self.to_start {
            self.to_start = (start + 1 < self.connections * self.in_flight).then_some(start + 1);
            let (connection, step) = (start % self.connections, start / self.connections);
            if self.begin(now, connection, step, out) {
                return Ok(Some(connection as usize));
            }
        }
        Ok(None)
    }
}

/// The id of an answer, and its word.
fn read(frame: &[u8]) -> anyhow::Result<(u32, String)> {
    let whole = || String::from_utf8_lossy(frame);
    let value: Value = serde_json::from_slice(frame)
        .with_context(|| format!("the answer {} is not JSON", whole()))?;
    if let Some(error) = value.get("error") {
        bail!("the server refused to keep more: {error}");
    }
    let id = value["id"].as_u64().and_then(|id| u32::try_from(id).ok());
    let words = value.as_object().into_iter().flat_map(|fields| fields.keys());
    let word = words.into_iter().find(|name| *name != "id").cloned();
    id.zip(word).with_context(|| format!("the answer {} is to nothing", whole()))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::load::ServerOptions;

    fn filling(what: Kept, from: u32, until: u32) -> Filling {
        let url = "ws://127.0.0.1:1".parse().expect("a url");
        let options = KeptOptions {
            server: ServerOptions { url, token: None, certificate: None, server_pid: None },
            what,
            sizes: "1,2,3".parse().expect("three sizes"),
            secret_file: None,
            pairs: 1,
            rate: 1.0,
            seconds: 1.0,
            warmup: 0.0,
            topic: "t".to_owned(),
        };
        Filling::new(&options, from, until, Duration::ZERO)
    }

    /// Takes the frames a client sends out of `bytes`.
    fn sent(bytes: &mut Vec<u8>) -> Vec<Value> {
        let mut frames = Vec::new();
        while let Some(frame) = websocket::next_frame(bytes).expect("valid frames") {
            let payload = &mut bytes[frame.payload.clone()];
            websocket::apply_mask(payload, frame.mask.expect("clients mask"));
            frames.push(serde_json::from_slice(payload).expect("frames are JSON"));
            bytes.drain(..frame.payload.end);
        }
        frames
    }

    /// Answers all requests as a server does; returns the topics, in order of what made them.
    fn make_all(filling: &mut Filling) -> Vec<String> {
        let (mut out, mut topics, mut open) = (Vec::new(), Vec::new(), Vec::new());
        let now = Duration::ZERO;
        while let Some(from) = filling.due(now, &mut out).expect("nothing can fail") {
            open.extend(sent(&mut out).into_iter().map(|frame| (from, frame)));
        }
        while let Some((from, request)) = open.pop() {
            let (word, topic) = if let Some(publish) = request.get("publish") {
                ("published", Some(&publish["topic"]))
            } else if request.get("subscribe").is_some() {
                ("subscribed", None)
            } else {
                ("unsubscribed", Some(&request["unsubscribe"]["sub"]))
            };
            topics.extend(topic.map(|topic| topic.as_str().expect("a topic").to_owned()));
            let answer = format!("{{\"id\":{},\"{word}\":{{}}}}", request["id"]);
            filling.frame(now, from, answer.as_bytes(), &mut out).expect("an answer");
            open.extend(sent(&mut out).into_iter().map(|frame| (from, frame)));
            assert!(open.len() <= IN_FLIGHT as usize);
        }
        topics
    }

    #[test]
    fn each_is_made_once_whatever_the_size() {
        for what in [Kept::Topics, Kept::Cursors] {
            for (from, until) in [(0, 1), (7, 24), (1000, 6001), (0, 70_000)] {
                let mut filling = filling(what, from, until);
                let topics = make_all(&mut filling);
                assert_eq!((filling.made, topics.len()), (until - from, (until - from) as usize));
                let expected = (from..until).map(|number| format!("t/kept/{number}"));
                let topics: BTreeSet<String> = topics.into_iter().collect();
                assert_eq!(topics, expected.collect());
            }
        }
    }

    #[test]
    fn a_refusal_and_an_answer_to_nothing_end_the_filling() {
        for (answer, told) in [
            (r#"{"id":3,"error":{"code":"too_many_cursors"}}"#, "too_many_cursors"),
            (r#"{"id":4,"published":{}}"#, "never sent"),
            (r#"{"id":3,"subscribed":{}}"#, "answered by `subscribed`"),
            (r#"{"goaway":{}}"#, "to nothing"),
        ] {
            let mut filling = filling(Kept::Topics, 0, 1);
            let outcome = filling.frame(Duration::ZERO, 0, answer.as_bytes(), &mut Vec::new());
            let error = outcome.expect_err(answer).to_string();
            assert!(error.contains(told), "{error}");
        }
    }
}
