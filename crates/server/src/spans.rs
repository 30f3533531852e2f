//! Spans of sampled messages: how long a publish and each durable delivery took, within the trace
//! that the publisher began (`traceparent`). Exported to a collector if one is configured.
//!
//! Where tracing is off, asking for a span costs a branch; where it is on, a message without a
//! `traceparent` costs a look into its headers. Nothing here waits: a span that finds no room in
//! the queue is dropped and counted.

mod collector;
mod exporter;
mod otlp;
mod post;

use std::sync::Arc;

use prometheus_client::metrics::counter::Counter;
use tidings_core::{
    ClientId, DurableKey, GroupKey, Headers, Message, MessageId, NodeId, Offset, Sampling,
    TRACEPARENT, TRACESTATE, TRACESTATE_BYTES_MAX, TraceParent, UserId, limits,
};
use tidings_protocol::{ErrorCode, Publish, Published, Scheduled};
use tokio::sync::mpsc::{self, error::TrySendError};

use crate::clock::Stopwatch;
use crate::config::TraceSection;
use crate::env::Seeds;
use crate::metrics::Metrics;
pub(crate) use collector::Collector;
pub use collector::CollectorError;
pub(crate) use exporter::{Export, Exporter};

/// Where spans begin: everybody who publishes or delivers has it.
#[derive(Debug)]
pub(crate) struct Spans(Option<Arc<Sink>>);

/// Where they go when they end.
#[derive(Debug)]
struct Sink {
    queue: mpsc::Sender<Span>,
    dropped: Counter,
    seeds: Seeds,
}

impl Spans {
    /// Spans as `section` wants them, and what takes them to the collector.
    pub(crate) fn new(
        section: &TraceSection,
        node: &NodeId,
        seed: u64,
        metrics: &Metrics,
    ) -> Result<(Self, Option<Exporter>), CollectorError> {
        let Some(collector) = Collector::of(section)? else { return Ok((Self(None), None)) };
        let (queue, waiting) = mpsc::channel(limits::TRACE_SPANS_WAITING_MAX);
        let exporter = Exporter::new(collector, node, waiting, seed, metrics);
        let dropped = metrics.trace_spans_dropped.clone();
        let sink = Sink { queue, dropped, seeds: Seeds::from(seed) };
        Ok((Self(Some(Arc::new(sink))), Some(exporter)))
    }

    /// Whether no message has a span.
    pub(crate) const fn are_off(&self) -> bool {
        self.0.is_none()
    }

    /// A publish by `user` begins.
    pub(crate) fn publish(&self, publish: &Publish, user: &UserId) -> PublishSpan {
        let Some(sink) = &self.0 else { return PublishSpan(None) };
        let Some(origin) = Origin::sampled(&publish.headers) else { return PublishSpan(None) };
        let attributes = vec![
            ("messaging.operation.name", Attribute::Word("publish")),
            ("messaging.operation.type", Attribute::Word("send")),
            ("messaging.destination.name", publish.topic.as_str().into()),
            ("messaging.message.body.size", Attribute::Number(publish.data.bytes().len() as u64)),
            ("user.id", user.as_str().into()),
        ];
        PublishSpan(Some(Box::new(OpenSpan::begin(sink, Kind::Publish, origin, attributes))))
    }

    /// A delivery begins; `None` if nobody wants to know.
    pub(crate) fn delivery(
        &self,
        message: &Message,
        to: Recipient<'_>,
        attempt: u32,
    ) -> Option<OpenSpan> {
        let sink = self.0.as_ref()?;
        let origin = Origin::sampled(&message.content.headers)?;
        let mut attributes = vec![
            ("messaging.operation.name", Attribute::Word("deliver")),
            ("messaging.operation.type", Attribute::Word("process")),
            ("messaging.destination.name", message.topic().as_str().into()),
            ("tidings.attempt", Attribute::Number(u64::from(attempt))),
        ];
        match to {
            Recipient::Durable(key) => attributes.extend([
                ("messaging.destination.subscription.name", key.name.as_str().into()),
                ("user.id", key.user.as_str().into()),
            ]),
            Recipient::Member { group, user, client } => attributes.extend([
                ("messaging.consumer.group.name", group.group.as_str().into()),
                ("tidings.filter", group.filter.as_str().into()),
                ("messaging.client.id", client.as_str().into()),
                ("user.id", user.as_str().into()),
            ]),
        }
        add_place(&mut attributes, message.id, Some(message.offset));
        Some(OpenSpan::begin(sink, Kind::Deliver, origin, attributes))
    }
}

/// To whom a message is delivered.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Recipient<'a> {
    /// A durable subscription.
    Durable(&'a DurableKey),
    /// A member of a group.
    Member {
        /// Which group.
        group: &'a GroupKey,
        /// Who the member is.
        user: &'a UserId,
        /// Which device or process.
        client: &'a ClientId,
    },
}

/// The span of a publish, if it has one.
#[derive(Debug)]
pub(crate) struct PublishSpan(Option<Box<OpenSpan>>);

impl PublishSpan {
    /// The message is in the log.
    pub(crate) fn published(self, published: &Published) {
        let Some(mut span) = self.0 else { return };
        let Published { id, position, duplicate } = published;
        add_place(&mut span.span.attributes, *id, Some(position.offset));
        span.end(if *duplicate { Outcome::Duplicate } else { Outcome::Published });
    }

