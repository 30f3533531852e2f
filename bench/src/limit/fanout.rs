//! The bare fan-out: each publish goes to every subscriber, encoded once, kept nowhere.

use crate::limit::frames::{self, Request};
use crate::limit::sockets::{Sockets, Work};
use crate::websocket::{self, Opcode};

/// The topic in every message: there is only one.
const TOPIC: &[u8] = b"\"bench\"";

/// When messages are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Writing {
    /// Each message to each subscriber on its own, at once.
    Direct,
    /// All messages of one turn of the loop in one write per subscriber.
    Coalesced,
}

/// The subscribers and what they wait for.
#[derive(Debug)]
pub(crate) struct Fanout {
    writing: Writing,
    subscribers: Vec<usize>,
    last_offset: u64,
    /// Messages, ready for the socket, of this turn (or only the present one).
    batch: Vec<u8>,
    /// Where frames are put together.
    text: Vec<u8>,
    answer: Vec<u8>,
}

impl Fanout {
    pub(crate) const fn new(writing: Writing) -> Self {
        Self {
            writing,
            subscribers: Vec::new(),
            last_offset: 0,
            batch: Vec::new(),
            text: Vec::new(),
            answer: Vec::new(),
        }
    }

    fn answer(&mut self, sockets: &mut Sockets, to: usize, put: impl FnOnce(&mut Vec<u8>)) {
        self.text.clear();
        put(&mut self.text);
        self.answer.clear();
        websocket::put_frame(&mut self.answer, Opcode::Text, &self.text);
        sockets.send(to, &self.answer);
    }

    fn send_batch(&mut self, sockets: &mut Sockets) {
        for subscriber in &self.subscribers {
            sockets.send(*subscriber, &self.batch);
        }
        self.batch.clear();
    }
}

impl Work for Fanout {
    fn frame(&mut self, sockets: &mut Sockets, from: usize, text: &[u8]) -> anyhow::Result<()> {
        match Request::read(text) {
            Some(Request::Connect { id, session }) => {
                self.answer(sockets, from, |out| frames::put_connected(out, id, session));
            }
            Some(Request::Subscribe { id, .. }) => {
                self.subscribers.push(from);
                let offset = self.last_offset;
                self.answer(sockets, from, |out| frames::put_subscribed(out, id, offset));
            }
            Some(Request::Publish { id, data, .. }) => {
                self.last_offset += 1;
                let offset = self.last_offset;
                self.answer(sockets, from, |out| frames::put_published(out, id, offset));
                self.text.clear();
                frames::put_message(&mut self.text, TOPIC, offset, data);
                websocket::put_frame(&mut self.batch, Opcode::Text, &self.text);
                match self.writing {
                    Writing::Direct => self.send_batch(sockets),
                    Writing::Coalesced => {}
                }
            }
            // Nobody does that here.
            Some(Request::Unsubscribe { .. }) | None => {}
        }
        Ok(())
    }

    fn turn_ends(&mut self, sockets: &mut Sockets) -> anyhow::Result<()> {
        if !self.batch.is_empty() {
            self.send_batch(sockets);
        }
        Ok(())
    }

    fn closed(&mut self, key: usize) {
        self.subscribers.retain(|subscriber| *subscriber != key);
    }
}
