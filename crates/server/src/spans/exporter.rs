//! Takes spans from the queue to the collector, a batch at a time, in a task of its own.
//!
//! A collector that is slow or gone costs memory for the queue and nothing else: who makes spans
//! never waits for it, and what is lost is counted and told.

use std::time::Duration;

use bytes::Bytes;
use prometheus_client::metrics::counter::Counter;
use tidings_core::limits::TRACE_SPANS_PER_REQUEST_MAX;
use tidings_core::{Backoff, Jitter, NodeId};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, sleep_until};

use super::Span;
use super::collector::Collector;
use super::otlp::encode;
use super::post::{Answer, Post};
use crate::metrics::Metrics;

/// How long a span waits for others to go with it.
const GATHER: Duration = Duration::from_secs(1);

/// How often a batch is tried before it is dropped, and how long to wait in between: a collector
/// that restarts misses nothing, and one that is gone is not asked too often.
const TRIES_MAX: u32 = 5;
/// See [`TRIES_MAX`].
const BACKOFF: Backoff = Backoff { base: Duration::from_secs(1), cap: Duration::from_secs(10) };

/// Longest wait that a collector can ask for: it is asked again after that, whatever it said.
const RETRY_AFTER_MAX: Duration = Duration::from_mins(5);

/// How often it is told, at most, that spans are lost.
const TELL_INTERVAL: Duration = Duration::from_secs(10);

/// Longest reason of a collector that is told.
const WHY_CHARACTERS_MAX: usize = 200;

/// The task, before it runs.
#[derive(Debug)]
pub(crate) struct Exporter {
    node: NodeId,
    post: Post,
    waiting: mpsc::Receiver<Span>,
    batch: Vec<Span>,
    exported: Counter,
    dropped: Counter,
    /// Of `dropped`, those that were told.
    told: u64,
    tell_at: Instant,
    jitter: Jitter,
}

/// The task that runs.
#[derive(Debug)]
pub(crate) struct Export {
    closing: watch::Sender<Option<Instant>>,
    task: JoinHandle<()>,
}

impl Export {
    /// Exports what there is, and ends; by then at the latest.
    pub(crate) async fn close(self, by: Instant) {
        self.closing.send_replace(Some(by));
        if let Err(error) = self.task.await {
            tracing::error!(%error, "exporting spans failed");
        }
    }
}

impl Exporter {
    pub(super) fn new(
        collector: Collector,
        node: &NodeId,
        waiting: mpsc::Receiver<Span>,
        seed: u64,
        metrics: &Metrics,
    ) -> Self {
        Self {
            node: node.clone(),
            post: Post::new(collector),
            waiting,
            batch: Vec::new(),
            exported: metrics.trace_spans_exported.clone(),
            dropped: metrics.trace_spans_dropped.clone(),
            told: 0,
            tell_at: Instant::now(),
            jitter: Jitter::new(seed),
        }
    }

    /// Runs until it is closed.
    pub(crate) fn start(self) -> Export {
        let (closing, closed) = watch::channel(None);
        Export { closing, task: tokio::spawn(self.run(closed)) }
    }

    async fn run(mut self, closed: watch::Receiver<Option<Instant>>) {
        tokio::select! {
            () = self.export_all(closed.clone()) => {}
            () = deadline(closed) => {}
        }
        self.waiting.close();
        let mut left = self.batch.len();
        while self.waiting.try_recv().is_ok() {
            left += 1;
        }
        if left > 0 {
            self.tell_at = Instant::now();
            self.lost(left as u64, "the server ended before the collector took them");
        }
    }

    /// Exports batch after batch until it is closed and nothing waits.
    async fn export_all(&mut self, mut closed: watch::Receiver<Option<Instant>>) {
        while self.gather(&mut closed).await {
            self.export().await;
        }
    }

    /// Fills the batch. `false` if nothing came, and nothing will.
    ///
    /// What was taken from the queue is in the batch, so each arm may be dropped.
    async fn gather(&mut self, closed: &mut watch::Receiver<Option<Instant>>) -> bool {
        let mut due = None;
        while self.batch.len() < TRACE_SPANS_PER_REQUEST_MAX {
            let room = TRACE_SPANS_PER_REQUEST_MAX - self.batch.len();
            tokio::select! {
                taken = self.waiting.recv_many(&mut self.batch, room) => {
                    if taken == 0 {
                        break;
                    }
                    due.get_or_insert_with(|| Instant::now() + GATHER);
                }
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => break,
                () = closing(closed), if !self.waiting.is_closed() => self.waiting.close(),
            }
        }
        !self.batch.is_empty()
    }

    /// Brings the batch to the collector, or drops it.
    async fn export(&mut self) {
        let body = Bytes::from(encode(&self.node, &self.batch));
        let spans = self.batch.len() as u64;
        let (lost, why) = self.bring(body, spans).await;
        self.batch.clear();
        self.exported.inc_by(spans - lost);
        self.lost(lost, &why);
    }

    /// How many of the `spans` in `body` were lost, and why.
    async fn bring(&mut self, body: Bytes, spans: u64) -> (u64, String) {
        let mut tries = 0;
        loop {
            tries += 1;
            match self.post.send(body.clone()).await {
                Answer::Taken { rejected, why } => return (rejected.min(spans), why),
                Answer::Refused { why } => return (spans, why),
                Answer::Later { why, .. } if tries == TRIES_MAX => return (spans, why),
                Answer::Later { after, why } => {
                    let backoff = BACKOFF.delay(tries, &mut self.jitter);
                    let wait = after.unwrap_or(backoff).clamp(backoff, RETRY_AFTER_MAX);
                    tracing::debug!(why, ?wait, "the collector is asked again");
                    sleep(wait).await;
                }
            }
        }
    }

    /// Counts spans that are lost and tells it, with those that found no room in the queue.
    fn lost(&mut self, spans: u64, why: &str) {
        self.dropped.inc_by(spans);
        let untold = self.dropped.get() - self.told;
        if untold == 0 || Instant::now() < self.tell_at {
            return;
        }
        self.told += untold;
        self.tell_at = Instant::now() + TELL_INTERVAL;
        let why = if spans == 0 { "the collector takes them too slowly" } else { why };
        let why: String = why.chars().take(WHY_CHARACTERS_MAX).collect();
        tracing::warn!(spans = untold, why, "spans of traces are lost");
    }
}

/// Resolves when the exporter is to end.
async fn closing(closed: &mut watch::Receiver<Option<Instant>>) {
    // Whoever could say so has gone: it runs on as long as the process, like the server.
    if closed.wait_for(Option::is_some).await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// Resolves when it has to have ended.
async fn deadline(mut closed: watch::Receiver<Option<Instant>>) {
    closing(&mut closed).await;
    let by = *closed.borrow();
    if let Some(by) = by {
        sleep_until(by).await;
    }
}
