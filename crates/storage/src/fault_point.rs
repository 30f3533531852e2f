//! Named places where a server that is built for it dies, so that a crash can be tried at each.
//!
//! Only with the feature `fault-points`, which no release has, `FAULT_POINT=log-written` in the
//! environment ends the process there with SIGKILL, and `FAULT_POINT=log-written@7` when it gets
//! there for the seventh time. Without the feature nothing of it is compiled. It is here because
//! storage is the lowest crate that has such places; `scripts/faults/run fault-points` finds the
//! names in the sources and goes through all of them.

/// A place where a crash is tried. Each has a name of its own.
#[inline(always)]
pub fn fault_point(name: &'static str) {
    #[cfg(feature = "fault-points")]
    armed::reached(name);
    #[cfg(not(feature = "fault-points"))]
    let _ = name;
}

#[cfg(feature = "fault-points")]
mod armed {
    //! The place that the environment names.

    use std::sync::LazyLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    struct Armed {
        name: String,
        hits_left: AtomicU64,
    }

    static ARMED: LazyLock<Option<Armed>> = LazyLock::new(|| {
        let text = std::env::var("FAULT_POINT").ok()?;
        let (name, hits) = text.split_once('@').unwrap_or((&text, "1"));
        let hits = hits.parse().expect("FAULT_POINT must be NAME or NAME@HIT, as log-written@7");
        Some(Armed { name: name.to_owned(), hits_left: AtomicU64::new(hits) })
    });

    pub(super) fn reached(name: &str) {
        let Some(armed) = ARMED.as_ref().filter(|armed| armed.name == name) else { return };
        if armed.hits_left.fetch_sub(1, Ordering::Relaxed) == 1 {
            let _ = rustix::process::kill_process(
                rustix::process::getpid(),
                rustix::process::Signal::KILL,
            );
            // The signal ends every thread; this one must not go on until it is there.
            loop {
                std::thread::park();
            }
        }
    }
}
