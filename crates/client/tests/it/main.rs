//! The client against a peer that speaks real frames over a real socket, and does what a test
//! says: also what a server does on its bad days.

#![expect(clippy::unwrap_used, reason = "a test that meets an error is to fail with it")]

mod closing;
mod coming_back;
mod inbox;
mod peer;
mod presence;
mod publishing;
mod shared;
mod slow_application;
mod subscribing;
mod tls;
