//! The adapter of the conformance suite (`sdk/conformance`): does what it is told on standard input,
//! and tells on standard output what the SDK tells, one JSON object a line.
//!
//! ```text
//! sdk/conformance/run rust
//! ```

mod asked;
mod told;

use std::collections::BTreeMap;
use std::io::{BufRead, Write};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, bail, ensure};
use serde_json::{Value, json};
use tidings_client::{
    Client, ClientId, CloseError, Delivery, HistoryError, HistoryFrom, HistoryRequest,
    PresenceError, Subscription, Topic,
};
use tokio::sync::mpsc;

use crate::asked::{duration, position, publish_request, subscribe_request, text};
use crate::told::{
    members, publish_code, subscribe_code, tell_event, tell_states, told_data, told_outcome,
};

/// Commands that wait: a scenario asks for the answers of most before it goes on.
const COMMANDS_MAX: usize = 1024;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let can = "durable shared presence history nack refresh filters bytes scheduled http_status";
    let can: Vec<_> = can.split(' ').collect();
    let sdk = concat!("Rust ", env!("CARGO_PKG_VERSION"));
    tell(&json!({"event": "hello", "sdk": sdk, "can": can}));
    let mut commands = lines_of_input();
    let mut adapter = Adapter::default();
    while let Some(line) = commands.recv().await {
        let command: Value = serde_json::from_str(&line).context("a command is no JSON")?;
        let id = command["id"].clone();
        if let Err(error) = adapter.take(&id, &command).await {
            refuse(&id, "bad_command", &format!("{error:#}"));
        }
    }
    Ok(())
}

/// Standard input, read on a thread of its own: it blocks.
fn lines_of_input() -> mpsc::Receiver<String> {
    let (lines, commands) = mpsc::channel(COMMANDS_MAX);
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines() {
            let Ok(line) = line else { break };
            if lines.blocking_send(line).is_err() {
                break;
            }
        }
    });
    commands
}

/// Writes one line; whoever reads them has gone if that fails, and with that the input ends.
pub(crate) fn tell(value: &Value) {
    let mut output = std::io::stdout().lock();
    let _ = writeln!(output, "{value}").and_then(|()| output.flush());
}

fn answer(id: &Value, ok: &Value) {
    tell(&json!({"id": id, "ok": ok}));
}

fn refuse(id: &Value, code: &str, message: &str) {
    tell(&json!({"id": id, "error": {"code": code, "message": message}}));
}

/// The one client, and its subscriptions by topic or filter.
#[derive(Default)]
struct Adapter {
    client: Option<Client>,
    token: Arc<Mutex<String>>,
    subscriptions: Arc<Mutex<BTreeMap<String, mpsc::Sender<Value>>>>,
}

impl Adapter {
    async fn take(&mut self, id: &Value, command: &Value) -> anyhow::Result<()> {
        match text(command, "do")? {
            "open" => self.open(id, command),
            "set_token" => {
                text(command, "token")?.clone_into(&mut lock(&self.token));
                answer(id, &json!({}));
                Ok(())
            }
            "publish" => self.publish(id, command).await,
            "subscribe" => self.subscribe(id, command),
            "history" => self.history(id, command),
            "presence" => self.presence(id, command),
            "close" => self.close(id),
            "ack" | "nack" | "give_up" | "extend" | "pause" | "resume" | "unsubscribe" => {
                let subscription = lock(&self.subscriptions).get(text(command, "sub")?).cloned();
                let subscription = subscription.context("there is no such subscription")?;
                subscription.send(command.clone()).await.context("the subscription has ended")
            }
            other => bail!("this adapter cannot `{other}`"),
        }
    }

    fn client(&self) -> anyhow::Result<Client> {
        self.client.clone().context("it is not open: `open` comes first, `close` last")
    }

    fn open(&mut self, id: &Value, command: &Value) -> anyhow::Result<()> {
        ensure!(self.client.is_none(), "it is open already");
        let mut builder = Client::builder(text(command, "url")?);
        if let Some(name) = command["client"].as_str() {
            builder = builder.client_id(ClientId::parse(name)?);
        }
        if let Some(token) = command["token"].as_str() {
            token.clone_into(&mut lock(&self.token));
            builder = match command["asks"] == true {
                true => builder.token_source(self.token_source()),
                false => builder.token(token),
            };
        }
        let backoff = &command["backoff"];
        builder = builder.backoff(duration(backoff, "base_ms")?, duration(backoff, "max_ms")?);
        if command["connect_timeout_ms"].is_u64() {
            builder = builder.connect_timeout(duration(command, "connect_timeout_ms")?);
        }
        let client = builder.build()?;
        tokio::spawn(tell_states(client.state()));
        self.client = Some(client);
        answer(id, &json!({}));
        Ok(())
    }

    /// Gives the token that was set last, and says that it was asked.
    fn token_source(
        &self,
    ) -> impl Fn() -> std::future::Ready<Result<String, std::io::Error>> + Send + Sync + 'static
    {
        let token = Arc::clone(&self.token);
        move || {
            tell(&json!({"event": "token_asked"}));
            std::future::ready(Ok(lock(&token).clone()))
        }
    }

    async fn publish(&self, id: &Value, command: &Value) -> anyhow::Result<()> {
        let request = publish_request(command)?;
        // Those that follow must not overtake it, so it is handed over here; the answer comes later.
        let ticket = self.client()?.enqueue(request).await;
        let id = id.clone();
        tokio::spawn(async move {
            match ticket.await {
                Ok(outcome) => answer(&id, &told_outcome(&outcome)),
                Err(error) => refuse(&id, publish_code(&error), &error.to_string()),
            }
        });
        Ok(())
    }

