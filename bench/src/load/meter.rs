//! What a stretch of time cost the server and the generator.

use std::thread;
use std::time::{Duration, Instant};

use crate::procfs;
use crate::report::Report;

/// A server that takes no CPU time for this long has done its work of before.
const CALM: Duration = Duration::from_millis(300);
/// How long that is waited for.
const CALM_MAX: Duration = Duration::from_secs(10);

/// A stretch of time that has begun.
#[derive(Debug)]
pub(crate) struct Meter {
    server_pid: Option<u32>,
    started: Instant,
    server_cpu: Duration,
    own_cpu: Duration,
}

/// What a stretch of time cost.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cost {
    pub(crate) elapsed: Duration,
    /// `None` when the server's process is not known.
    pub(crate) server_cpu: Option<Duration>,
    pub(crate) own_cpu: Duration,
}

impl Meter {
    pub(crate) fn start(server_pid: Option<u32>) -> anyhow::Result<Self> {
        Ok(Self {
            server_pid,
            started: Instant::now(),
            server_cpu: server_pid.map_or(Ok(Duration::ZERO), procfs::exact_cpu_time)?,
            own_cpu: procfs::own_cpu_time()?,
        })
    }

    pub(crate) fn stop(&self) -> anyhow::Result<Cost> {
        let elapsed = self.started.elapsed();
        let server = self.server_pid.map(procfs::exact_cpu_time).transpose()?;
        Ok(Cost {
            elapsed,
            server_cpu: server.map(|cpu| cpu.saturating_sub(self.server_cpu)),
            own_cpu: procfs::own_cpu_time()?.saturating_sub(self.own_cpu),
        })
    }
}

/// The stretch of a run whose cost is measured: after the warm-up, before the rest is awaited.
#[derive(Debug)]
pub(crate) struct Stretch {
    pub(crate) from: Duration,
    pub(crate) until: Duration,
    server_pid: Option<u32>,
    meter: Option<Meter>,
    cost: Option<Cost>,
}

impl Stretch {
    /// Begins `warmup` seconds after `now` and takes `seconds`.
    pub(crate) fn planned(
        now: Duration,
        warmup: f64,
        seconds: f64,
        server_pid: Option<u32>,
    ) -> Self {
        let from = now + Duration::from_secs_f64(warmup);
        let until = from + Duration::from_secs_f64(seconds);
        Self { from, until, server_pid, meter: None, cost: None }
    }

    /// Starts and ends it, when that is due: perhaps a little later than planned.
    pub(crate) fn keep_time(&mut self, now: Duration) -> anyhow::Result<()> {
        if self.meter.is_none() && now >= self.from {
            self.meter = Some(Meter::start(self.server_pid)?);
        }
        if let Some(meter) = &self.meter
            && self.cost.is_none()
            && now >= self.until
        {
            self.cost = Some(meter.stop()?);
        }
        Ok(())
    }

    /// Whether what happens now counts.
    pub(crate) const fn is_running(&self) -> bool {
        self.meter.is_some() && self.cost.is_none()
    }

    /// What it cost, once it is over.
    pub(crate) const fn cost(&self) -> Option<Cost> {
        self.cost
    }
}

impl Cost {
    /// Adds the server's CPU time for each of `count` things under `name`: microseconds each,
    /// which is the same number as seconds per million.
    pub(crate) fn report_each(&self, report: &mut Report, name: &'static str, count: u64) {
        if let Some(each) = self.each(count) {
            report.figure(name, each);
        }
    }

    /// The server's CPU time for each of `count` things, microseconds.
    pub(crate) fn each(&self, count: u64) -> Option<f64> {
        let cpu = self.server_cpu.filter(|_| count > 0)?;
        Some(cpu.as_secs_f64() * 1e6 / count as f64)
    }

    /// Adds the share of one core that each side took. A generator near 100 % is what is being
    /// measured, not the server; while it waits for the next due message it spins, too.
    pub(crate) fn report_shares(&self, report: &mut Report) {
        let percent = |cpu: Duration| cpu.as_secs_f64() / self.elapsed.as_secs_f64() * 100.0;
        if let Some(cpu) = self.server_cpu {
            report.figure("server_cpu_percent", percent(cpu));
        }
        report.figure("own_cpu_percent", percent(self.own_cpu));
    }
}

/// Waits until the server has forgotten the connections that were dropped, so that its work for
/// them is not counted with what comes next.
pub(crate) fn wait_for_calm(server_pid: Option<u32>) -> anyhow::Result<()> {
    let started = Instant::now();
    // Exact to 10 ms, so that a server's clocks and upkeep do not look like work.
    let cpu = || server_pid.map(procfs::cpu_time).transpose();
    let (mut seen, mut since) = (cpu()?, Instant::now());
    while since.elapsed() < CALM && started.elapsed() < CALM_MAX {
        thread::sleep(CALM / 10);
        let now = cpu()?;
        if now != seen {
            (seen, since) = (now, Instant::now());
        }
    }
    Ok(())
}
