//! The binary from the outside: real servers, real clients, real kills.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod configuration;
mod copies;
mod dead_letters;
mod dev;
mod ending;
mod faults;
mod ghosts;
mod groups;
mod inboxes;
mod kills;
mod operating;
mod program;
mod publishing;
mod rounds;
mod scheduled;
mod secrets;
mod serving;
mod soak;
mod subscribing;
mod tokens;
mod watching;
