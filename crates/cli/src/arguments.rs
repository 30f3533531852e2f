//! The command line. Flags that scripts use stay as they are.

use clap::{Parser, Subcommand};

use crate::completions::Completions;
use crate::configuration::Configuration;
use crate::data::Data;
use crate::dead_letters::DeadLetters;
use crate::dev::Dev;
use crate::groups::Groups;
use crate::history::History;
use crate::publish::Publish;
use crate::scheduled::Scheduled;
use crate::serve::Serve;
use crate::subscribe::Subscribe;
use crate::token::Token;
use crate::tour::Tour;
use crate::trace::Trace;
use crate::users::Users;

/// Real-time messages that are not lost.
#[derive(Debug, Parser)]
#[command(name = "tidings", version, propagate_version = true, max_term_width = 100)]
#[command(
    after_help = "Start with `tidings tour`, or with `tidings dev`; it says what to do next."
)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What the binary can do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Start a server to try things out: no token needed, loopback only
    Dev(Dev),
    /// Start a server
    Serve(Serve),
    /// Publish a message, or one for each line of a file or of standard input
    #[command(name = "pub")]
    Publish(Publish),
    /// Print messages as they come
    #[command(name = "sub")]
    Subscribe(Subscribe),
    /// Print messages of the past
    History(History),
    /// Look at messages that were given up, publish them again, or remove them
    #[command(name = "dead-letters", visible_alias = "dlq")]
    DeadLetters(DeadLetters),
    /// Look at messages that wait for their time, or take them off the schedule
    Scheduled(Scheduled),
    /// Show what became of a message
    Trace(Trace),
    /// Show whether a user is online and what waits for them, or send them away
    Users(Users),
    /// Show how groups stand
    Groups(Groups),
    /// Make a token for a user
    Token(Token),
    /// Check, show and explain the configuration
    Config(Configuration),
    /// Say how a data directory came where it is: moved, or restored from a backup
    Data(Data),
    /// Show how a message reaches somebody who was offline
    Tour(Tour),
    /// Print completions for a shell
    Completions(Completions),
}

impl Command {
    /// Runs it to its end.
    pub(crate) fn run(self) -> anyhow::Result<()> {
        match self {
            Self::Dev(dev) => dev.run(),
            Self::Serve(serve) => serve.run(),
            Self::Publish(publish) => publish.run(),
            Self::Subscribe(subscribe) => subscribe.run(),
            Self::History(history) => history.run(),
            Self::DeadLetters(dead_letters) => dead_letters.run(),
            Self::Scheduled(scheduled) => scheduled.run(),
            Self::Trace(trace) => trace.run(),
            Self::Users(users) => users.run(),
            Self::Groups(groups) => groups.run(),
            Self::Token(token) => token.run(),
            Self::Tour(tour) => tour.run(),
            Self::Config(configuration) => configuration.run(),
            Self::Data(data) => data.run(),
            Self::Completions(completions) => completions.run(),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    /// Flags that scripts rely on (docs/cli.md): each line must go on parsing.
    #[test]
    fn stable_command_lines_parse() {
        for line in [
            "dev --data d --listen 127.0.0.1:0 --operator 127.0.0.1:0",
            "serve -c tidings.toml --data d --listen 0.0.0.0:8000 --operator 127.0.0.1:8001",
            "pub room/42 hello --url ws://h:1/v1/ws --token t --key k --header a=b --ttl 5m",
            "pub room/42 -",
            "pub room/42 --file lines.txt --json",
            "pub room/42 --file lines.txt --ids",
            "sub room/42 --durable phone --json --from first --count 3 --window 8",
            "sub room/# --raw --from new",
            "sub room/42 --from Zr3:18 --output out.txt --raw",
            "sub room/42 --durable phone --no-ack",
            "history room/42 --since 10m --limit 5 --json",
            "history room/42 --since 2026-11-18T11:06:40Z",
            "history room/42 --since 1795000000000",
            "history room/42 --after Zr3:18",
            "dead-letters list --since 2026-11-18T11:06:40+02:00 --until 1795000000000",
            "dead-letters list --topic jobs/# --user alice --reason db --since 1h --limit 5 --json",
            "dead-letters list --newest --limit 5",
            "dead-letters show 17 --json --operator http://127.0.0.1:8001",
            "dead-letters replay 17 --edit",
            "dead-letters replay 17 --data 1 --into repaired --to-all",
            "dlq replay --all --topic jobs/# --to-all",
            "dlq purge 17",
            "scheduled list --topic room/# --user alice --limit 5 --json",
            "scheduled cancel 01JD0M2Q8G00Z0000000000003 --operator http://127.0.0.1:8001",
            "trace 01JD0M2Q8G00Z0000000000003 --json --operator http://127.0.0.1:8001",
            "dlq purge --all --until 7d --yes",
            "users alice --json --operator 127.0.0.1:8001 --operator-key k",
            "users alice --disconnect",
            "users alice --revoke --issued-by 1h",
            "groups --json --operator 127.0.0.1:8001",
            "groups workers --filter jobs/#",
            "token --user alice --cap room/#:pub,sub --cap jobs/1:sub --ttl 1h",
            "token --user alice -c tidings.toml",
            "config check tidings.toml",
            "config default",
            "config env",
            "data moved ./tidings-data",
            "data restored ./tidings-data",
            "completions bash",
        ] {
            let words = std::iter::once("tidings").chain(line.split(' '));
            if let Err(error) = Arguments::try_parse_from(words) {
                panic!("{line}: {error}");
            }
        }
    }

    #[test]
    fn contradictions_are_refused() {
        for line in [
            "pub room/42 hello --file lines.txt",
            "pub room/#",
            "sub room/42 --raw --json",
            "sub a/#/b",
            "sub room/42 --from yesterday",
            "history room/42 --since 10m --after Zr3:18",
            "pub room/42 hello --deliver-at 10m",
            "dead-letters replay",
            "dead-letters replay 17 --all",
            "dead-letters replay --all --edit",
            "dead-letters replay 17 --edit --data 1",
            "dead-letters purge",
            "trace 17",
            "scheduled cancel",
            "users",
            "groups --filter jobs/#",
            "token",
            "token --user alice -c a --secret-file b",
            "config",
            "data moved",
        ] {
            let words = std::iter::once("tidings").chain(line.split(' '));
            let error = Arguments::try_parse_from(words).expect_err(line);
            assert_eq!(error.exit_code(), 2, "{line}");
        }
    }
}
