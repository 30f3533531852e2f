//! What the kernel says about processes and the machine, read from `/proc`.

use std::fs;
use std::time::Duration;

use anyhow::{Context as _, anyhow};

/// Memory of one process, bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct UserMemory {
    /// Proportional set size: shared pages count in part.
    pub(crate) pss: u64,
    /// Pages that only this process has, and has written to.
    pub(crate) private_dirty: u64,
}

/// Memory the kernel holds for the whole machine, bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct KernelMemory {
    /// Buffers of TCP sockets; the kernel keeps this figure in pages and only roughly.
    pub(crate) tcp_buffers: u64,
    /// Slab memory that it cannot give back: sockets, files, epoll entries.
    pub(crate) slab: u64,
}

/// CPU time of a process so far, all threads, user and system; exact to a clock tick (10 ms).
pub(crate) fn cpu_time(pid: u32) -> anyhow::Result<Duration> {
    let stat = read(&format!("/proc/{pid}/stat"))?;
    let ticks = cpu_ticks(&stat).ok_or_else(|| anyhow!("/proc/{pid}/stat has an unknown form"))?;
    let per_second = rustix::param::clock_ticks_per_second();
    Ok(Duration::from_secs_f64(ticks as f64 / per_second as f64))
}

/// CPU time of a process so far, as exactly as the kernel says it: to a few milliseconds. Its
/// threads are asked one by one, so what ended ones took is only in the coarse figure, which is never
/// more than the truth either: the larger of both counts.
pub(crate) fn exact_cpu_time(pid: u32) -> anyhow::Result<Duration> {
    let coarse = cpu_time(pid)?;
    let tasks = format!("/proc/{pid}/task");
    let mut exact = Duration::ZERO;
    for task in fs::read_dir(&tasks).with_context(|| format!("cannot read {tasks}"))? {
        // A kernel without this file leaves the coarse figure; so does a thread that ends meanwhile.
        if let Ok(task) = task
            && let Ok(schedstat) = fs::read_to_string(task.path().join("schedstat"))
        {
            exact += Duration::from_nanos(running_ns(&schedstat).unwrap_or_default());
        }
    }
    Ok(coarse.max(exact))
}

/// CPU time of this process so far.
pub(crate) fn own_cpu_time() -> anyhow::Result<Duration> {
    exact_cpu_time(std::process::id())
}

/// Memory of a process now.
pub(crate) fn user_memory(pid: u32) -> anyhow::Result<UserMemory> {
    let path = format!("/proc/{pid}/smaps_rollup");
    let rollup = read(&path)?;
    let field = |name| {
        kilobytes(&rollup, name).ok_or_else(|| anyhow!("{path} has no readable field {name}"))
    };
    Ok(UserMemory { pss: field("Pss:")?, private_dirty: field("Private_Dirty:")? })
}

/// The most memory that a process ever had resident, bytes.
pub(crate) fn peak_memory(pid: u32) -> anyhow::Result<u64> {
    let path = format!("/proc/{pid}/status");
    kilobytes(&read(&path)?, "VmHWM:").ok_or_else(|| anyhow!("{path} has no readable VmHWM"))
}

/// Memory of a process that is resident now, bytes.
pub(crate) fn resident_memory(pid: u32) -> anyhow::Result<u64> {
    let path = format!("/proc/{pid}/status");
    kilobytes(&read(&path)?, "VmRSS:").ok_or_else(|| anyhow!("{path} has no readable VmRSS"))
}

/// Memory of the kernel now.
pub(crate) fn kernel_memory() -> anyhow::Result<KernelMemory> {
    let sockstat = read("/proc/net/sockstat")?;
    let pages = tcp_pages(&sockstat).context("/proc/net/sockstat has no TCP line with mem")?;
    let meminfo = read("/proc/meminfo")?;
    let slab = kilobytes(&meminfo, "SUnreclaim:").context("/proc/meminfo has no SUnreclaim")?;
    Ok(KernelMemory { tcp_buffers: pages * rustix::param::page_size() as u64, slab })
}

