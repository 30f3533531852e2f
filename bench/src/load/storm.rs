//! A reconnect storm: many clients that were connected before come back at once.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::Args;
use serde_json::Value;

use crate::load::ServerOptions;
use crate::load::crowd::{Crowd, Group, Identity, Members, Subscription, Topics, Traffic};
use crate::load::meter::{Meter, wait_for_calm};
use crate::load::tally::Tally;
use crate::load::token::Signer;
use crate::procfs;
use crate::report::Report;
use crate::target::Dialect;
use crate::websocket::{self, Opcode};
use crate::wire::{self, PublishForm, ServerFrame, Stamp, Stamps};

/// How long nobody may answer the roll-call before those who are missing count as lost.
const PATIENCE: Duration = Duration::from_secs(5);
/// Connections that are being made at once before the storm.
const AT_ONCE: usize = 256;

/// What a storm is made of.
#[derive(Clone, Debug, Args)]
pub(crate) struct StormOptions {
    #[command(flatten)]
    pub(crate) server: ServerOptions,
    /// Clients that come back
    #[arg(long, default_value_t = 5000, value_parser = clap::value_parser!(u32).range(1..=60_000))]
    pub(crate) clients: u32,
    /// A file with the server's HS256 secret: each client is a user with a token of its own
    #[arg(long, value_name = "FILE", conflicts_with = "token")]
    pub(crate) secret_file: Option<PathBuf>,
    /// The topic all subscribe to
    #[arg(long, default_value = "bench")]
    pub(crate) topic: String,
}

/// Connects all, drops all, lets all come back at once, and says what that took.
pub(crate) fn run(options: &StormOptions) -> anyhow::Result<Report> {
    let server = &options.server;
    if server.url.dialect != Dialect::Tidings {
        bail!("a storm is measured over WebSocket only, use a ws:// url");
    }
    let mut members = members(options)?;
    let crowd = Crowd::open(server, members.clone(), AT_ONCE)?;
    for (identity, greeting) in members.identities.iter_mut().zip(crowd.greetings()) {
        Greeted::read(greeting)?.remember(identity);
    }
    drop(crowd);
    wait_for_calm(server.server_pid)?;

    let clients = options.clients as usize;
    let meter = Meter::start(server.server_pid)?;
    let mut crowd = Crowd::open(server, members, clients)?;
    let cost = meter.stop()?;
    let peak = server.server_pid.map(procfs::peak_memory).transpose()?;

    let mut report = Report::new("storm");
    report.setting("url", server.url.to_string());
    report.setting("clients", options.clients);
    report.setting("own_tokens", options.secret_file.is_some());
    cost.report_each(&mut report, "server_cpu_us_per_connection", clients as u64);
    for (name, share) in [("ready_50_ms", 0.5), ("ready_99_ms", 0.99), ("ready_all_ms", 1.0)] {
        report.figure(name, ready(crowd.ready_at(), share).as_secs_f64() * 1e3);
    }
    if let Some(peak) = peak {
        report.figure("server_peak_rss_mib", peak as f64 / f64::from(1 << 20));
    }
    cost.report_shares(&mut report);
    let (mut not_resumed, mut not_recovered) = (0_u32, 0_u32);
    for greeting in crowd.greetings() {
        let greeted = Greeted::read(greeting)?;
        not_resumed += u32::from(!greeted.resumed);
        not_recovered += u32::from(!greeted.recovered);
    }
    report.figure("not_resumed", f64::from(not_resumed));
    report.figure("not_recovered", f64::from(not_recovered));
    roll_call(&mut crowd, options, &mut report)?;
    Ok(report)
}

fn members(options: &StormOptions) -> anyhow::Result<Members> {
    let signer = options.secret_file.as_deref().map(Signer::read).transpose()?;
    let clients = options.clients as usize;
    let identity = |client: usize| Identity {
        token: signer.as_ref().map_or_else(
            || options.server.token.clone(),
            |signer| Some(signer.token(&format!("bench-{client}"), &options.topic)),
        ),
        ..Identity::default()
    };
    let group = Group {
        count: clients,
        topics: Topics::One(options.topic.clone()),
        subscription: Subscription::Live,
    };
    Ok(Members {
        publishers: 0,
        groups: vec![group],
        token: None,
        identities: (0..clients).map(identity).collect(),
    })
}

/// What the server said in a greeting.
#[derive(Debug, PartialEq, Eq)]
struct Greeted {
    session: String,
    resumed: bool,
    position: (String, u64),
    recovered: bool,
}

impl Greeted {
    fn read(greeting: &[u8]) -> anyhow::Result<Self> {
        let mut frames = Vec::new();
        for line in greeting.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            let frame: Value = serde_json::from_slice(line).context("a greeting is not JSON")?;
            frames.push(frame);
        }
        let find = |name| {
            let mut found = frames.iter().filter_map(|frame| frame.get(name));
            found.next().with_context(|| format!("the server's greeting has no `{name}`"))
        };
        let (connected, subscribed) = (find("connected")?, find("subscribed")?);
        let text = |value: &Value| value.as_str().map(str::to_owned);
        Ok(Self {
            session: text(&connected["session"]).context("`connected` has no session")?,
            resumed: connected["resumed"] == true,
            position: (
                text(&subscribed["epoch"]).context("`subscribed` has no epoch")?,
                subscribed["offset"].as_u64().context("`subscribed` has no offset")?,
            ),
            recovered: subscribed["recovered"] == true,
        })
    }

    /// What a client that was greeted like this shows when it comes back.
    fn remember(self, identity: &mut Identity) {
        identity.session = Some(self.session);
        identity.position = Some(self.position);
    }
}

