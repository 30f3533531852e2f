//! `cargo xtask counts`: how many instructions the hot functions take, against what they took when
//! somebody last looked. Counts hardly move on a busy machine, where times do.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::step::Step;
use crate::tools::{self, VALGRIND};

/// Where the counts are kept.
const FILE: &str = "bench/counts.toml";

/// By how much a count may differ, in percent.
const TOLERANCE_PERCENT: u64 = 5;

const HEAD: &str = "\
# Instructions of one run of each hot function, as `cargo xtask counts` compares them.
# Written by `UPDATE_EXPECT=1 cargo xtask counts`. Another compiler or another C library gives
# other counts: then renew them in a commit that changes nothing else.
";

/// Instructions by the name of the work.
type Counts = BTreeMap<String, u64>;

/// A piece of work as the counting program lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Work {
    name: String,
    operations: u64,
    rounds: u64,
}

/// Counts everything, and compares or, with `UPDATE_EXPECT=1`, writes down.
pub(crate) fn run(root: &Path) -> Result<()> {
    tools::require(&[VALGRIND])?;
    Step::cargo("counting program", "build --release --package tidings-counts --locked")
        .run(root)?;
    let program = program()?;
    let mut counts = Counts::new();
    for work in listed(&output(Command::new(&program).arg("list"))?)? {
        let count = count(&program, &work)?;
        println!("{count:>9}  {}", work.name);
        counts.insert(work.name, count);
    }
    let file = root.join(FILE);
    if std::env::var_os("UPDATE_EXPECT").is_some_and(|value| value == "1") {
        std::fs::write(&file, written(&counts)).with_context(|| format!("cannot write {FILE}"))?;
        println!("wrote {FILE}: say in the commit why the counts changed");
        return Ok(());
    }
    let text = std::fs::read_to_string(&file).with_context(|| {
        format!("cannot read {FILE}: make it with `UPDATE_EXPECT=1 cargo xtask counts`")
    })?;
    let verdict = compare(&parsed(&text)?, &counts);
    for line in &verdict.better {
        println!("note: {line}");
    }
    if !verdict.worse.is_empty() {
        bail!("{}\n{RENEW}", verdict.worse.join("\n"));
    }
    Ok(())
}

const RENEW: &str = "find out with `valgrind --tool=callgrind`; if it is meant, or the compiler or \
                     the machine is another one, renew with `UPDATE_EXPECT=1 cargo xtask counts`";

/// The program that was just built: it lies beside this one's folder.
fn program() -> Result<PathBuf> {
    let own = std::env::current_exe().context("this program does not know where it lies")?;
    let folder = own.parent().and_then(Path::parent).context("xtask must lie in a build folder")?;
    Ok(folder.join("release").join("tidings-counts"))
}

/// What one operation takes: the difference of two runs, so that start and preparation cancel out.
fn count(program: &Path, work: &Work) -> Result<u64> {
    let once = instructions(program, &work.name, work.rounds)?;
    let twice = instructions(program, &work.name, 2 * work.rounds)?;
    let more = twice.checked_sub(once).filter(|more| *more > 0);
    let more = more.with_context(|| format!("`{}`: twice the rounds took no more", work.name))?;
    let operations = work.rounds * work.operations;
    Ok((more + operations / 2) / operations)
}

fn instructions(program: &Path, name: &str, rounds: u64) -> Result<u64> {
    let mut command = Command::new("valgrind");
    // An empty environment: its size moves the stack, and variables change how the C library works.
    let path = std::env::var_os("PATH").unwrap_or_default();
    command.env_clear().env("PATH", path);
    command.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]);
    command.arg(program).arg(name).arg(rounds.to_string());
    collected(&output(&mut command)?)
        .with_context(|| format!("valgrind told no count of instructions for `{name}`"))
}

/// Everything the command says, if it succeeds.
fn output(command: &mut Command) -> Result<String> {
    let output = command.output().with_context(|| format!("cannot start {command:?}"))?;
    let told = [output.stdout, output.stderr].concat();
    let told = String::from_utf8_lossy(&told).into_owned();
    if !output.status.success() {
        bail!("{command:?} failed ({}):\n{told}", output.status);
    }
    Ok(told)
}

/// The count in what callgrind says at its end.
fn collected(told: &str) -> Option<u64> {
    told.lines().find_map(|line| line.split_once("Collected :")?.1.trim().parse().ok())
}

