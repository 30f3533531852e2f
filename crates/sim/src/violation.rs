//! A promise that was not kept.

use std::fmt;

/// What can be broken: the promises of DESIGN §3, and what a machine says about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Promise {
    /// P1: acknowledged means durable.
    AcknowledgedIsDurable,
    /// P2: one order per topic.
    OneOrder,
    /// P3: nobody sees a message that could still be lost.
    SeenIsDurable,
    /// P4: at least once; cursors lag, never lead.
    AtLeastOnce,
    /// An ack that was answered lasts, but for the last moments before a crash.
    SettledStays,
    /// P5: a repeated key gives the first position.
    OncePerKey,
    /// P6: nothing disappears silently.
    NothingSilent,
    /// P7: everything is bounded.
    Bounded,
    /// P8: a client that cannot resume is told.
    ToldWhenReset,
    /// A message for later is not published early, and not late by a server that is there.
    InTime,
    /// Nobody is listed on a topic who is not there.
    NoGhosts,
    /// What is owed is delivered once faults end, in a bounded number of steps.
    Liveness,
    /// What a machine's documentation says of a method.
    Contract,
}

impl fmt::Display for Promise {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::AcknowledgedIsDurable => "P1 (acknowledged means durable)",
            Self::OneOrder => "P2 (one order per topic)",
            Self::SeenIsDurable => "P3 (nobody sees what can be lost)",
            Self::AtLeastOnce => "P4 (at least once)",
            Self::SettledStays => "settled stays settled",
            Self::OncePerKey => "P5 (once per key)",
            Self::NothingSilent => "P6 (nothing disappears silently)",
            Self::Bounded => "P7 (bounded)",
            Self::ToldWhenReset => "P8 (told when it cannot resume)",
            Self::InTime => "in time",
            Self::NoGhosts => "no ghosts",
            Self::Liveness => "liveness",
            Self::Contract => "the machine's contract",
        })
    }
}

/// A promise that was not kept, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which promise.
    pub promise: Promise,
    /// What was seen.
    pub what: String,
}

impl Violation {
    pub(crate) const fn new(promise: Promise, what: String) -> Self {
        Self { promise, what }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is broken: {}", self.promise, self.what)
    }
}

/// `Ok` if `kept`, else the violation.
pub(crate) fn ensure(
    kept: bool,
    promise: Promise,
    what: impl FnOnce() -> String,
) -> Result<(), Violation> {
    if kept { Ok(()) } else { Err(Violation::new(promise, what())) }
}
