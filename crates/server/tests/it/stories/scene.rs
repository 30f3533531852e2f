//! Where a story takes place: a server, and those who take part.

use std::collections::BTreeMap;
use std::sync::PoisonError;
use std::time::{Duration, Instant};

use serde_json::json;
use tidings_server::{Config, Engine, RunningServer, Server};

use super::actor::{Actor, Request};
use super::names::Names;
use super::script::duration;
use crate::auth::{closed, now, token};
use crate::peer;

/// Longest wait for what a story expects; only a failing one waits that long.
const PATIENCE: Duration = Duration::from_secs(10);

/// Nothing has happened for so long: what is expected is all there was.
const QUIET: Duration = Duration::from_millis(700);

/// What comes too much is told at the latest so long after the last block.
const AFTERWARDS: Duration = Duration::from_millis(100);

#[derive(Default)]
pub(super) struct Scene {
    /// Lines of TOML: of the server, and of its topics.
    settings: Vec<String>,
    topics: Vec<String>,
    directory: Option<tempfile::TempDir>,
    server: Option<RunningServer>,
    names: Names,
    actors: Vec<Actor>,
}

impl Scene {
    /// Does what a line says.
    pub(super) async fn act(&mut self, line: &str) -> Result<(), String> {
        if self.names.is_empty() {
            self.names.call("half-a-minute-ago", ((now() - 30) * 1000).to_string());
            self.names.call("soon", ((now() + 600) * 1000).to_string());
        }
        let (first, rest) = line.split_once(' ').unwrap_or((line, ""));
        match first {
            "server" => {
                let is_disk = |word: &&str| *word == "disk";
                if rest.split(' ').any(|word| is_disk(&word)) {
                    self.directory = Some(tempfile::tempdir().unwrap());
                }
                let words = rest.split(' ').filter(|word| !is_disk(word));
                self.settings.extend(words.map(str::to_owned));
                Ok(())
            }
            "topic" => {
                self.topics.push("[[topic]]".to_owned());
                self.topics.extend(rest.split(' ').map(str::to_owned));
                Ok(())
            }
            "token" => self.make_token(rest),
            "…" => {
                let time = rest.strip_suffix(" later").unwrap_or(rest);
                tokio::time::sleep(duration(time)?).await;
                Ok(())
            }
            "restart" => {
                self.start().await?;
                let server = self.server.take().expect("it was started");
                server.shutdown().await;
                self.start().await
            }
            name => {
                self.start().await?;
                let rest = self.names.to_things(rest)?;
                self.take_part(name, &rest).await.map_err(|error| match error {
                    Some(error) => error,
                    None => format!("`{line}`: unknown; tests/it/stories.rs lists what there is"),
                })
            }
        }
    }

    /// Does what one of those who take part does; the error is `None` if that is nothing known.
    async fn take_part(&mut self, name: &str, what: &str) -> Result<(), Option<String>> {
        let server = self.server.as_ref().expect("it was started");
        let public = server.public_addr();
        let address = if name == "operator" { server.operator_addr() } else { public };
        let place = self.actors.iter().position(|actor| actor.name == name);
        let place = place.unwrap_or_else(|| {
            self.actors.push(Actor::new(name));
            self.actors.len() - 1
        });
        let actor = &mut self.actors[place];
        match what.split_once(' ').unwrap_or((what, "")) {
            ("opens", "") => actor.open(public).await,
            ("->", frame) => actor.send(frame).await?,
            ("closes", "") => actor.close().await?,
            ("drops", "") => actor.drop_connection(),
            ("asks", asked) => actor.ask(address, request(asked)?).await,
            ("waits", asked) => {
                actor.wait_for(address, request(asked)?);
                // It is to wait before what comes next.
                tokio::time::sleep(AFTERWARDS).await;
            }
            ("streams", query) => {
                let (query, after) = match query.split_once(" after ") {
                    Some((query, after)) => (query, Some(after.to_owned())),
                    None => (query, None),
                };
                actor.stream(public, query.to_owned(), after);
            }
            _ => return Err(None),
        }
        Ok(())
    }

