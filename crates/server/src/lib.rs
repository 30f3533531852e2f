//! The shell of Tidings: a library first, so that a program can embed the server.
//!
//! [`Server::builder`] takes a [`Config`] and gives a [`RunningServer`]; the command line does
//! nothing else. Inside, tokio is only the *door* (TLS, HTTP, the upgrade): once upgraded, a
//! socket belongs to a *shard*, a plain epoll loop that owns its connections and fans messages
//! out to them without locks. This crate makes no delivery decision; those are in `tidings-core`.

mod auth;
mod clock;
mod commit;
mod config;
mod dead_letters;
mod delivery_record;
mod derived_key;
mod directory;
mod disconnects;
mod door;
mod door_lane;
mod door_reads;
mod engine;
mod env;
mod group_letter;
mod history;
mod http;
mod inbox;
mod kept_attempts;
mod keyed_table;
mod metrics;
mod operator;
mod pages;
mod pieces;
mod presence;
mod problem;
mod process;
mod publication;
mod reader;
mod resting_groups;
mod schedule;
mod server;
mod shard;
mod spans;
mod task;
mod tls;
mod trace_log;
mod watchers;
pub mod websocket;

pub use auth::KeyError;
pub use config::*;
pub use dead_letters::DEAD_LETTERS_TOPIC;
pub use door::{ListenError, TlsError};
pub use pages::{ConnectsTo, Page, pages};
pub use server::{Engine, RunningServer, Server, ServerBuilder, StartError};
pub use spans::CollectorError;
pub use tidings_storage::{AdoptError, Arrival, Origin, adopt};
