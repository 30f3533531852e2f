//! The binary from the outside: real servers, real clients, real kills.

mod configuration;
mod dev;
mod kills;
mod program;
mod publishing;
mod subscribing;
mod tokens;
