//! The binary `tidings`: the server, and the commands that talk to it.

mod arguments;
mod clock_text;
mod completions;
mod configuration;
mod connect;
mod data;
mod dead_letters;
mod dev;
mod failure;
mod groups;
mod history;
mod logging;
mod memory;
mod open_files;
mod operator;
mod parse;
mod publish;
mod running;
mod scheduled;
mod serve;
mod shown;
mod signals;
mod standard_output;
mod subscribe;
mod table;
mod token;
mod tour;
mod trace;
mod users;

use std::process::ExitCode;

use clap::Parser;

use arguments::Arguments;

fn main() -> ExitCode {
    match Arguments::parse().command.run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failure::tell(&error),
    }
}
