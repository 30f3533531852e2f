//! What the system says of this process.

use std::fs;
use std::time::Duration;

use rustix::process::{Resource, getrlimit};
use rustix::time::{ClockId, clock_gettime};

/// Open files that are counted one by one, where the system does not know how many there are: that
/// takes a microsecond each.
const FILES_COUNTED_MAX: usize = 20_000;

/// What a process has taken. What a system does not tell is `None`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Process {
    pub(crate) resident_bytes: Option<u64>,
    pub(crate) threads: Option<u64>,
    pub(crate) open_files: Option<u64>,
    /// `None` also where there is no bound.
    pub(crate) open_files_max: Option<u64>,
    /// Time of processors, of all threads.
    pub(crate) cpu: Duration,
}

impl Process {
    /// This one, now. Reads two files that are in memory.
    pub(crate) fn this() -> Self {
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let cpu = clock_gettime(ClockId::ProcessCPUTime);
        let seconds = u64::try_from(cpu.tv_sec).unwrap_or(0);
        Self {
            resident_bytes: field(&status, "VmRSS:").map(|kib| kib * 1024),
            threads: field(&status, "Threads:"),
            open_files: open_files(),
            open_files_max: getrlimit(Resource::Nofile).current,
            cpu: Duration::new(seconds, u32::try_from(cpu.tv_nsec).unwrap_or(0)),
        }
    }
}

/// The number behind a name, without its unit.
fn field(status: &str, name: &str) -> Option<u64> {
    let rest = status.lines().find_map(|line| line.strip_prefix(name))?;
    rest.split_whitespace().next()?.parse().ok()
}

/// The directory says how many there are since Linux 6.2; before, all have to be counted.
fn open_files() -> Option<u64> {
    const DIRECTORY: &str = "/proc/self/fd";
    let told = fs::metadata(DIRECTORY).ok()?.len();
    if told > 0 {
        return Some(told);
    }
    // The one that counts is open as well.
    let counted = fs::read_dir(DIRECTORY).ok()?.take(FILES_COUNTED_MAX + 1).count();
    (counted <= FILES_COUNTED_MAX).then_some(counted.saturating_sub(1) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_without_their_unit() {
        let status = "Name:\tVmRSS: 5\nVmRSS:\t  2048 kB\nThreads:\t7\n";
        assert_eq!(field(status, "VmRSS:"), Some(2048));
        assert_eq!(field(status, "Threads:"), Some(7));
        assert_eq!(field(status, "VmSwap:"), None);
        assert_eq!(field("VmRSS:\n", "VmRSS:"), None);
    }

    #[test]
    fn this_process_has_taken_something() {
        let before = Process::this();
        let opened: Vec<_> =
            (0..10).map(|_| fs::File::open("/proc/self/status").unwrap()).collect();
        let process = Process::this();
        assert!(process.resident_bytes.unwrap() > 1024 * 1024);
        assert!(process.threads.unwrap() >= 1);
        assert!(process.open_files.unwrap() >= before.open_files.unwrap() + opened.len() as u64);
        assert!(process.open_files_max.is_none_or(|most| most >= process.open_files.unwrap()));
        assert!(process.cpu > Duration::ZERO && process.cpu >= before.cpu);
    }
}
