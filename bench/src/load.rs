//! The generator: connections to one server, what they do, and what they see.

mod answers;
mod crowd;
mod fanout;
mod form;
mod group;
mod growth;
mod idle;
mod kept;
mod lagging;
mod link;
mod meter;
mod mixed;
mod overload;
mod pace;
mod pairs;
mod publish;
mod settle;
mod sizes;
mod storm;
mod tally;
mod token;

use std::path::PathBuf;

use anyhow::bail;
use clap::Args;

pub(crate) use crowd::Subscription;
pub(crate) use fanout::{FanoutOptions, run as fanout};
pub(crate) use form::RedisCommand;
pub(crate) use group::{GroupOptions, run as group};
pub(crate) use growth::{GrowthOptions, run as growth};
pub(crate) use idle::{IdleOptions, run as idle};
pub(crate) use kept::{Kept, KeptOptions, run as kept};
pub(crate) use lagging::{LaggingOptions, run as lagging};
pub(crate) use mixed::{MixedOptions, run as mixed};
pub(crate) use overload::run as overload;
pub(crate) use pace::Pace;
pub(crate) use pairs::{PairsOptions, run as pairs};
pub(crate) use publish::{PublishOptions, run as publish};
pub(crate) use settle::{SettleOptions, run as settle};
pub(crate) use sizes::Sizes;
pub(crate) use storm::{StormOptions, run as storm};

use crate::stream::ClientTls;
use crate::target::{Target, Transport};

/// Which server, and how it is watched.
#[derive(Clone, Debug, Args)]
pub(crate) struct ServerOptions {
    /// The server, for example ws://127.0.0.1:8080/v1/ws
    #[arg(long, env = "TIDINGS_URL")]
    pub(crate) url: Target,
    /// The token to show when connecting
    #[arg(long, env = "TIDINGS_TOKEN", hide_env_values = true)]
    pub(crate) token: Option<String>,
    /// The certificate to trust, PEM: a wss:// server's own, or its root
    #[arg(long, value_name = "FILE")]
    pub(crate) certificate: Option<PathBuf>,
    /// The server's process on this machine: its CPU time and memory are reported
    #[arg(long, value_name = "PID")]
    pub(crate) server_pid: Option<u32>,
}

impl ServerOptions {
    /// What connections need for TLS, if the server speaks it.
    fn tls(&self) -> anyhow::Result<Option<ClientTls>> {
        match (self.url.transport, &self.certificate) {
            (Transport::Plain, _) => Ok(None),
            (Transport::Tls, Some(trusted)) => ClientTls::new(&self.url.host, trusted).map(Some),
            (Transport::Tls, None) => {
                bail!("a wss:// server needs --certificate, a file with the certificate to trust")
            }
        }
    }
}

/// Reads a number of seconds above zero.
fn seconds(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(seconds) if (0.0..=86_400.0).contains(&seconds) => Ok(seconds),
        Ok(_) | Err(_) => Err("write a number of seconds from 0 to 86400".to_owned()),
    }
}
