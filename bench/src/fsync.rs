//! How long the disk takes: 4 KiB written and synced, on a prewritten and on a growing file.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::time::Instant;

use anyhow::Context as _;

use crate::histogram::Histogram;
use crate::limit::prewritten;
use crate::machine;
use crate::report::Report;

const BLOCK_BYTES: usize = 4096;

/// Measures `writes` on each kind of file at `path`, which must not exist.
pub(crate) fn run(path: &Path, writes: u32) -> anyhow::Result<Report> {
    let bytes = u64::from(writes) * BLOCK_BYTES as u64;
    let grown = OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(path)
        .with_context(|| format!("cannot create {}", path.display()))?;
    let growing = measure(&grown, writes);
    remove(path)?;
    let growing = growing?;
    let ready = prewritten(path, bytes)?;
    let prewritten = measure(&ready, writes);
    remove(path)?;
    report(path, writes, &prewritten?, &growing)
}

fn measure(file: &File, writes: u32) -> anyhow::Result<Histogram> {
    let block = [0x5a; BLOCK_BYTES];
    let mut histogram = Histogram::new();
    for write in 0..u64::from(writes) {
        let start = Instant::now();
        file.write_all_at(&block, write * BLOCK_BYTES as u64).context("cannot write")?;
        file.sync_data().context("cannot sync")?;
        histogram.record(start.elapsed());
    }
    Ok(histogram)
}

fn remove(path: &Path) -> anyhow::Result<()> {
    fs::remove_file(path).with_context(|| format!("cannot remove {}", path.display()))
}

fn report(
    path: &Path,
    writes: u32,
    prewritten: &Histogram,
    growing: &Histogram,
) -> anyhow::Result<Report> {
    let mut report = Report::new("fsync");
    report.setting("writes", writes);
    report.setting("block_bytes", BLOCK_BYTES);
    for (names, histogram) in [
        (["prewritten_p50_us", "prewritten_p99_us", "prewritten_max_us"], prewritten),
        (["growing_p50_us", "growing_p99_us", "growing_max_us"], growing),
    ] {
        let values = [histogram.quantile(0.5), histogram.quantile(0.99), histogram.max()];
        for (name, value) in names.into_iter().zip(values) {
            report.figure(name, value.as_secs_f64() * 1e6);
        }
    }
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    if machine::is_in_memory(directory.unwrap_or(Path::new(".")))? {
        report.notes.push("the file lies in memory, where a sync costs nothing".to_owned());
    }
    Ok(report)
}
