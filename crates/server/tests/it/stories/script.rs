//! How a story is written: blocks, lines, times.

use std::time::Duration;

/// One part of a story: what is done, then what is seen.
#[derive(Debug, Default)]
pub(super) struct Block {
    /// Every line before `----`, with its number in the file.
    done: Vec<(usize, String)>,
    pub(super) seen: Vec<String>,
}

impl Block {
    /// What is done, without what is for the reader.
    pub(super) fn commands(&self) -> impl Iterator<Item = (usize, &str)> {
        let lines = self.done.iter().map(|(number, line)| (*number, line.as_str()));
        lines.filter(|(_, line)| !line.trim().is_empty() && !line.starts_with('#'))
    }
}

/// A whole file.
#[derive(Debug)]
pub(super) struct Story {
    pub(super) blocks: Vec<Block>,
}

impl Story {
    /// Splits a file into blocks: what is done up to `----`, what is seen up to an empty line.
    pub(super) fn parse(text: &str) -> Self {
        let mut blocks = vec![Block::default()];
        let mut is_seen = false;
        for (number, line) in (1..).zip(text.lines()) {
            if is_seen && line.trim().is_empty() {
                blocks.push(Block::default());
                is_seen = false;
            } else if line == "----" {
                is_seen = true;
            } else if let Some(block) = blocks.last_mut() {
                match is_seen {
                    true => block.seen.push(line.to_owned()),
                    false => block.done.push((number, line.to_owned())),
                }
            }
        }
        blocks.retain(|block| !block.done.is_empty());
        Self { blocks }
    }

    /// The file again.
    pub(super) fn text(&self) -> String {
        let block = |block: &Block| {
            let done: String = block.done.iter().map(|(_, line)| format!("{line}\n")).collect();
            let seen: String = block.seen.iter().map(|line| format!("{line}\n")).collect();
            format!("{done}----\n{seen}")
        };
        self.blocks.iter().map(block).collect::<Vec<_>>().join("\n")
    }
}

/// `300ms`, `5s`.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("`{text}` is no time: `300ms` and `5s` are");
    let digits = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
    let (count, unit) = text.split_at(digits);
    let count: u64 = count.parse().map_err(|_| wrong())?;
    match unit {
        "ms" => Ok(Duration::from_millis(count)),
        "s" => Ok(Duration::from_secs(count)),
        _ => Err(wrong()),
    }
}
