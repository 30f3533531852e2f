//! Where a stream stands, and what it says next.

use std::sync::Arc;
use std::time::Duration;

use tidings_core::{
    CloseCode, Filter, Jitter, Message, Offset, Position, Principal, PriorityQueue, Recovery,
    ResetReason, Topic, TopicState, UserId, gap, limits, recover,
};
use tidings_protocol::http::{
    Ready, ReadyTopic, StreamBody, StreamEvent, append_comment, append_retry, encode_stream_cursor,
};
use tidings_protocol::{ErrorBody, Goaway, Reset};
use tidings_storage::{ReadBatch, ReadFrom, ReadLimit};
use tokio::time::Instant;

use super::ask::{Ask, Start};
use crate::clock::Clock;
use crate::dead_letters::audience;
use crate::env::Env;
use crate::http::access;
use crate::metrics::Held;
use crate::shard::start;
use crate::trace_log;
use crate::watchers::{Ended, Watch};

/// How long a client waits before it comes back to a stream that broke: from this ...
const RETRY_MIN: Duration = Duration::from_secs(1);
/// ... to this, so that those whom one failure cut off do not come back together.
const RETRY_MAX: Duration = Duration::from_secs(4);

/// A client that has room in its socket takes a part at once; one that takes longer than this has
/// let it fill up.
const TAKEN_WITHIN: Duration = Duration::from_millis(50);

/// An open stream.
#[derive(Debug)]
pub(super) struct Source {
    env: Arc<Env>,
    watch: Watch,
    user: UserId,
    places: Vec<Place>,
    /// Which of the places wait to be read: a topic that never ends holds up no other, and urgent
    /// ones overtake.
    line: PriorityQueue<usize>,
    /// When the last part was handed over.
    handed_at: Option<Instant>,
    /// When the token ends.
    expires: Option<Instant>,
    is_over: bool,
    _held: Held,
}

/// Where the stream stands in one topic. There is no queue: what comes next is in the log.
#[derive(Clone, Debug)]
struct Place {
    topic: Topic,
    /// After the last message sent.
    position: Position,
    /// What there was when the stream began: it was asked for, so none of it is left out.
    asked_up_to: Offset,
    is_in_line: bool,
}

impl Source {
    pub(super) fn new(env: Arc<Env>, watch: Watch, principal: &Principal) -> Self {
        let expires = access::time_left(principal).map(|left| Instant::now() + left);
        let held = Held::new(&env.metrics.streams);
        Self {
            env,
            watch,
            user: principal.user.clone(),
            places: Vec::new(),
            line: PriorityQueue::default(),
            handed_at: None,
            expires,
            is_over: false,
            _held: held,
        }
    }

    /// Finds where the stream begins. Gives what it says first: how long to wait before coming
    /// back, what cannot be resumed, and that it is ready.
    pub(super) async fn open(mut self, ask: Ask) -> Result<(Self, Vec<u8>), ErrorBody> {
        let mut ready = Vec::with_capacity(ask.topics.len());
        let mut out = Vec::new();
        append_retry(self.retry(), &mut out);
        for (index, topic) in ask.topics.into_iter().enumerate() {
            let (state, start) = self.begin(&topic, &ask.start, index).await?;
            if let Recovery::Reset { reason, .. } = start {
                // Without an id: whoever breaks off before `ready` shows the old cursor again, and
                // is told again of every topic.
                self.append_reset(None, &topic, reason, (state, state.first), &mut out);
            }
            let TopicState { epoch, first, head: offset } = state;
            let pending = offset.next().distance_from(start.next());
            ready.push(ReadyTopic { topic: topic.clone(), epoch, offset, first, pending });
            let position = Position { epoch, offset: start.next().previous() };
            self.places.push(Place { topic, position, asked_up_to: offset, is_in_line: false });
        }
        let body = StreamBody::Ready(Ready { topics: ready });
        StreamEvent { id: Some(&self.cursor()), body }.append(&mut out);
        Ok((self, out))
    }

