//! `tidings tour`: the product in ten seconds, with nothing up its sleeve. Every step is a command
//! that anybody can type; the tour types them, shows them and shows what they say.

mod cast;
mod stage;

use std::time::Duration;

use anyhow::{Result, ensure};

use stage::Stage;

/// Show how a message reaches somebody who was offline, over a `kill -9` of the server
#[derive(Debug, clap::Args)]
pub(crate) struct Tour {
    /// Leave out the pauses for reading
    #[arg(long)]
    fast: bool,
}

/// Where the tour's messages go.
const TOPIC: &str = "user/alice";

impl Tour {
    pub(crate) fn run(&self) -> Result<()> {
        let pause = if self.fast { Duration::ZERO } else { Duration::from_millis(900) };
        let (mut stage, _signals) = Stage::set(pause)?;
        stage
            .say("A tour of Tidings. It runs on this machine alone and cleans up after itself.")?;

        stage.act("A server starts, with its log in an empty directory.")?;
        stage.start_server()?;

        stage.act("Alice's phone subscribes durably: the server remembers how far it got.")?;
        let phone = stage.start(&[
            "sub",
            TOPIC,
            "--durable",
            "phone",
            "--from",
            "first",
            "--count",
            "1",
        ])?;
        stage.run(&["pub", TOPIC, "hello, Alice"])?;
        stage.watch(phone)?;

        stage.act("The phone is offline now. Three messages come; each is acknowledged once it is on disk.")?;
        let mut id = String::new();
        for text in ["are you there?", "the train leaves at 9", "{\"platform\":7}"] {
            id = stage.run(&["pub", TOPIC, text])?;
        }

        stage.act(
            "The server is killed without warning, and started again on the same directory.",
        )?;
        stage.kill_server()?;
        stage.start_server()?;

        stage.act("The phone comes back.")?;
        let seen = stage.run(&["sub", TOPIC, "--durable", "phone", "--count", "3"])?;
        let in_order = ["are you there?", "the train", "platform"].map(|text| seen.find(text));
        ensure!(
            in_order.iter().all(Option::is_some) && in_order.is_sorted(),
            "the messages did not arrive in order; please report this with the output above"
        );

        stage.act(
            "What became of the last one? An operator asks by its id, which `pub` has printed.",
        )?;
        let story = stage.run(&["trace", id.trim_end()])?;
        ensure!(
            story.contains("acked by"),
            "the story does not say that the message was taken; please report this with the output above"
        );

        stage.say(
            "\nNothing was lost: every message was on disk before its publisher was told so, and\n\
             the phone's place in the log was too. Now try it yourself:\n\n  \
             tidings dev      and it says what to type next",
        )
    }
}
