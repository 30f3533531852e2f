//! The stores as their users see them.

mod conforming;
mod directories;
