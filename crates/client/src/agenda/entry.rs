//! One subscription, as the task sees it.

use std::sync::{Arc, OnceLock};

use tidings_core::{Instant, Position, ResetReason};
use tidings_protocol::{
    Ack, AckWhich, ClientBody, Delivery, Reset, Subscribe, SubscribeMode, SubscribedPlace,
};
use tokio::sync::{mpsc, oneshot};

use super::requests::Requests;
use crate::feedback::{Feedback, SubscriptionRef};
use crate::ledger::{Ledger, Verdict};
use crate::limits::{ACK_OFFSETS_MAX, NOTICES_MAX};
use crate::live_place::LivePlace;
use crate::subscribe::{AckMode, SubscribeError, SubscribeRequest};
use crate::subscription::{EndReason, Queued, Settling, Subscription};

/// Where a subscription is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// To be asked for: with the next connection, or at this time.
    Waiting { until: Option<Instant> },
    /// Asked for. What still comes for it belongs to one before it.
    Asked { news: News },
    /// The server delivers.
    Active,
    /// The application is too slow, and what comes is not kept.
    Behind { missed: u64 },
}

/// Whether the application hears that a subscription stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum News {
    Tell,
    /// It never heard that it did not.
    Spare,
}

/// What remembers the place.
#[derive(Debug)]
pub(super) enum Place {
    Live(LivePlace),
    Durable(Ledger),
}

/// What the caller of `subscribe` waits for.
#[derive(Debug)]
pub(super) struct Opening {
    pub(super) answer: oneshot::Sender<Result<Subscription, SubscribeError>>,
    pub(super) subscription: Subscription,
}

/// One subscription, as the task sees it.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) reference: SubscriptionRef,
    pub(super) request: SubscribeRequest,
    pub(super) phase: Phase,
    pub(super) place: Place,
    pub(super) queue: mpsc::Sender<Queued>,
    pub(super) end: Arc<OnceLock<EndReason>>,
    /// Until the first answer.
    pub(super) opening: Option<Opening>,
    /// A notice that found no room.
    pub(super) held: Option<Queued>,
    /// Whether it is on the list of those with acks.
    pub(super) has_acks: bool,
}

impl Entry {
    pub(super) fn new(
        request: SubscribeRequest,
        instance: u64,
        answer: oneshot::Sender<Result<Subscription, SubscribeError>>,
        feedback: mpsc::Sender<Feedback>,
    ) -> Self {
        let reference = SubscriptionRef { sub: request.sub.as_str().into(), instance };
        let (place, settling, capacity) = match &request.mode {
            SubscribeMode::Live { from } => {
                let place = match request.sub.as_topic() {
                    Some(_) => LivePlace::of_topic(*from),
                    None => LivePlace::of_wildcard(),
                };
                (Place::Live(place), Settling::None, request.queue)
            }
            SubscribeMode::Durable { .. } | SubscribeMode::Shared { .. } => {
                let settling = match request.ack {
                    AckMode::Auto => Settling::Auto { last: None },
                    AckMode::Manual => Settling::Manual,
                };
                let window_max = tidings_core::limits::WINDOW_MAX;
                let span = u64::from(window_max) * tidings_core::limits::WINDOW_SPAN_FACTOR;
                let capacity = window_max as usize + NOTICES_MAX;
                (Place::Durable(Ledger::new(span)), settling, capacity)
            }
        };
        let (queue, events) = mpsc::channel(capacity);
        let end = Arc::new(OnceLock::new());
        let subscription = Subscription {
            filter: request.sub.clone(),
            reference: reference.clone(),
            queue: events,
            feedback,
            settling,
            end: Arc::clone(&end),
            position: None,
            is_over: false,
        };
        Self {
            reference,
            request,
            phase: Phase::Waiting { until: None },
            place,
            queue,
            end,
            opening: Some(Opening { answer, subscription }),
            held: None,
            has_acks: false,
        }
    }

    /// Whether nobody holds the subscription, or waits for it, any more.
    pub(super) fn is_abandoned(&self) -> bool {
        match &self.opening {
            Some(opening) => opening.answer.is_closed(),
            None => self.queue.is_closed(),
        }
    }

    pub(super) const fn is_durable(&self) -> bool {
        matches!(self.place, Place::Durable(_))
    }

    /// Whether it can be taken up from its place.
    pub(super) const fn can_resume(&self) -> bool {
        matches!(self.place, Place::Durable(_) | Place::Live(LivePlace::Topic { .. }))
    }

