//! Stories of a queue with priorities: `urgent`, `normal` and `bulk` put something in it, `take N`
//! takes so many out.

use tidings_core::{Priority, PriorityQueue};

use crate::story::{Command, Machine, number};

#[derive(Debug, Default)]
pub(crate) struct Waiting {
    queue: PriorityQueue<String>,
}

impl Machine for Waiting {
    fn run(&mut self, command: &Command, observed: &mut Vec<String>) -> Result<(), String> {
        let priority = Priority::ALL.into_iter().find(|p| p.as_str() == command.name());
        match (command.name(), priority) {
            ("queue", _) => {}
            ("take", _) => {
                let count = number(command.word()?)? as usize;
                let taken: Vec<_> = std::iter::from_fn(|| self.queue.pop()).take(count).collect();
                observed.push(format!("{} ({} wait)", taken.join(" "), self.queue.len()));
            }
            (_, Some(priority)) => {
                let name = command.word()?.to_owned();
                let times = command.value("times").map_or(Ok(1), number)?;
                for n in 1..=times {
                    let name = if times == 1 { name.clone() } else { format!("{name}{n}") };
                    self.queue.push(priority, name);
                }
            }
            (_, None) => return Err(command.unknown()),
        }
        Ok(())
    }
}
