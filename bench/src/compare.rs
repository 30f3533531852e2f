//! Starts servers, drives each with the same work in turns, and prints medians and ratios.

mod peer;
mod table;
mod workload;

use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, bail};
use clap::Args;
use serde::Serialize;

use crate::chart;
use crate::compare::peer::{Peer, Server};
use crate::compare::table::{Row, rows};
use crate::compare::workload::Workload;
use crate::machine::{self, Machine};
use crate::report::{self, Report};

/// Where results go unless `--json` says otherwise, from the directory of the call.
const RESULTS: &str = "bench/results";

/// What is compared.
#[derive(Clone, Debug, Args)]
pub(crate) struct CompareOptions {
    /// The `tidings` binary; without it only the bare servers and peers are measured
    #[arg(long, value_name = "PATH")]
    tidings: Option<PathBuf>,
    /// One more argument for `tidings dev`; may be repeated
    #[arg(long, value_name = "ARG", allow_hyphen_values = true, requires = "tidings")]
    tidings_arg: Vec<String>,
    /// The `node_modules` folder with the package `ws`; without it that is not measured
    #[arg(long, value_name = "DIR")]
    node_modules: Option<PathBuf>,
    /// How often each server is measured at each workload, in turns
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// Small and short, to see that everything works; the figures say little
    #[arg(long)]
    quick: bool,
    /// Only workloads whose name contains this; may be repeated
    #[arg(long, value_name = "NAME")]
    only: Vec<String>,
    /// The topic that fan-out publishes to
    #[arg(long, default_value = "bench")]
    fanout_topic: String,
    /// Cores for the server; the generator gets the next one
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1024))]
    server_cores: u32,
    /// Where servers keep their data during a run; should be the disk that matters
    #[arg(long, value_name = "DIR", default_value_os_t = std::env::temp_dir())]
    data: PathBuf,
}

/// One measurement of one server.
#[derive(Debug, Serialize)]
struct Run {
    round: u32,
    workload: String,
    server: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    report: Option<Report>,
    #[serde(skip_serializing_if = "Option::is_none")]
    failure: Option<String>,
}

/// Everything that was found, as it is written to the file.
#[derive(Debug, Serialize)]
struct Comparison {
    at_unix_s: u64,
    machine: Machine,
    quick: bool,
    pinned: bool,
    notices: Vec<String>,
    medians: Vec<Row>,
    runs: Vec<Run>,
}

/// Which cores the servers and the generator stay on.
#[derive(Clone, Debug)]
struct Cores {
    server: Vec<usize>,
    generator: Vec<usize>,
    pinned: bool,
}

/// Runs the comparison and writes its result, to `json` or a new file in `bench/results`.
pub(crate) fn run(options: &CompareOptions, json: Option<&Path>) -> anyhow::Result<()> {
    let workloads = workload::chosen(options.quick, &options.only, &options.fanout_topic)?;
    let mut notices = Vec::new();
    let peers = peer::available(
        options.tidings.as_deref(),
        &options.tidings_arg,
        options.node_modules.as_deref(),
        &mut notices,
    )?;
    let cores = Cores::choose(options.server_cores as usize, &mut notices)?;
    if machine::is_in_memory(&options.data)? {
        notices.push(format!(
            "{} is in memory, so syncs cost nothing: durable figures say nothing, use --data",
            options.data.display()
        ));
    }
    let output = match json {
        Some(path) => path.to_owned(),
        None => new_result_file()?,
    };
    let page = output.with_extension("html");
    if page == output {
        bail!("the page with the bars goes to {}, end --json with .json", page.display());
    }
    let machine = Machine::look()?;
    for notice in &notices {
        eprintln!("note: {notice}");
    }
    let mut runs = Vec::new();
    for round in 1..=options.rounds {
        for workload in &workloads {
            for peer in peers.iter().filter(|peer| workload.takes(peer)) {
                eprintln!("round {round}: {} on {}", workload.name, peer.name());
                let outcome = measure(peer, workload, &cores, &options.data);
                runs.push(Run::new(round, workload, peer, outcome));
            }
        }
    }
    let medians = rows(&workloads, &runs);
    print!("{}", table::Table(&medians));
    let comparison = Comparison {
        at_unix_s: unix_seconds(),
        machine,
        quick: options.quick,
        pinned: cores.pinned,
        notices,
        medians,
        runs,
    };
    report::write_json(&output, &comparison)?;
    chart::run(&output, &page)?;
    println!("\nall rounds are in {}, bars in {}", output.display(), page.display());
    match comparison.runs.iter().filter(|run| run.failure.is_some()).count() {
        0 => Ok(()),
        failed => bail!("{failed} runs failed, see above and in the result"),
    }
}

/// Starts the server fresh, so that no run inherits the memory or the log of another.
fn measure(peer: &Peer, workload: &Workload, cores: &Cores, data: &Path) -> anyhow::Result<Report> {
    machine::pin(&cores.server)?;
    let server = Server::start(peer, data);
    machine::pin(&cores.generator)?;
    let mut server = server?;
    server.wait_until_ready()?;
    let outcome = workload.run(server.options()?, server.secret_file());
    outcome.map_err(|error| server.explain(error))
}

impl Run {
    fn new(round: u32, workload: &Workload, peer: &Peer, outcome: anyhow::Result<Report>) -> Self {
        let (report, failure) = match outcome {
            Ok(report) => {
                let failure = report.check().err().map(|error| format!("{error:#}"));
                (Some(report), failure)
            }
            Err(error) => (None, Some(format!("{error:#}"))),
        };
        if let Some(failure) = &failure {
            eprintln!("failed: {failure}");
        }
        Self { round, workload: workload.name.clone(), server: peer.name(), report, failure }
    }
}

impl Cores {
    fn choose(servers: usize, notices: &mut Vec<String>) -> anyhow::Result<Self> {
        let allowed = machine::allowed_cores()?;
        if allowed.len() > servers {
            let (server, rest) = allowed.split_at(servers);
            let generator = rest[..1].to_vec();
            return Ok(Self { server: server.to_vec(), generator, pinned: true });
        }
        notices.push(format!(
            "{} cores are too few for {servers} and one for the generator: they share them",
            allowed.len()
        ));
        Ok(Self { server: allowed.clone(), generator: allowed, pinned: false })
    }
}

fn unix_seconds() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}

fn new_result_file() -> anyhow::Result<PathBuf> {
    std::fs::create_dir_all(RESULTS).with_context(|| {
        format!("cannot create {RESULTS}, run from the repository or use --json")
    })?;
    Ok(Path::new(RESULTS).join(format!("compare-{}.json", unix_seconds())))
}
