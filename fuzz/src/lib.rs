//! Fuzzing of the protocol's decoders. See README.md.

pub mod exercise;