    /// What to ask the server for.
    pub(super) fn subscribe(&self) -> ClientBody {
        let mode = match &self.place {
            Place::Live(place) => SubscribeMode::Live { from: place.start() },
            Place::Durable(_) => self.request.mode.clone(),
        };
        ClientBody::Subscribe(Subscribe { sub: self.request.sub.clone(), mode, presence: false })
    }

    /// The server agreed. What the application hears of it.
    pub(super) fn subscribed(&mut self, place: Option<SubscribedPlace>) -> Option<Queued> {
        let news = match self.phase {
            Phase::Asked { news } => news,
            Phase::Waiting { .. } | Phase::Active | Phase::Behind { .. } => News::Tell,
        };
        self.phase = Phase::Active;
        match (&mut self.place, &place) {
            (Place::Live(live), Some(place)) => live.subscribed(place),
            (Place::Durable(ledger), Some(place)) => ledger.subscribed(place),
            (Place::Live(_) | Place::Durable(_), None) => {}
        }
        let again = self.opening.is_none();
        if let Some(Opening { answer, subscription }) = self.opening.take() {
            // Dropped by whoever no longer waits, the subscription says goodbye itself.
            let _ = answer.send(Ok(subscription));
        }
        match (place, self.request.sub.as_topic()) {
            (Some(place), Some(topic)) if !place.recovered => Some(Queued::Reset(Reset {
                sub: self.request.sub.clone(),
                topic,
                // Without a known reason, the one after which nothing old is relied on.
                reason: place.reason.unwrap_or(ResetReason::EpochChanged),
                epoch: place.epoch,
                first: place.first,
                offset: place.offset,
            })),
            (place, _) => match news {
                News::Tell => Some(Queued::Subscribed { place, again }),
                News::Spare => None,
            },
        }
    }

    /// A message came in: what the application gets of it.
    pub(super) fn received(&mut self, message: Delivery) -> Option<Queued> {
        match &mut self.phase {
            Phase::Active => {}
            Phase::Behind { missed } => {
                *missed += 1;
                return None;
            }
            Phase::Waiting { .. } | Phase::Asked { .. } => return None,
        }
        let (is_new, epoch) = match &mut self.place {
            Place::Live(place) => (place.received(&message.topic, message.offset), place.epoch()),
            Place::Durable(ledger) => {
                (ledger.received(message.offset) == Verdict::HandOut, ledger.epoch())
            }
        };
        let position = epoch.map(|epoch| Position { epoch, offset: message.offset });
        is_new.then_some(Queued::Message { message, position })
    }

    /// The subscription lost its place.
    pub(super) fn reset(&mut self, reset: &Reset) {
        match &mut self.place {
            Place::Live(place) => place.reset(&reset.topic, reset.epoch, reset.first),
            Place::Durable(ledger) => ledger.reset(reset.reason, reset.epoch, reset.first),
        }
    }

    /// The connection is gone.
    pub(super) fn disconnected(&mut self) {
        self.phase = Phase::Waiting { until: None };
        self.has_acks = false;
        match &mut self.place {
            Place::Live(place) => place.disconnected(),
            Place::Durable(ledger) => ledger.disconnected(),
        }
    }

    /// This was received and found no room: it has to come again, if it can.
    pub(super) fn not_kept(&mut self, queued: Queued) {
        let (offset, position) = match queued {
            Queued::Message { message, position } => (message.offset, position),
            // The server says it only once: the application hears it before anything else.
            notice @ (Queued::Subscribed { .. } | Queued::Reset(_) | Queued::Missed { .. }) => {
                self.held = Some(notice);
                return;
            }
        };
        match (&mut self.place, position) {
            (Place::Live(place), _) => place.not_kept(offset),
            (Place::Durable(ledger), Some(position)) => {
                ledger.released(position);
            }
            (Place::Durable(_), None) => {}
        }
    }

    /// Says the acks that are due.
    pub(super) fn say_acks(&mut self, requests: &mut Requests) {
        self.has_acks = false;
        let Place::Durable(ledger) = &mut self.place else { return };
        if self.phase != Phase::Active {
            return;
        }
        let acks = ledger.take_acks();
        let sub = &self.request.sub;
        if let Some(through) = acks.through {
            let which = AckWhich::Through(through);
            requests.say(ClientBody::Ack(Ack { sub: sub.clone(), topic: None, which }));
        }
        for offsets in acks.each.chunks(ACK_OFFSETS_MAX) {
            let which = AckWhich::Each(offsets.to_vec());
            requests.say(ClientBody::Ack(Ack { sub: sub.clone(), topic: None, which }));
        }
    }
}
