//! The machine under measurement: its cores, its limits, and where files land.

use std::path::Path;

use anyhow::{Context as _, bail};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use serde::Serialize;

use crate::procfs;

/// What a figure depends on besides the servers.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Machine {
    processor: Option<String>,
    kernel: String,
    cores: usize,
    /// At the start: other work on the machine shows here.
    load_average: String,
}

impl Machine {
    pub(crate) fn look() -> anyhow::Result<Self> {
        Ok(Self {
            processor: procfs::processor(),
            kernel: procfs::kernel_release()?,
            cores: allowed_cores()?.len(),
            load_average: procfs::load_average()?,
        })
    }
}

/// The cores this process may use.
pub(crate) fn allowed_cores() -> anyhow::Result<Vec<usize>> {
    let set = sched_getaffinity(None).context("cannot ask which cores this process may use")?;
    Ok((0..CpuSet::MAX_CPU).filter(|core| set.is_set(*core)).collect())
}

/// Keeps this thread, and processes and threads it starts from now on, on these cores.
pub(crate) fn pin(cores: &[usize]) -> anyhow::Result<()> {
    let mut set = CpuSet::new();
    for core in cores {
        if *core >= CpuSet::MAX_CPU {
            bail!("there is no core {core}, use one of {:?}", allowed_cores()?);
        }
        set.set(*core);
    }
    sched_setaffinity(None, &set)
        .with_context(|| format!("cannot stay on cores {cores:?}, check which exist"))
}

/// Lets this process open as many files as the administrator allows at most: each connection is
/// one, here and in the servers that `compare` starts.
pub(crate) fn raise_open_files_limit() -> anyhow::Result<()> {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit })
        .context("cannot raise the limit of open files")
}

/// Fails with advice when `connections` sockets do not fit the limit of open files.
pub(crate) fn check_open_files(connections: usize) -> anyhow::Result<()> {
    /// Standard streams, epoll, the listener and files read meanwhile.
    const OTHER_FILES: u64 = 32;
    let limit = getrlimit(Resource::Nofile).current;
    match limit {
        Some(limit) if (connections as u64) + OTHER_FILES > limit => bail!(
            "{connections} connections need more than the {limit} open files allowed, raise \
             `ulimit -Hn` or ask for fewer"
        ),
        Some(_) | None => Ok(()),
    }
}

/// Whether files in `directory` live in memory, where a sync costs nothing.
pub(crate) fn is_in_memory(directory: &Path) -> anyhow::Result<bool> {
    /// `TMPFS_MAGIC` and `RAMFS_MAGIC` of the kernel's `magic.h`.
    const IN_MEMORY: [u64; 2] = [0x0102_1994, 0x8584_58f6];
    let stats = rustix::fs::statfs(directory)
        .with_context(|| format!("cannot look at {}", directory.display()))?;
    Ok(IN_MEMORY.contains(&(stats.f_type as u64 & 0xffff_ffff)))
}
