//! Frames other than publishes that wait to be written, and requests that wait for an answer.

use std::collections::{BTreeMap, VecDeque};
use std::num::NonZeroU32;

use tidings_protocol::{ClientBody, ClientFrame, RequestId};

use crate::feedback::{DeliveryRef, SubscriptionRef};
use crate::limits::CONTROL_MAX;
use crate::question::Question;

/// What an answer is for.
#[derive(Debug)]
pub(super) enum Request {
    Subscribe(SubscriptionRef),
    Unsubscribe,
    Question(Question),
    Refresh,
    GiveUp { from: SubscriptionRef, delivery: DeliveryRef },
}

/// What this connection has to say and to hear, apart from publishes.
#[derive(Debug)]
pub(super) struct Requests {
    frames: VecDeque<ClientFrame>,
    open: BTreeMap<RequestId, Request>,
    /// Odd: publishes have the even ids.
    next_id: NonZeroU32,
}

impl Requests {
    pub(super) const fn new() -> Self {
        Self { frames: VecDeque::new(), open: BTreeMap::new(), next_id: NonZeroU32::MIN }
    }

    /// Says something that wants no answer.
    pub(super) fn say(&mut self, body: ClientBody) {
        self.frames.push_back(ClientFrame { id: None, body });
    }

    /// Asks for something.
    pub(super) fn ask(&mut self, body: ClientBody, request: Request) {
        let id = self.next_id;
        // Two billion requests later the first is answered.
        self.next_id = id.checked_add(2).unwrap_or(NonZeroU32::MIN);
        self.open.insert(id, request);
        self.frames.push_back(ClientFrame { id: Some(id), body });
    }

    /// The request that an answer with this id is for.
    pub(super) fn answered(&mut self, id: RequestId) -> Option<Request> {
        self.open.remove(&id)
    }

    /// The next frame to write, without taking it.
    pub(super) fn next_frame(&self) -> Option<&ClientFrame> {
        self.frames.front()
    }

    /// The next frame is written.
    pub(super) fn written(&mut self) {
        self.frames.pop_front();
    }

    /// The connection is gone: what is to be asked again.
    pub(super) fn disconnected(&mut self) -> impl Iterator<Item = Request> + use<> {
        self.frames.clear();
        self.next_id = NonZeroU32::MIN;
        std::mem::take(&mut self.open).into_values()
    }

    /// Whether more may be said.
    pub(super) fn has_room(&self) -> bool {
        self.frames.len() < CONTROL_MAX
    }

    pub(super) fn is_written(&self) -> bool {
        self.frames.is_empty()
    }

    /// Whether the application waits for an answer.
    pub(super) fn awaits_answers(&self) -> bool {
        !self.open.is_empty()
    }
}
