//! The messages of the schema, generated. `tests/protocol/generated.rs` keeps the file fresh.

#![expect(unreachable_pub, reason = "generated code: its items are `pub`")]

include!("tidings.v1.rs");