/// When this share of all clients was ready.
fn ready(ready_at: &[Duration], share: f64) -> Duration {
    let rank = (ready_at.len() as f64 * share).ceil() as usize;
    ready_at.get(rank.max(1) - 1).copied().unwrap_or_default()
}

/// One message to all, published by the first of them: whoever is really back gets it.
#[derive(Debug)]
struct RollCall {
    form: PublishForm,
    stamps: Stamps,
    tally: Tally,
    published: u32,
    refused: Option<String>,
    progress: Duration,
}

impl Traffic for RollCall {
    fn frame(
        &mut self,
        now: Duration,
        from: usize,
        frame: &[u8],
        _: &mut Vec<u8>,
    ) -> anyhow::Result<()> {
        if let Some(stamp) = self.stamps.find(frame) {
            self.tally.note(from, stamp.sequence);
            self.progress = now;
            return Ok(());
        }
        match wire::read_server_frame(frame)? {
            // A message is of another run.
            ServerFrame::Message | ServerFrame::Published { .. } => {}
            ServerFrame::Refused { message, .. } => self.refused = Some(message),
            other @ (ServerFrame::Connected
            | ServerFrame::Subscribed
            | ServerFrame::Ping
            | ServerFrame::Other(_)) => bail!("a client got {other:?}"),
        }
        Ok(())
    }

    fn due(&mut self, now: Duration, out: &mut Vec<u8>) -> anyhow::Result<Option<usize>> {
        if self.published > 0 {
            return Ok(None);
        }
        let mut line = Vec::new();
        let stamp = Stamp { sequence: 0, sent: now };
        // Requests 1 and 2 are the greeting's.
        self.form.put(&mut line, 3, &self.stamps, stamp);
        websocket::put_masked_frame(out, Opcode::Text, &line);
        self.published = 1;
        Ok(Some(0))
    }
}

fn roll_call(crowd: &mut Crowd, options: &StormOptions, report: &mut Report) -> anyhow::Result<()> {
    let mut roll_call = RollCall {
        form: PublishForm::new(&options.topic),
        stamps: Stamps::of_this_run(),
        tally: Tally::new(options.clients as usize),
        published: 0,
        refused: None,
        progress: crowd.now(),
    };
    while roll_call.tally.first < u64::from(options.clients)
        && roll_call.refused.is_none()
        && crowd.now() < roll_call.progress + PATIENCE
    {
        crowd.turn(Duration::from_millis(10), &mut roll_call)?;
    }
    report.figure("lost", roll_call.tally.lost(roll_call.published, &BTreeSet::new()) as f64);
    report.figure("duplicates", roll_call.tally.repeated as f64);
    report.notes.extend(roll_call.refused.map(|why| format!("the roll-call was refused: {why}")));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn greetings_say_who_was_taken_up_and_where() {
        let greeting = br#"{"id":1,"connected":{"session":"s-1","resumed":true}}
{"message":{"topic":"t"}}
{"id":2,"subscribed":{"sub":"t","epoch":"e","offset":4,"recovered":false}}
"#;
        let greeted = Greeted::read(greeting).expect("a whole greeting");
        let position = ("e".to_owned(), 4);
        let session = "s-1".to_owned();
        assert_eq!(greeted, Greeted { session, resumed: true, position, recovered: false });
        let error = Greeted::read(br#"{"id":1,"connected":{"session":"s"}}"#).expect_err("half");
        assert!(error.to_string().contains("subscribed"), "{error}");
    }

    #[test]
    fn who_comes_back_shows_its_token_its_session_and_its_position() {
        let url = "ws://127.0.0.1:1".parse().expect("a url");
        let server = ServerOptions {
            url,
            token: Some("mine".to_owned()),
            certificate: None,
            server_pid: None,
        };
        let topic = "t".to_owned();
        let options = StormOptions { server, clients: 2, secret_file: None, topic };
        let mut members = members(&options).expect("no file is read");
        let position = ("e".to_owned(), 4);
        let session = "s-1".to_owned();
        Greeted { session, resumed: false, position, recovered: true }
            .remember(&mut members.identities[1]);
        assert_eq!(
            members.connect(1),
            r#"{"id":1,"connect":{"client":"bench-1","token":"mine","session":"s-1"}}"#
        );
        assert_eq!(
            members.subscribe(1).expect("all subscribe"),
            r#"{"id":2,"subscribe":{"topic":"t","after":{"epoch":"e","offset":4}}}"#
        );
        assert_eq!(
            members.subscribe(0).expect("all subscribe"),
            r#"{"id":2,"subscribe":{"topic":"t"}}"#
        );
    }

    #[test]
    fn the_time_to_a_share_is_that_of_the_last_one_in_it() {
        let times: Vec<Duration> = (1..=200).map(Duration::from_millis).collect();
        let told = [0.5, 0.99, 1.0].map(|share| ready(&times, share).as_millis());
        assert_eq!(told, [100, 198, 200]);
        assert_eq!(ready(&times[..1], 0.5).as_millis(), 1);
    }
}