    /// What was seen since the last time, in the order of those who see it. Where it is known what
    /// should be, that is waited for; otherwise, until nothing more comes.
    pub(super) async fn watch(
        &mut self,
        expected: Option<&[String]>,
        is_last: bool,
    ) -> Vec<String> {
        match expected {
            Some(expected) => self.wait_for(expected).await,
            None => self.wait_for_quiet().await,
        }
        if is_last {
            tokio::time::sleep(AFTERWARDS).await;
        }
        let mut lines = Vec::new();
        for actor in &self.actors {
            let seen =
                std::mem::take(&mut *actor.seen.lock().unwrap_or_else(PoisonError::into_inner));
            for line in seen.iter().filter(|line| !line.contains("{\"ping\":{}}")) {
                if let Some(place) = line.split(' ').find_map(|word| word.strip_prefix("id=")) {
                    self.names.give("place", place);
                }
                lines.push(format!("{} {}", actor.name, self.names.named(line)));
            }
        }
        lines
    }

    async fn wait_for(&self, expected: &[String]) {
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for line in expected {
            *counts.entry(line.split(' ').next().unwrap_or("")).or_default() += 1;
        }
        let begun = Instant::now();
        let is_there = |actor: &Actor| {
            let seen = actor.seen.lock().unwrap_or_else(PoisonError::into_inner).len();
            seen >= counts.get(actor.name.as_str()).copied().unwrap_or(0)
        };
        while !self.actors.iter().all(is_there) && begun.elapsed() < PATIENCE {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    async fn wait_for_quiet(&self) {
        let count = || -> usize {
            let lens = self
                .actors
                .iter()
                .map(|actor| actor.seen.lock().unwrap_or_else(PoisonError::into_inner).len());
            lens.sum()
        };
        let (mut last, mut since) = (count(), Instant::now());
        while since.elapsed() < QUIET {
            tokio::time::sleep(Duration::from_millis(10)).await;
            if count() != last {
                (last, since) = (count(), Instant::now());
            }
        }
    }

    /// `NAME USER issued=AGE caps=FILTER:OPS…`
    fn make_token(&mut self, words: &str) -> Result<(), String> {
        let mut words = words.split(' ');
        let name = words.next().ok_or("a token has a name")?;
        let user = words.next().ok_or("a token has a user")?;
        let mut claims = json!({"sub": user, "exp": now() + 600});
        let mut caps = Vec::new();
        for word in words {
            match word.split_once('=') {
                Some(("issued", age)) => claims["iat"] = json!(now() - duration(age)?.as_secs()),
                Some(("expires", time)) => claims["exp"] = json!(now() + duration(time)?.as_secs()),
                Some(("caps", cap)) => {
                    let (filter, ops) = cap.split_once(':').ok_or("`caps=` wants FILTER:OPS")?;
                    let ops: Vec<&str> = ops.split(',').collect();
                    caps.push(json!({"match": filter, "ops": ops}));
                }
                Some(_) | None => return Err(format!("`{word}`: unknown of a token")),
            }
        }
        if !caps.is_empty() {
            claims["caps"] = json!(caps);
        }
        self.names.call(name, token(claims));
        Ok(())
    }

    /// Starts the server, if it does not run.
    async fn start(&mut self) -> Result<(), String> {
        if self.server.is_some() {
            return Ok(());
        }
        let text = [self.settings.join("\n"), self.topics.join("\n")].join("\n");
        let mut config: Config =
            toml::from_str(&text).map_err(|error| format!("the configuration: {error}"))?;
        let basic = peer::config();
        let is_open = self.settings.iter().any(|setting| setting == "auth.open=true");
        config.auth = if is_open { basic.auth } else { closed().auth };
        config.server = basic.server;
        let engine = match &self.directory {
            Some(directory) => {
                config.storage.directory = directory.path().to_owned();
                Engine::Embedded
            }
            None => Engine::Memory,
        };
        let started = Server::builder(config).engine(engine).start().await;
        self.server = Some(started.map_err(|error| format!("the server: {error}"))?);
        Ok(())
    }

    pub(super) async fn end(self) {
        let Self { server, actors, .. } = self;
        drop(actors);
        if let Some(server) = server {
            server.shutdown().await;
        }
    }
}

/// `METHOD PATH [BODY] [as TOKEN]`
fn request(asked: &str) -> Result<Request, String> {
    let (asked, token) = match asked.split_once(" as ") {
        Some((asked, token)) => (asked, Some(token.to_owned())),
        None => (asked, None),
    };
    let mut words = asked.splitn(3, ' ');
    let (Some(method), Some(path)) = (words.next(), words.next()) else {
        return Err("a request has a method and a path".to_owned());
    };
    let body = words.next().unwrap_or("").to_owned();
    Ok(Request { method: method.to_owned(), path: path.to_owned(), body, token })
}
