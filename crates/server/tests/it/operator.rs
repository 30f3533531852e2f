//! The operator's port: who may use it, and what it tells.

mod access;
