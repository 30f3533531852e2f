//! Where a stream stands, and what it says next.

use std::sync::Arc;
use std::time::Duration;

use tidings_core::{
    CloseCode, Filter, Jitter, Message, Position, Principal, Recovery, ResetReason, Topic,
    TopicState, limits, recover,
};
use tidings_protocol::http::{
    Ready, ReadyTopic, StreamBody, StreamEvent, append_comment, append_retry, encode_stream_cursor,
};
use tidings_protocol::{ErrorBody, Goaway, Reset};
use tidings_storage::{ReadFrom, ReadLimit};
use tokio::time::Instant;

use super::ask::{Ask, Start};
use crate::clock::Clock;
use crate::env::Env;
use crate::http::access;
use crate::metrics::Held;
use crate::shard::start;
use crate::watchers::{Ended, Watch};

/// How long a client waits before it comes back to a stream that broke: from this ...
const RETRY_MIN: Duration = Duration::from_secs(1);
/// ... to this, so that those whom one failure cut off do not come back together.
const RETRY_MAX: Duration = Duration::from_secs(4);

/// An open stream.
#[derive(Debug)]
pub(super) struct Source {
    env: Arc<Env>,
    watch: Watch,
    places: Vec<Place>,
    /// Whose turn it is to be read first: a topic that never ends holds up no other.
    turn: usize,
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
}

impl Source {
    pub(super) fn new(env: Arc<Env>, watch: Watch, principal: &Principal) -> Self {
        let expires = access::time_left(principal).map(|left| Instant::now() + left);
        let held = Held::new(&env.metrics.streams);
        Self { env, watch, places: Vec::new(), turn: 0, expires, is_over: false, _held: held }
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
                self.append_reset(None, &topic, reason, state, &mut out);
            }
            let TopicState { epoch, first, head: offset } = state;
            let pending = offset.next().distance_from(start.next());
            ready.push(ReadyTopic { topic: topic.clone(), epoch, offset, first, pending });
            let position = Position { epoch, offset: start.next().previous() };
            self.places.push(Place { topic, position });
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
        loop {
            if let Err(ended) = self.watch.check() {
                return Some(self.end(ended));
            }
            if self.expires.is_some_and(|at| at <= Instant::now()) {
                return Some(self.goaway(CloseCode::TokenExpired, None));
            }
            match self.read().await {
                Ok(Some(part)) => return Some(part),
                Ok(None) => {}
                Err(error) => {
                    tracing::warn!(error = error.message, "a stream could not read the log");
                    let retry_after = Some(self.env.spread_comeback());
                    return Some(self.goaway(CloseCode::Overloaded, retry_after));
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
                    return Some(out);
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

    /// The next part of the first topic that has one; `None` if all are at their ends.
    async fn read(&mut self) -> Result<Option<Vec<u8>>, ErrorBody> {
        for _ in 0..self.places.len() {
            let index = self.turn;
            self.turn = (self.turn + 1) % self.places.len();
            let head = self.env.store.topic_state(&self.places[index].topic).head;
            while self.places[index].position.offset < head {
                let part = self.read_topic(index).await?;
                if !part.is_empty() {
                    return Ok(Some(part));
                }
            }
        }
        Ok(None)
    }

    /// Reads on in one topic. Nothing, if all that was read has expired.
    async fn read_topic(&mut self, index: usize) -> Result<Vec<u8>, ErrorBody> {
        let Place { topic, position } = self.places[index].clone();
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
            self.append_reset(Some(&cursor), &topic, reason, batch.state, &mut out);
            return Ok(out);
        }
        let now = Clock::wall();
        let mut sent = 0;
        for message in batch.messages.iter().filter(|message| !message.is_expired(now)) {
            self.append_message(index, message, &mut out);
            sent += 1;
        }
        self.places[index].position.offset = batch.next.previous();
        self.env.metrics.deliveries.inc_by(sent);
        self.env.metrics.stream_deliveries.inc_by(sent);
        Ok(out)
    }

    fn append_message(&mut self, index: usize, message: &Message, out: &mut Vec<u8>) {
        self.places[index].position = message.position();
        let cursor = self.cursor();
        StreamEvent { id: Some(&cursor), body: StreamBody::Message(message) }.append(out);
    }

    fn append_reset(
        &self,
        id: Option<&str>,
        topic: &Topic,
        reason: ResetReason,
        state: TopicState,
        out: &mut Vec<u8>,
    ) {
        self.env.metrics.resets.inc();
        tracing::info!(%topic, reason = reason.as_str(), "a stream lost its place");
        let reset = Reset {
            sub: Filter::from(topic),
            topic: topic.clone(),
            reason,
            epoch: state.epoch,
            first: state.first,
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