/// The load averages of the machine, as `/proc/loadavg` has them.
pub(crate) fn load_average() -> anyhow::Result<String> {
    let text = read("/proc/loadavg")?;
    Ok(text.split_whitespace().take(3).collect::<Vec<_>>().join(" "))
}

/// The processor's name, if the kernel says one.
pub(crate) fn processor() -> Option<String> {
    let text = fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = text.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

/// The kernel's release.
pub(crate) fn kernel_release() -> anyhow::Result<String> {
    Ok(read("/proc/sys/kernel/osrelease")?.trim().to_owned())
}

fn read(path: &str) -> anyhow::Result<String> {
    fs::read_to_string(path).with_context(|| format!("cannot read {path}"))
}

/// utime + stime. The program's name comes before them in parentheses and may hold anything.
fn cpu_ticks(stat: &str) -> Option<u64> {
    let after_name = &stat[stat.rfind(')')? + 1..];
    let mut fields = after_name.split_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(user + system)
}

/// The time a thread ran: the first of three numbers.
fn running_ns(schedstat: &str) -> Option<u64> {
    schedstat.split_whitespace().next()?.parse().ok()
}

/// The field `name` of lines like `Pss:   354 kB`, in bytes.
fn kilobytes(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find(|line| line.starts_with(name))?;
    let number: u64 = line[name.len()..].split_whitespace().next()?.parse().ok()?;
    Some(number * 1024)
}

fn tcp_pages(sockstat: &str) -> Option<u64> {
    let line = sockstat.lines().find(|line| line.starts_with("TCP:"))?;
    let mut words = line.split_whitespace().skip_while(|word| *word != "mem");
    words.next();
    words.next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_ticks_are_found_behind_a_nasty_program_name() {
        let stat =
            "6575 (a) R (b) R 6570 6570 2528 0 -1 4194304 102 0 0 0 41 7 0 0 20 0 1 0 136050";
        assert_eq!(cpu_ticks(stat), Some(48));
        assert_eq!(cpu_ticks("6575 (a) R 1 2"), None);
    }

    #[test]
    fn exact_cpu_time_is_the_coarse_one_and_what_that_leaves_out() {
        assert_eq!(running_ns("920907 1711968 13\n"), Some(920_907));
        assert_eq!(running_ns(""), None);
        let pid = std::process::id();
        let mut finer = 0;
        for _ in 0..20 {
            let before = cpu_time(pid).expect("own time is readable");
            let exact = exact_cpu_time(pid).expect("own time is readable");
            let after = cpu_time(pid).expect("own time is readable");
            // User and system time are rounded down to 10 ms each.
            assert!(before <= exact && exact <= after + Duration::from_millis(21), "{exact:?}");
            finer += u32::from(!exact.as_nanos().is_multiple_of(10_000_000));
        }
        assert!(finer > 0, "no figure was between two ticks");
    }

    #[test]
    fn fields_of_the_kernel_are_read() {
        let rollup = "Rss:  1760 kB\nPss:                 354 kB\nPss_Dirty:  116 kB\n";
        assert_eq!(kilobytes(rollup, "Pss:"), Some(354 * 1024));
        assert_eq!(kilobytes(rollup, "Swap:"), None);
        let sockstat = "sockets: used 16\nTCP: inuse 1 orphan 0 tw 0 alloc 1 mem 161\nUDP: mem 3\n";
        assert_eq!(tcp_pages(sockstat), Some(161));
    }

    #[test]
    fn memory_this_process_takes_shows() {
        let pid = std::process::id();
        let before = user_memory(pid).expect("own memory is readable");
        let block = vec![1_u8; 32 << 20];
        let after = user_memory(pid).expect("own memory is readable");
        assert!(block.iter().all(|byte| *byte == 1));
        assert!(after.private_dirty >= before.private_dirty + (30 << 20), "{before:?} {after:?}");
        let peak = peak_memory(pid).expect("own memory is readable");
        assert!(peak >= 32 << 20, "{peak}");
        let resident = resident_memory(pid).expect("own memory is readable");
        assert!((30 << 20..=peak).contains(&resident), "{resident} of {peak}");
        assert!(kernel_memory().expect("kernel memory is readable").slab > 0);
    }
}