    fn subscribe(&self, id: &Value, command: &Value) -> anyhow::Result<()> {
        let request = subscribe_request(command)?;
        let (client, id) = (self.client()?, id.clone());
        let (sub, all) = (text(command, "sub")?.to_owned(), Arc::clone(&self.subscriptions));
        tokio::spawn(async move {
            match client.subscribe(request).await {
                Ok(subscription) => {
                    let (commands, inbox) = mpsc::channel(COMMANDS_MAX);
                    lock(&all).insert(sub.clone(), commands);
                    answer(&id, &json!({}));
                    follow(&sub, subscription, inbox).await;
                }
                Err(error) => refuse(&id, subscribe_code(&error), &error.to_string()),
            }
        });
        Ok(())
    }

    fn history(&self, id: &Value, command: &Value) -> anyhow::Result<()> {
        let from = match command.get("after") {
            Some(after) => HistoryFrom::After(position(after)?),
            None => HistoryFrom::First,
        };
        let limit = command["limit"].as_u64().map(u32::try_from).transpose()?;
        let request = HistoryRequest { topic: Topic::parse(text(command, "topic")?)?, from, limit };
        let (client, id) = (self.client()?, id.clone());
        tokio::spawn(async move {
            match client.history(request).await {
                Ok(page) => {
                    let messages: Vec<_> = page
                        .messages
                        .iter()
                        .map(
                            |one| json!({"offset": one.offset.get(), "data": told_data(&one.data)}),
                        )
                        .collect();
                    let told = json!({"epoch": page.epoch.to_string(), "offset": page.offset.get(),
                        "recovered": page.recovered, "more": page.more, "messages": messages});
                    answer(&id, &told);
                }
                Err(HistoryError::Refused { error }) => {
                    refuse(&id, error.code.as_str(), &error.message);
                }
                Err(error) => refuse(&id, "closed", &error.to_string()),
            }
        });
        Ok(())
    }

    fn presence(&self, id: &Value, command: &Value) -> anyhow::Result<()> {
        let topic = Topic::parse(text(command, "topic")?)?;
        let (client, id) = (self.client()?, id.clone());
        tokio::spawn(async move {
            match client.presence(&topic).await {
                Ok(present) => {
                    let told =
                        json!({"members": members(&present.members), "total": present.total});
                    answer(&id, &told);
                }
                Err(PresenceError::Refused { error }) => {
                    refuse(&id, error.code.as_str(), &error.message);
                }
                Err(error) => refuse(&id, "closed", &error.to_string()),
            }
        });
        Ok(())
    }

    fn close(&mut self, id: &Value) -> anyhow::Result<()> {
        let client = self.client.take().context("it is not open")?;
        let id = id.clone();
        tokio::spawn(async move {
            let waiting = match client.close().await {
                Ok(()) => json!(0),
                Err(CloseError::Unanswered { count }) => json!(count),
                Err(_) => Value::Null,
            };
            answer(&id, &json!({"waiting": waiting}));
        });
        Ok(())
    }
}

/// Hands out what a subscription brings, and does what is asked of its deliveries, until its end.
async fn follow(sub: &str, mut subscription: Subscription, mut inbox: mpsc::Receiver<Value>) {
    let mut held = BTreeMap::new();
    let mut is_paused = false;
    loop {
        tokio::select! {
            biased;
            command = inbox.recv() => {
                let Some(command) = command else { return };
                match text(&command, "do").unwrap_or_default() {
                    "pause" => is_paused = true,
                    "resume" => is_paused = false,
                    "unsubscribe" => {
                        drop(held);
                        drop(subscription);
                        answer(&command["id"], &json!({}));
                        return;
                    }
                    _ => match settle(&mut held, &command).await {
                        Ok(()) => {}
                        Err(error) => {
                            refuse(&command["id"], "bad_command", &format!("{error:#}"));
                            continue;
                        }
                    },
                }
                answer(&command["id"], &json!({}));
            }
            event = subscription.next(), if !is_paused => {
                let Some(event) = event else { return };
                if let Some(delivery) = tell_event(sub, event) {
                    held.insert((delivery.topic().to_string(), delivery.offset().get()), delivery);
                }
            }
        }
    }
}

async fn settle(
    held: &mut BTreeMap<(String, u64), Delivery>,
    command: &Value,
) -> anyhow::Result<()> {
    let topic = command["topic"].as_str().map_or_else(|| text(command, "sub"), Ok)?;
    let place = (topic.to_owned(), command["offset"].as_u64().context("`offset` is a number")?);
    let reason = command["reason"].as_str();
    if text(command, "do")? == "extend" {
        let delivery = held.get(&place).context("no such delivery is held")?;
        delivery.extend(duration(command, "by_ms")?).await;
        return Ok(());
    }
    let delivery = held.remove(&place).context("no such delivery is held")?;
    match text(command, "do")? {
        "ack" => delivery.ack(),
        "nack" if command["delay_ms"].is_u64() => {
            delivery.nack(Some(duration(command, "delay_ms")?), reason);
        }
        "nack" => delivery.nack(None, reason),
        _ => delivery.give_up(reason),
    }
    Ok(())
}

/// Nothing panics while one of these is held.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
