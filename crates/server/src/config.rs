//! The configuration: plain data, read in layers and checked as a whole before anything starts.
//!
//! Every key with its meaning, unit, default and bounds is in `config/reference.toml`, which is
//! the documentation, the schema of the reader and the list of environment variables in one.
//! Tests compare it with the structs here, so neither can leave the other behind.

mod auth;
mod bounds;
mod check;
mod document;
mod http;
mod inbox;
mod interpolation;
mod layers;
mod limits;
mod log;
mod nearest;
mod own_topics;
mod path;
mod problem;
mod quantity;
mod reference;
mod secret;
mod server;
mod shown;
mod storage;
mod text;
mod topic;
mod trace;
mod websocket;

use std::collections::BTreeMap;
use std::path::PathBuf;

use own_topics::{own_defaults, own_topics};
use serde::{Deserialize, Serialize};
use tidings_core::{PolicyTable, TopicPolicy};

pub use auth::{ApiKey, AuthSection, CapsEntry, KeyMaterial, TokenAlgorithm, TokenKey};
pub(crate) use bounds::SECRET_BYTES_MIN;
pub use document::config_document;
pub use http::HttpSection;
pub use inbox::InboxSection;
pub use limits::LimitsSection;
pub use log::{LogFormat, LogLevel, LogSection};
pub use problem::{ConfigCheck, ConfigError, ConfigOrigin, ConfigProblem};
pub use quantity::{ByteSize, QuantityError, duration_to_text, parse_duration};
pub use reference::{ConfigVariable, config_reference, config_variables};
pub use secret::Secret;
pub use server::{ServerSection, TlsSection};
pub use storage::StorageSection;
pub use topic::TopicSection;
pub use trace::TraceSection;
pub use websocket::WebSocketSection;

/// Everything that can be configured.
///
/// The defaults are those of `reference.toml`. They do not pass [`Config::validate`] as they are:
/// without a key nobody could connect, and a server that nobody can reach is a mistake.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Where the server listens and how it ends.
    pub server: ServerSection,
    /// The certificate of the public listener; without it the listener speaks plain text.
    pub tls: Option<TlsSection>,
    /// The embedded store.
    pub storage: StorageSection,
    /// Who may connect.
    pub auth: AuthSection,
    /// What one connection may take.
    pub limits: LimitsSection,
    /// What is agreed with those who connect by WebSocket.
    pub websocket: WebSocketSection,
    /// What waits for a user.
    pub inbox: InboxSection,
    /// The HTTP interface.
    pub http: HttpSection,
    /// What is remembered for the story of a message, and where its spans go.
    pub trace: TraceSection,
    /// What the server writes about itself.
    pub log: LogSection,
    /// Policies of topics; the first section that matches decides.
    pub topic: Vec<TopicSection>,
}

impl Config {
    /// Reads the sources, later ones over earlier ones: defaults, file, environment, flags.
    ///
    /// Every key is checked by itself (known, of its type, well-formed, not missing) and all that
    /// is wrong is told at once. Bounds, and how the keys go together, are for
    /// [`validate`](Self::validate).
    pub fn load(sources: &ConfigSources) -> Result<Self, ConfigError> {
        layers::load(sources)
    }

    /// Checks bounds, how the keys go together, and whether the certificate and the keys in the
    /// files they name can be used. Tells all that is wrong at once.
    pub fn validate(&self) -> Result<(), ConfigError> {
        ConfigError::unless_empty(check::problems(self))
    }

    /// The policies of topics, in order.
    pub fn policy_table(&self) -> PolicyTable {
        let rules = self.topic.iter().map(|t| (t.filter.clone(), t.policy()));
        let rules = own_topics().into_iter().chain(rules).chain(own_defaults());
        PolicyTable::new(rules.collect(), TopicPolicy::default())
    }
}

/// Where a configuration comes from.
#[derive(Clone, Debug, Default)]
pub struct ConfigSources {
    /// The TOML file, if there is one.
    pub file: Option<PathBuf>,
    /// The environment: `TIDINGS_SECTION__KEY` sets a key, and `${NAME}` in the file reads any
    /// variable.
    pub environment: BTreeMap<String, String>,
    /// What the command line sets.
    pub flags: Vec<ConfigFlag>,
}

impl ConfigSources {
    /// The variables of this process that are valid text.
    pub fn process_environment() -> BTreeMap<String, String> {
        let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        };
        std::env::vars_os().filter_map(text).collect()
    }
}

/// A key that the command line sets.
#[derive(Clone, Debug)]
pub struct ConfigFlag {
    /// What the user typed, for messages (`--listen`).
    pub flag: &'static str,
    /// Which key it sets (`server.listen`).
    pub key: &'static str,
    /// To what.
    pub value: String,
}