    /// What to say next, once there is something to say; `None` after the end.
    pub(super) async fn next(&mut self) -> Option<Vec<u8>> {
        if self.is_over {
            return None;
        }
        let is_slow = self.handed_at.is_some_and(|at| at.elapsed() > TAKEN_WITHIN);
        let skipped = if is_slow { self.skip_backlogs() } else { Vec::new() };
        let part = if skipped.is_empty() { self.wait_for_part().await } else { skipped };
        self.handed_at = Some(Instant::now());
        Some(part)
    }

    async fn wait_for_part(&mut self) -> Vec<u8> {
        loop {
            if let Err(ended) = self.watch.check() {
                return self.end(ended);
            }
            if self.expires.is_some_and(|at| at <= Instant::now()) {
                return self.goaway(CloseCode::TokenExpired, None);
            }
            match self.read().await {
                Ok(Some(part)) => return part,
                Ok(None) => {}
                Err(error) => {
                    tracing::warn!(error = error.message, "a stream could not read the log");
                    let retry_after = Some(self.env.spread_comeback());
                    return self.goaway(CloseCode::Overloaded, retry_after);
                }
            }
            let heartbeat = Instant::now() + self.env.settings.connection.ping_interval;
            let wake = self.expires.map_or(heartbeat, |at| at.min(heartbeat));
            tokio::select! {
                // Why it ended, if it did, is looked at above.
                _ = self.watch.grown() => {}
                () = tokio::time::sleep_until(wake) => if wake == heartbeat {
                    let mut out = Vec::new();
                    append_comment(&mut out);
                    return out;
                }
            }
        }
    }

    /// Where the stream begins in a topic.
    async fn begin(
        &self,
        topic: &Topic,
        from: &Start,
        index: usize,
    ) -> Result<(TopicState, Recovery), ErrorBody> {
        let state = self.env.store.topic_state(topic);
        let recovery = match from {
            Start::After(positions) => {
                let position = positions.get(index).expect("a cursor has a place for each topic");
                recover(*position, state)
            }
            Start::From(from) => start(*from, state),
            Start::Since(moment) => {
                let (from, one) = (ReadFrom::Time(*moment), ReadLimit { messages: 1, bytes: 1 });
                let reads = &self.env.door_reads;
                let batch = reads.read(&self.env.store, topic, from, one).await?;
                let next = batch.messages.first().map_or(batch.next, |message| message.offset);
                return Ok((batch.state, Recovery::Recovered { next }));
            }
        };
        Ok((state, recovery))
    }

    /// The next part of the topic whose turn it is; `None` if all are at their ends.
    async fn read(&mut self) -> Result<Option<Vec<u8>>, ErrorBody> {
        loop {
            self.line_up();
            let Some(index) = self.line.pop() else { return Ok(None) };
            self.places[index].is_in_line = false;
            let part = self.read_topic(index).await?;
            if !part.is_empty() {
                return Ok(Some(part));
            }
        }
    }

    /// Puts the topics in line that have grown past their places.
    fn line_up(&mut self) {
        for (index, place) in self.places.iter_mut().enumerate() {
            let head = self.env.store.topic_state(&place.topic).head;
            if !place.is_in_line && place.position.offset < head {
                place.is_in_line = true;
                self.line.push(self.env.policies.priority(&place.topic), index);
            }
        }
    }

    /// The client was slow: topics whose policy bounds the backlog go on with their newest
    /// messages. Tells what was left out.
    fn skip_backlogs(&mut self) -> Vec<u8> {
        let mut out = Vec::new();
        for index in 0..self.places.len() {
            let Place { topic, position, asked_up_to, .. } = self.places[index].clone();
            let state = self.env.store.topic_state(&topic);
            let backlog = self.env.policies.policy(&topic).backlog;
            let next = position.offset.next();
            if next <= asked_up_to || position.epoch != state.epoch {
                continue;
            }
            let Some(goes_on) = backlog.skips_to(next, state.head) else { continue };
            self.env.metrics.skipped_slow.inc_by(goes_on.distance_from(next));
            self.places[index].position.offset = goes_on.previous();
            let cursor = self.cursor();
            let place = (state, goes_on);
            self.append_reset(Some(&cursor), &topic, ResetReason::Skipped, place, &mut out);
        }
        out
    }

