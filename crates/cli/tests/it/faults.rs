//! The real server under faults of links, processes and time. `docs/reliability.md` lists them all.

mod cuts;
mod drain;
mod half_open;
mod links;
mod lost_acks;
mod proxy;
mod traffic;
