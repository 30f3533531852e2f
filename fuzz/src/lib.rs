//! Fuzzing of the decoders. See README.md.

pub mod exercise;
pub mod framing;
