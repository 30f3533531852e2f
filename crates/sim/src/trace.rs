//! What happened in a run, line by line, when somebody wants to know, and as one number.

use std::fmt;

/// Whether a run writes down what happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tracing {
    /// It does not: fast.
    Off,
    /// It makes each line, adds it to the hash and lets go of it.
    Hashed,
    /// It keeps each line, and hashes it too.
    On,
}

/// All that happened in a run as one number (FNV-1a over its lines), so that two runs of a seed can
/// be compared by eye, also between machines and versions of Rust.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct EventsHash(u64);

impl EventsHash {
    const START: Self = Self(0xcbf2_9ce4_8422_2325);

    const fn add_byte(&mut self, byte: u8) {
        const PRIME: u64 = 0x0000_0100_0000_01b3;
        self.0 = (self.0 ^ byte as u64).wrapping_mul(PRIME);
    }

    fn add_line(&mut self, line: &str) {
        line.bytes().for_each(|byte| self.add_byte(byte));
        // Otherwise two lines would count as one that holds both.
        self.add_byte(b'\n');
    }
}

impl fmt::Display for EventsHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Debug for EventsHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The lines of one run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trace {
    tracing: Tracing,
    lines: Vec<String>,
    count: u64,
    hash: EventsHash,
}

impl Trace {
    pub(crate) const fn new(tracing: Tracing) -> Self {
        Self { tracing, lines: Vec::new(), count: 0, hash: EventsHash::START }
    }

    /// Adds a line, which is only made if it is wanted.
    pub(crate) fn line(&mut self, line: impl FnOnce() -> String) {
        let line = match self.tracing {
            Tracing::Off => return,
            Tracing::Hashed | Tracing::On => line(),
        };
        self.count += 1;
        self.hash.add_line(&line);
        match self.tracing {
            Tracing::Off | Tracing::Hashed => {}
            Tracing::On => self.lines.push(line),
        }
    }

    /// What happened, in order.
    pub fn lines(&self) -> &[String] {
        &self.lines
    }

    /// How many lines were made, kept or not.
    pub const fn count(&self) -> u64 {
        self.count
    }

    /// The hash of everything that happened, unless nothing was written down.
    pub const fn hash(&self) -> Option<EventsHash> {
        match self.tracing {
            Tracing::Off => None,
            Tracing::Hashed | Tracing::On => Some(self.hash),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash_of(lines: &[&str]) -> String {
        let mut hash = EventsHash::START;
        lines.iter().for_each(|line| hash.add_line(line));
        hash.to_string()
    }

    #[test]
    fn the_hash_is_the_published_function() {
        let mut hash = EventsHash::START;
        "foobar".bytes().for_each(|byte| hash.add_byte(byte));
        assert_eq!(hash.to_string(), "85944171f73967e8");
    }

    #[test]
    fn the_hash_tells_lines_apart() {
        assert_ne!(hash_of(&["ab", "c"]), hash_of(&["a", "bc"]));
        assert_ne!(hash_of(&["a", "b"]), hash_of(&["b", "a"]));
        assert_ne!(hash_of(&["a"]), hash_of(&["a", ""]));
    }

    #[test]
    fn lines_count_whether_they_are_kept_or_not() {
        let (mut kept, mut hashed) = (Trace::new(Tracing::On), Trace::new(Tracing::Hashed));
        for trace in [&mut kept, &mut hashed] {
            trace.line(|| "something".to_owned());
        }
        assert_eq!((kept.hash(), kept.count()), (hashed.hash(), hashed.count()));
        assert_eq!((kept.lines().len(), hashed.lines().len()), (1, 0));
    }
}
