//! What happened in a run, line by line, when somebody wants to know.

/// Whether a run writes down what happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tracing {
    /// It does not: fast.
    Off,
    /// It does.
    On,
}

/// The lines of one run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trace {
    tracing: Tracing,
    lines: Vec<String>,
}

impl Trace {
    pub(crate) const fn new(tracing: Tracing) -> Self {
        Self { tracing, lines: Vec::new() }
    }

    /// Adds a line, which is only made if it is wanted.
    pub(crate) fn line(&mut self, line: impl FnOnce() -> String) {
        match self.tracing {
            Tracing::Off => {}
            Tracing::On => self.lines.push(line()),
        }
    }

    /// What happened, in order.
    pub fn lines(&self) -> &[String] {
        &self.lines
    }
}
