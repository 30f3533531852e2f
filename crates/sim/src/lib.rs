//! Seeded simulation of the promises of Tidings (DESIGN §3), in virtual time.
//!
//! Four layers. [`Layer::Window`] drives one [`DeliveryWindow`](tidings_core::DeliveryWindow) with
//! everything a subscriber, a log and a crash can do to it, beside a model too simple to be wrong.
//! [`Layer::Group`] does the same for a [`Group`](tidings_core::Group) and its members.
//! [`Layer::World`] puts the machines of `tidings-core` between publishers, a store with group
//! commit, subscribers and their sessions, bad connections, crashes, failing disks, retention and
//! lost stores, and judges the recorded [`history`] with the [`checker`]. There the store is a
//! model; [`Layer::Disk`] is the same world over the embedded store of `tidings-storage`, on a
//! simulated disk that loses the power and ends the process in any operation.
//!
//! A run is a function of its seed: the same seed gives the same trace, and the same
//! [`EventsHash`], which is printed with the seed. A [`Mutation`] breaks one promise on purpose,
//! to show that breaking it is noticed. [`Sometimes`] counts what the seeds have met, to show that
//! they meet what they are meant to. Nothing here is shipped.

pub mod checker;
mod group;
pub mod history;
mod mutation;
mod random;
mod run;
mod seeds;
mod sometimes;
mod trace;
mod violation;
mod window;
mod world;

pub use mutation::Mutation;
pub use run::{Layer, Run, run};
pub use seeds::Seeds;
pub use sometimes::{Coverage, Sometimes};
pub use trace::{EventsHash, Trace, Tracing};
pub use violation::{Promise, Violation};