    /// The message waits for its time.
    pub(crate) fn scheduled(self, scheduled: &Scheduled) {
        let Some(mut span) = self.0 else { return };
        let Scheduled { id, deliver_at: _, duplicate } = scheduled;
        add_place(&mut span.span.attributes, *id, None);
        span.end(if *duplicate { Outcome::Duplicate } else { Outcome::Scheduled });
    }

    /// The publisher is told an error.
    pub(crate) fn refused(self, code: ErrorCode) {
        if let Some(span) = self.0 {
            span.end(Outcome::Refused(code));
        }
    }
}

/// A span that has begun. Dropped without an end it ends too, as [`Outcome::Interrupted`].
#[derive(Debug)]
pub(crate) struct OpenSpan {
    sink: Arc<Sink>,
    watch: Stopwatch,
    span: Span,
}

impl OpenSpan {
    fn begin(sink: &Arc<Sink>, kind: Kind, origin: Origin, attributes: Attributes) -> Self {
        let watch = Stopwatch::start();
        let (started_ns, id) = (watch.started_ns(), sink.seeds.next());
        let span = Span {
            id,
            kind,
            origin,
            started_ns,
            ended_ns: started_ns,
            attributes,
            outcome: Outcome::Interrupted,
        };
        Self { sink: Arc::clone(sink), watch, span }
    }

    /// Ends it now.
    pub(crate) fn end(mut self, outcome: Outcome) {
        self.span.outcome = outcome;
    }

    /// Ends it now; the message is not sent again but goes to the dead letters.
    pub(crate) fn end_for_good(mut self, outcome: Outcome) {
        self.span.attributes.push(("tidings.given_up", Attribute::True));
        self.end(outcome);
    }
}

impl Drop for OpenSpan {
    fn drop(&mut self) {
        self.span.ended_ns = self.watch.now_ns();
        match self.sink.queue.try_send(std::mem::take(&mut self.span)) {
            Ok(()) => {}
            // The exporter tells how many were lost, so that a burst is not a burst of lines.
            Err(TrySendError::Full(_) | TrySendError::Closed(_)) => {
                self.sink.dropped.inc();
            }
        }
    }
}

/// A span that has ended.
#[derive(Debug, Default)]
struct Span {
    id: u64,
    kind: Kind,
    origin: Origin,
    started_ns: u64,
    ended_ns: u64,
    attributes: Attributes,
    outcome: Outcome,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Kind {
    #[default]
    Publish,
    Deliver,
}

/// What came with the message: the trace, and the span that caused everything here.
#[derive(Debug, Default)]
struct Origin {
    trace: String,
    parent: String,
    state: Option<String>,
}

impl Origin {
    /// Of a message in a trace that is recorded.
    fn sampled(headers: &Headers) -> Option<Self> {
        let parent = TraceParent::parse(headers.get(TRACEPARENT)?)?;
        match parent.sampling() {
            Sampling::NotSampled => return None,
            Sampling::Sampled => {}
        }
        let state = headers.get(TRACESTATE).filter(|text| text.len() <= TRACESTATE_BYTES_MAX);
        Some(Self {
            trace: parent.trace().as_str().to_owned(),
            parent: parent.span().to_owned(),
            state: state.cloned(),
        })
    }
}

type Attributes = Vec<(&'static str, Attribute)>;

#[derive(Debug)]
enum Attribute {
    Word(&'static str),
    Text(String),
    Number(u64),
    True,
}

impl From<&str> for Attribute {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

fn add_place(attributes: &mut Attributes, id: MessageId, offset: Option<Offset>) {
    attributes.push(("messaging.message.id", Attribute::Text(id.to_string())));
    if let Some(offset) = offset {
        attributes.push(("tidings.offset", Attribute::Number(offset.get())));
    }
}

/// How what a span is about came out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The message is in the log.
    Published,
    /// It was published before, with the same key.
    Duplicate,
    /// It waits for its time.
    Scheduled,
    /// The server did not take it.
    Refused(ErrorCode),
    /// The subscriber took it.
    Acked,
    /// The subscriber did not.
    Nacked,
    /// The subscriber never will.
    RefusedForGood,
    /// The subscriber did not answer.
    TimedOut,
    /// The message expired, or was trimmed, before the subscriber answered.
    Gone,
    /// Whoever would have answered, or waited for the answer, has gone.
    #[default]
    Interrupted,
}

impl Outcome {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Published => "published",
            Self::Duplicate => "duplicate",
            Self::Scheduled => "scheduled",
            Self::Refused(_) => "refused",
            Self::Acked => "acked",
            Self::Nacked => "nacked",
            Self::RefusedForGood => "refused",
            Self::TimedOut => "timed_out",
            Self::Gone => "gone",
            Self::Interrupted => "interrupted",
        }
    }

    /// The kind of the failure, for those that are one.
    const fn failure(self) -> Option<&'static str> {
        match self {
            Self::Refused(code) => Some(code.as_str()),
            Self::Nacked | Self::RefusedForGood | Self::TimedOut => Some(self.as_str()),
            Self::Published
            | Self::Duplicate
            | Self::Scheduled
            | Self::Acked
            | Self::Gone
            | Self::Interrupted => None,
        }
    }
}
