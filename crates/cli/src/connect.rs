//! How commands find the server, and how they tell about the way to it.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Args;
use tidings_client::{Client, State};

use crate::parse;

/// Where a local server listens.
const URL_DEFAULT: &str = "ws://127.0.0.1:8000/v1/ws";

/// How a command finds the server.
#[derive(Debug, Args)]
#[command(next_help_heading = "Server")]
pub(crate) struct Connect {
    /// Where the server is
    #[arg(long, env = "TIDINGS_URL", default_value = URL_DEFAULT)]
    url: String,
    /// Who you are; a local `tidings dev` server wants none
    #[arg(long, env = "TIDINGS_TOKEN", hide_env_values = true)]
    token: Option<String>,
    /// Root certificates for wss://, PEM; the system's without it
    #[arg(long, value_name = "FILE")]
    ca_file: Option<PathBuf>,
    /// How long to look for the server at the start. Later it is looked for until it is back
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = parse::some_time)]
    connect_timeout: Duration,
}

impl Connect {
    /// Connects, and from then on tells on standard error when the connection goes and comes.
    pub(crate) async fn client(&self) -> anyhow::Result<Client> {
        let mut builder = Client::builder(self.url());
        if let Some(token) = self.token.as_ref().filter(|token| !token.is_empty()) {
            builder = builder.token(token.as_str());
        }
        if let Some(file) = &self.ca_file {
            builder = builder.root_certificates(file);
        }
        let client = builder.build()?;
        let reached = tokio::time::timeout(self.connect_timeout, self.ready(&client)).await;
        match reached {
            Ok(result) => result?,
            Err(_) => {
                let cause = cause(&client.state().borrow());
                bail!("gave up after {:?}{cause}", self.connect_timeout);
            }
        }
        tokio::spawn(tell_changes(client.state()));
        Ok(client)
    }

    /// The address; an empty one counts as none, since scripts empty variables to unset them.
    fn url(&self) -> &str {
        if self.url.is_empty() { URL_DEFAULT } else { &self.url }
    }

    /// Waits for the first connection.
    async fn ready(&self, client: &Client) -> anyhow::Result<()> {
        let mut states = client.state();
        let mut told = false;
        loop {
            match &*states.borrow_and_update() {
                State::Ready(_) => return Ok(()),
                State::Closed { reason } => return Err(reason.clone().into()),
                State::Reconnecting { cause, .. } if !told => {
                    let hint =
                        if self.url() == URL_DEFAULT { " (`tidings dev` starts one)" } else { "" };
                    eprintln!(
                        "looking for the server for {:?}: {cause}{hint}",
                        self.connect_timeout
                    );
                    told = true;
                }
                State::Reconnecting { .. }
                | State::Disconnected
                | State::Connecting { .. }
                | State::Authenticating => {}
            }
            states.changed().await.context("the client ended")?;
        }
    }
}

fn cause(state: &State) -> String {
    match state {
        State::Reconnecting { cause, .. } => format!(": {cause}"),
        State::Disconnected
        | State::Connecting { .. }
        | State::Authenticating
        | State::Ready(_)
        | State::Closed { .. } => String::new(),
    }
}

/// Tells once when the connection is lost and once when it is back.
async fn tell_changes(mut states: tokio::sync::watch::Receiver<State>) {
    let mut is_lost = false;
    while states.changed().await.is_ok() {
        match &*states.borrow_and_update() {
            State::Reconnecting { cause, .. } if !is_lost => {
                eprintln!("{cause}; coming back");
                is_lost = true;
            }
            State::Ready(_) if is_lost => {
                eprintln!("connected again");
                is_lost = false;
            }
            State::Closed { .. } => return,
            State::Reconnecting { .. }
            | State::Ready(_)
            | State::Disconnected
            | State::Connecting { .. }
            | State::Authenticating => {}
        }
    }
}
