//! The server as clients meet it: real sockets on random ports, nothing private.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
#![expect(clippy::needless_pass_by_value, reason = "`json!` values are made to be handed over")]

mod auth;
mod bad_input;
mod broadcast;
mod collector;
mod compression;
mod dead_letters;
mod delivery;
mod door;
mod durable;
mod events;
mod http;
mod inbox;
mod long_poll;
mod operator;
mod overlap;
mod peer;
mod presence;
mod priority;
mod races;
mod recovery_table;
mod revocation;
mod schedule;
mod shared;
mod slow;
mod stories;
mod story;
mod stream;
mod stream_slow;
mod tls;
mod trace;
