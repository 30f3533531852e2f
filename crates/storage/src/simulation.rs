//! The embedded store without threads, on a disk in memory that can lose the power, fail, end the
//! process in any operation, and be full: for simulation and tests. The code is the store's own.

pub use crate::embedded::{DiskFault, DiskLie, SimulatedDisk, SteppedStore};
