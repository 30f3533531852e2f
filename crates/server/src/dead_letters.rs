//! Where messages go that were given up.

/// The topic that holds them all: readable with the `sub` and `hist` operations, published to by
/// the server alone. Headers `tidings-*` say where each came from and why it is there.
pub const DEAD_LETTERS_TOPIC: &str = "$dead-letters";
