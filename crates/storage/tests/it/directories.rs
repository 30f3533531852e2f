//! Directories as operators meet them.