    /// Reads on in one topic. Nothing, if all that was read has expired.
    async fn read_topic(&mut self, index: usize) -> Result<Vec<u8>, ErrorBody> {
        let Place { topic, position, .. } = self.places[index].clone();
        let bytes = self.env.settings.outbound_bytes.min(limits::READ_BYTES_MAX);
        let limit = ReadLimit { messages: limits::READ_MESSAGES_MAX, bytes };
        let from = ReadFrom::Offset(position.offset.next());
        let batch = self.env.door_reads.read(&self.env.store, &topic, from, limit).await?;
        let mut out = Vec::new();
        if let Recovery::Reset { reason, next } = recover(position, batch.state) {
            // What is left is read from there the next time.
            self.places[index].position =
                Position { epoch: batch.state.epoch, offset: next.previous() };
            let cursor = self.cursor();
            self.append_reset(Some(&cursor), &topic, reason, (batch.state, next), &mut out);
            return Ok(out);
        }
        let now = Clock::wall();
        let mut sent = 0;
        let is_for_it =
            |message: &Message| !message.is_expired(now) && audience(message).includes_live();
        let mut expected = position.offset.next();
        for message in &batch.messages {
            self.append_damage(index, expected, message.offset, &batch, &mut out);
            expected = message.offset.next();
            if is_for_it(message) {
                self.append_message(index, message, &mut out);
                sent += 1;
            }
        }
        self.append_damage(index, expected, batch.next, &batch, &mut out);
        self.places[index].position.offset = batch.next.previous();
        self.env.metrics.deliveries.inc_by(sent);
        self.env.metrics.stream_deliveries.inc_by(sent);
        Ok(out)
    }

    fn append_message(&mut self, index: usize, message: &Message, out: &mut Vec<u8>) {
        trace_log::delivered(message, 1, &self.user);
        self.places[index].position = message.position();
        let cursor = self.cursor();
        StreamEvent { id: Some(&cursor), body: StreamBody::Message(message) }.append(out);
    }

    /// Tells of messages between two offsets that were lost. Whoever comes back with the cursor of
    /// that is behind them.
    fn append_damage(
        &mut self,
        index: usize,
        expected: Offset,
        found: Offset,
        batch: &ReadBatch,
        out: &mut Vec<u8>,
    ) {
        if gap(expected, found, &batch.damaged) == Some(ResetReason::Damaged) {
            self.places[index].position.offset = found.previous();
            let (topic, cursor) = (self.places[index].topic.clone(), self.cursor());
            let place = (batch.state, found);
            self.append_reset(Some(&cursor), &topic, ResetReason::Damaged, place, out);
        }
    }

    fn append_reset(
        &self,
        id: Option<&str>,
        topic: &Topic,
        reason: ResetReason,
        (state, first): (TopicState, Offset),
        out: &mut Vec<u8>,
    ) {
        self.env.metrics.resets.inc();
        tracing::info!(%topic, reason = reason.as_str(), "a stream lost its place");
        let reset = Reset {
            sub: Filter::from(topic),
            topic: topic.clone(),
            reason,
            epoch: state.epoch,
            first,
            offset: state.head,
        };
        StreamEvent { id, body: StreamBody::Reset(reset) }.append(out);
    }

    fn end(&mut self, ended: Ended) -> Vec<u8> {
        match ended {
            Ended::SentAway => self.goaway(CloseCode::Forbidden, None),
            Ended::Draining => {
                let retry_after = self.env.spread_comeback();
                self.goaway(CloseCode::Draining, Some(retry_after))
            }
        }
    }

    /// The last thing that is said.
    fn goaway(&mut self, why: CloseCode, retry_after: Option<Duration>) -> Vec<u8> {
        self.is_over = true;
        let mut out = Vec::new();
        if let Some(retry_after) = retry_after {
            append_retry(retry_after, &mut out);
        }
        let goaway = Goaway { reason: why.as_str().to_owned(), retry_after };
        StreamEvent { id: None, body: StreamBody::Goaway(goaway) }.append(&mut out);
        out
    }

    fn cursor(&self) -> String {
        encode_stream_cursor(self.places.iter().map(|place| (&place.topic, place.position)))
    }

    fn retry(&self) -> Duration {
        let fraction = Jitter::new(self.env.random_seed()).fraction();
        RETRY_MIN + (RETRY_MAX - RETRY_MIN).mul_f64(fraction)
    }
}
