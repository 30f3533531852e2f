//! The server as clients meet it: real sockets on random ports, nothing private.

mod auth;
mod bad_input;
mod delivery;
mod door;
mod durable;
mod http;
mod peer;
mod slow;
mod tls;
