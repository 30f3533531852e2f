//! What the process has taken, under the names that Prometheus has for it.

use std::sync::atomic::{AtomicU64, Ordering};

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use crate::clock::Clock;
use crate::process::Process;

/// What the system says of the process, copied when somebody asks. What it does not tell is 0.
#[derive(Debug, Default)]
pub(super) struct ProcessGauges {
    resident_bytes: Gauge,
    threads: Gauge,
    open_files: Gauge,
    open_files_max: Gauge,
    started_at: Gauge<f64, AtomicU64>,
    cpu: Counter<f64, AtomicU64>,
}

impl ProcessGauges {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let gauges = Self::default();
        for (name, help, gauge) in [
            ("resident_memory_bytes", "Memory of the process", &gauges.resident_bytes),
            ("threads", "Threads of the process", &gauges.threads),
            ("open_fds", "Open files and sockets of the process", &gauges.open_files),
            ("max_fds", "Files and sockets that may be open", &gauges.open_files_max),
        ] {
            registry.register(format!("process_{name}"), help, gauge.clone());
        }
        gauges.started_at.set(Clock::wall().as_ms() as f64 / 1000.0);
        registry.register(
            "process_start_time_seconds",
            "When the server was started, in seconds since 1970",
            gauges.started_at.clone(),
        );
        registry.register(
            "process_cpu_seconds",
            "Time of processors that the process has taken",
            gauges.cpu.clone(),
        );
        gauges
    }

    pub(super) fn set(&self, process: &Process) {
        for (gauge, value) in [
            (&self.resident_bytes, process.resident_bytes),
            (&self.threads, process.threads),
            (&self.open_files, process.open_files),
            (&self.open_files_max, process.open_files_max),
        ] {
            gauge.set(value.map_or(0, |value| i64::try_from(value).unwrap_or(i64::MAX)));
        }
        // The system counts it, and never backwards.
        self.cpu.inner().store(process.cpu.as_secs_f64().to_bits(), Ordering::Relaxed);
    }
}
