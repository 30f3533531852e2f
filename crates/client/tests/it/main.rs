//! The client against a peer that speaks real frames over a real socket, and does what a test
//! says: also what a server does on its bad days.

mod closing;
mod coming_back;
mod peer;
mod publishing;
mod slow_application;
mod subscribing;
mod tls;
