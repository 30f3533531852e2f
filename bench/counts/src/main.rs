//! Runs one hot function so and so often, and nothing else: for counting its instructions.
//!
//! `cargo xtask counts` starts it under valgrind with two numbers of rounds; the difference is what
//! a round costs, without the start of the program and without what a piece of work prepares. One
//! thread, fixed seeds, no clock. Each piece of work asserts that it did what its name says.

mod decisions;
mod framing;
mod log;
mod wire;

use anyhow::{Context, Result, bail};

/// Something to be counted.
struct Work {
    name: &'static str,
    /// How often the function runs in a round.
    operations: u64,
    /// How many rounds are enough for what happens only now and then to be shared out.
    rounds: u64,
    run: fn(u64),
}

const fn work(name: &'static str, operations: u64, rounds: u64, run: fn(u64)) -> Work {
    Work { name, operations, rounds, run }
}

const WORK: [Work; 13] = [
    work("encode_json", 1, 2_000, wire::encode_json),
    work("encode_protobuf", 1, 2_000, wire::encode_protobuf),
    work("decode_publish_json", 1, 2_000, wire::decode_json),
    work("decode_publish_protobuf", 1, 2_000, wire::decode_protobuf),
    work("unmask_client_frame", 1, 2_000, framing::unmask),
    work("live_decisions_of_1000", 1, 200, decisions::live),
    work("window_deliver_and_ack", 1, 4_096, decisions::window),
    work("group_divide_and_ack", 1, 4_096, decisions::group),
    work("group_divide_and_ack_ordered", 1, 4_096, decisions::group_ordered),
    work("append", log::BATCH, log::ROUNDS, log::append),
    work("append_with_key", log::BATCH, log::ROUNDS, log::append_with_key),
    work("publish_repeated", log::BATCH, log::ROUNDS, log::publish_repeated),
    work("session_save", log::BATCH, log::ROUNDS, log::session_save),
];

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["list"] => {
            for work in &WORK {
                println!("{} {} {}", work.name, work.operations, work.rounds);
            }
            Ok(())
        }
        [name, rounds] => {
            let work = WORK.iter().find(|work| work.name == name);
            let work = work.with_context(|| format!("`{name}` is none of: see `list`"))?;
            let rounds = rounds.parse().context("ROUNDS must be a whole number")?;
            (work.run)(rounds);
            Ok(())
        }
        _ => bail!("usage: tidings-counts list | NAME ROUNDS"),
    }
}
