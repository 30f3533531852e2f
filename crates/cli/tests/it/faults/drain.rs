//! A server that is asked to stop under load, and comes back.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::traffic::{PATIENT, client, run};
use crate::program::{Server, wait_for};

const ROUNDS: usize = 4;
const CLIENTS: usize = 6;

/// How long a drain may take in these rounds, and what a busy machine adds to it.
const DRAIN: &str = "[server]\ndrain_timeout = \"2s\"\n";
const ENDS_WITHIN: Duration = Duration::from_millis(2_000 + 3_000);

#[test]
fn a_drain_under_load_loses_nothing_and_ends_in_time() {
    let mut server = Server::serve(&format!("{DRAIN}{PATIENT}"));
    server.start();
    let stop = AtomicBool::new(false);
    let url = server.url();
    let topics: Vec<String> = (0..CLIENTS).map(|n| format!("drain/{n}")).collect();
    let reports: Vec<_> = std::thread::scope(|scope| {
        let (stop, url) = (&stop, &url);
        let runs: Vec<_> = topics
            .iter()
            .map(|topic| {
                scope.spawn(move || {
                    run(client(url), client(url), topic, |_| stop.load(Ordering::Relaxed))
                })
            })
            .collect();
        for _ in 0..ROUNDS {
            let before = server.metric("tidings_store_appended");
            wait_for("some load", || {
                (server.metric("tidings_store_appended") > before + 200.0).then_some(())
            });
            let begin = Instant::now();
            let status = server.stop();
            assert!(status.success(), "{status}");
            assert!(begin.elapsed() <= ENDS_WITHIN, "took {:?}", begin.elapsed());
            server.start();
        }
        stop.store(true, Ordering::Relaxed);
        runs.into_iter().map(|run| run.join().unwrap()).collect()
    });
    for (report, topic) in reports.into_iter().zip(&topics) {
        report.check(&server, topic);
    }
}
