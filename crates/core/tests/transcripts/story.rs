//! How a story is written: blocks, commands, arguments, durations.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::time::Duration;

use tidings_core::{Instant, Offset};

/// Something that a story can drive.
pub(crate) trait Machine {
    /// Carries out one command and adds what is observed.
    fn run(&mut self, command: &Command, observed: &mut Vec<String>) -> Result<(), String>;
}

/// One part of a story: what is done, then what is seen.
#[derive(Debug, Default)]
pub(crate) struct Block {
    /// Every line before `----`, with its number in the file.
    done: Vec<(usize, String)>,
    seen: Vec<String>,
}

impl Block {
    /// The commands, with their line numbers.
    pub(crate) fn commands(&self) -> impl Iterator<Item = (usize, &str)> {
        let lines = self.done.iter().map(|(number, line)| (*number, line.as_str()));
        lines.filter(|(_, line)| !line.trim().is_empty() && !line.starts_with('#'))
    }

    /// Replaces what was expected by what was seen.
    pub(crate) fn observe(&mut self, seen: Vec<String>) {
        self.seen = seen;
    }
}

/// A whole file.
#[derive(Debug)]
pub(crate) struct Story {
    blocks: Vec<Block>,
}

impl Story {
    /// Splits a file into blocks: commands up to `----`, then observations up to an empty line.
    pub(crate) fn parse(text: &str) -> Self {
        let mut blocks = vec![Block::default()];
        let mut seeing = false;
        for (number, line) in (1..).zip(text.lines()) {
            if seeing && line.trim().is_empty() {
                blocks.push(Block::default());
                seeing = false;
            } else if line == "----" {
                seeing = true;
            } else if let Some(block) = blocks.last_mut() {
                if seeing {
                    block.seen.push(line.to_owned());
                } else {
                    block.done.push((number, line.to_owned()));
                }
            }
        }
        blocks.retain(|block| !block.done.is_empty());
        Self { blocks }
    }

    pub(crate) fn blocks_mut(&mut self) -> impl Iterator<Item = &mut Block> {
        self.blocks.iter_mut()
    }

    /// The file again.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        for (index, block) in self.blocks.iter().enumerate() {
            if index > 0 {
                text.push('\n');
            }
            for (_, line) in &block.done {
                text.push_str(line);
                text.push('\n');
            }
            text.push_str("----\n");
            for line in &block.seen {
                text.push_str(line);
                text.push('\n');
            }
        }
        text
    }
}

/// A name, plain words, and `key=value` pairs.
#[derive(Debug)]
pub(crate) struct Command {
    name: String,
    words: Vec<String>,
    pairs: Vec<(String, String)>,
    /// Keys that were asked for, so that a misspelt one is noticed.
    known: RefCell<BTreeSet<String>>,
}

impl Command {
    pub(crate) fn parse(line: &str) -> Result<Self, String> {
        let mut parts = line.split_whitespace();
        let name = parts.next().ok_or("a command has a name")?.to_owned();
        let (mut words, mut pairs) = (Vec::new(), Vec::new());
        for part in parts.take_while(|part| !part.starts_with('#')) {
            match part.split_once('=') {
                Some((key, value)) => pairs.push((key.to_owned(), value.to_owned())),
                None => words.push(part.to_owned()),
            }
        }
        Ok(Self { name, words, pairs, known: RefCell::default() })
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn unknown(&self) -> String {
        format!("unknown command `{}`", self.name)
    }

    /// The value of `key`, if it was given.
    pub(crate) fn value(&self, key: &str) -> Option<&str> {
        self.known.borrow_mut().insert(key.to_owned());
        self.pairs.iter().find(|(k, _)| k == key).map(|(_, value)| value.as_str())
    }

    /// The value of `key`.
    pub(crate) fn needed(&self, key: &str) -> Result<&str, String> {
        self.value(key).ok_or_else(|| format!("`{}` needs `{key}=`", self.name))
    }

    /// The first plain word.
    pub(crate) fn word(&self) -> Result<&str, String> {
        self.words.first().map(String::as_str).ok_or_else(|| format!("`{}` of what?", self.name))
    }

    /// Every plain word.
    pub(crate) fn words(&self) -> impl Iterator<Item = &str> {
        self.words.iter().map(String::as_str)
    }

    /// The first plain word as an offset.
    pub(crate) fn offset(&self) -> Result<Offset, String> {
        number(self.word()?).map(Offset::new)
    }

    pub(crate) fn check_all_used(&self) -> Result<(), String> {
        let known = self.known.borrow();
        match self.pairs.iter().find(|(key, _)| !known.contains(key)) {
            Some((key, _)) => Err(format!("`{}` does not know `{key}=`", self.name)),
            None => Ok(()),
        }
    }
}

pub(crate) fn number(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| format!("`{text}` is not a number"))
}

/// `4..6`, or `4` for just that.
pub(crate) fn range(text: &str) -> Result<(Offset, Offset), String> {
    let (first, last) = text.split_once("..").unwrap_or((text, text));
    Ok((Offset::new(number(first)?), Offset::new(number(last)?)))
}

/// `300ms`, `5s`, `2m`, `1h`.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("`{text}` is not a duration");
    let digits = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
    let (count, unit) = text.split_at(digits);
    let count: u64 = count.parse().map_err(|_| wrong())?;
    match unit {
        "ms" => Ok(Duration::from_millis(count)),
        "s" => Ok(Duration::from_secs(count)),
        "m" => Ok(Duration::from_secs(count * 60)),
        "h" => Ok(Duration::from_secs(count * 3600)),
        _ => Err(wrong()),
    }
}

/// `+5.731s` since the start of the story.
pub(crate) fn moment(at: Instant) -> String {
    let (seconds, ms) = (at.as_ms() / 1000, at.as_ms() % 1000);
    let mut text = format!("+{seconds}");
    if ms > 0 {
        write!(text, ".{ms:03}").expect("writing to a string cannot fail");
    }
    text + "s"
}
