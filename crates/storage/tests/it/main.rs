//! The stores as their users see them.
#![expect(clippy::unwrap_used, reason = "in a test a panic is the report")]

mod conforming;
mod copies;
mod directories;
mod format;
