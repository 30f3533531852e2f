//! Where topics, cursors and sessions live.
//!
//! [`Store`] is the contract, in words; [`conformance`] checks it; [`MemoryStore`] and
//! [`EmbeddedStore`] keep it. This crate decides nothing about delivery: it gives messages their
//! place, makes them last, and reads them back.
//!
//! The embedded store's files are drawn byte by byte in `docs/storage-format.md`.

mod clock;
mod codec;
pub mod conformance;
mod dedup;
mod embedded;
mod fault_point;
mod hash;
mod keep;
mod memory;
pub mod simulation;
mod stamp;
mod store;
mod unlogged;

pub use clock::{Clock, ManualClock, SystemClock};
pub use embedded::{
    AdoptError, Arrival, Damage, EmbeddedConfig, EmbeddedStore, OpenError, Origin, Recovered, adopt,
};
pub use fault_point::fault_point;
pub use memory::{MemoryConfig, MemoryStore};
pub use store::{
    Commit, CommitObserver, Committed, Cursor, CursorsOf, Outcome, ReadBatch, ReadFrom, ReadLimit,
    Store, StoreError, StoreStatus, Submission, Ticket, Write,
};