fn listed(told: &str) -> Result<Vec<Work>> {
    told.lines()
        .map(|line| {
            let words: Vec<&str> = line.split(' ').collect();
            let [name, operations, rounds] = words[..] else { bail!("no work: {line}") };
            let (operations, rounds) = (operations.parse()?, rounds.parse()?);
            Ok(Work { name: name.to_owned(), operations, rounds })
        })
        .collect()
}

fn written(counts: &Counts) -> String {
    let mut text = HEAD.to_owned();
    for (name, count) in counts {
        writeln!(text, "{name} = {count}").expect("a String takes any text");
    }
    text
}

/// The lines `name = count`, which is all of TOML that the file needs.
fn parsed(text: &str) -> Result<Counts> {
    let lines = text.lines().enumerate();
    let lines = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    lines
        .map(|(index, line)| {
            let entry = line.split_once(" = ");
            let entry = entry.and_then(|(name, count)| Some((name, count.parse().ok()?)));
            let at = index + 1;
            let (name, count) = entry
                .with_context(|| format!("{FILE}:{at}: expected `name = count`, found `{line}`"))?;
            Ok((name.to_owned(), count))
        })
        .collect()
}

/// What is worth saying of the counts.
#[derive(Debug, Default, PartialEq, Eq)]
struct Verdict {
    worse: Vec<String>,
    better: Vec<String>,
}

fn compare(expected: &Counts, found: &Counts) -> Verdict {
    let mut verdict = Verdict::default();
    for (name, now) in found {
        let Some(before) = expected.get(name) else {
            verdict.worse.push(format!("{name} is not in {FILE}"));
            continue;
        };
        let told = format!("{name} took {before} instructions and takes {now} now");
        if now * 100 > before * (100 + TOLERANCE_PERCENT) {
            verdict.worse.push(format!("{told}: more than {TOLERANCE_PERCENT} % more"));
        } else if now * 100 < before * (100 - TOLERANCE_PERCENT) {
            verdict.better.push(format!(
                "{told}: write the better count down with `UPDATE_EXPECT=1 cargo xtask counts`"
            ));
        }
    }
    for name in expected.keys().filter(|name| !found.contains_key(*name)) {
        verdict.worse.push(format!("{name} is in {FILE}, and is not counted any more"));
    }
    verdict
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(entries: &[(&str, u64)]) -> Counts {
        entries.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect()
    }

    #[test]
    fn more_than_the_tolerance_is_worse_and_less_is_better() {
        let verdict = |now| compare(&counts(&[("a", 1_000)]), &counts(&[("a", now)]));
        assert_eq!(verdict(1_050), Verdict::default());
        assert_eq!(verdict(950), Verdict::default());
        let (worse, better) = (verdict(1_051), verdict(949));
        assert_eq!((worse.worse.len(), worse.better.len()), (1, 0), "{worse:?}");
        assert_eq!((better.worse.len(), better.better.len()), (0, 1), "{better:?}");
        assert!(worse.worse[0].contains("took 1000 instructions and takes 1051 now"), "{worse:?}");
    }

    #[test]
    fn what_is_counted_and_what_is_written_down_must_be_the_same_work() {
        let verdict = compare(&counts(&[("gone", 1)]), &counts(&[("new", 1)]));
        assert_eq!(verdict.worse.len(), 2, "{verdict:?}");
    }

    #[test]
    fn counts_read_back_as_they_were_written() {
        let counts = counts(&[("append", 1_234), ("encode_json", 56)]);
        assert_eq!(parsed(&written(&counts)).unwrap(), counts);
        let error = parsed("append = many").unwrap_err().to_string();
        assert_eq!(error, "bench/counts.toml:1: expected `name = count`, found `append = many`");
    }

    #[test]
    fn finds_the_count_in_what_valgrind_says() {
        let told = "==7== Events    : Ir\n==7== Collected : 4711\n==7== \n";
        assert_eq!(collected(told), Some(4_711));
        assert_eq!(collected("==7== killed"), None);
    }

    #[test]
    fn reads_the_list_of_work() {
        let work = Work { name: "append".to_owned(), operations: 64, rounds: 10 };
        assert_eq!(listed("append 64 10\n").unwrap(), [work]);
        assert!(listed("append 64").is_err());
    }
}
