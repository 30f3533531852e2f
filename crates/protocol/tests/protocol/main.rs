//! Tests of the protocol from outside: what decodes, what is refused and how, and that no bytes
//! do harm.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod corpus;
mod docs;
#[expect(unreachable_pub, reason = "shared with the fuzz crate, where it is public")]
#[path = "../../../../fuzz/src/exercise.rs"]
mod exercise;
mod frames;
mod generated;
mod never_panics;
mod round_trip;
mod transcripts;
