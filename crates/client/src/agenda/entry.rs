//! One subscription, as the task sees it.

use std::sync::{Arc, OnceLock};

use tidings_core::{Instant, ResetReason};
use tidings_protocol::{
    Ack, ClientBody, Delivery, PresenceChange, Reset, Subscribe, SubscribeMode, SubscribedPlace,
};
use tokio::sync::{mpsc, oneshot};

use super::requests::Requests;
use crate::feedback::{Feedback, SubscriptionRef};
use crate::limits::NOTICES_MAX;
use crate::live_place::LivePlace;
use crate::subscribe::{AckMode, SubscribeError, SubscribeRequest};
use crate::subscription::{EndReason, Queued, Settling, Subscription};

pub(super) mod held;
pub(super) mod place;

use self::held::Held;
use self::place::{AckedTopic, HandOut, Place};

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
    /// Notices that found no room.
    pub(super) held: Held,
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
        let place = Place::of(&request);
        let (settling, capacity) = match (&request.mode, request.ack) {
            (SubscribeMode::Live { .. }, _) => (Settling::None, request.queue),
            (SubscribeMode::Durable { .. } | SubscribeMode::Shared { .. }, mode) => {
                let settling = match mode {
                    AckMode::Auto => Settling::Auto { last: None },
                    AckMode::Manual => Settling::Manual,
                };
                // Presence gets half a queue at most, and a window must fit the other.
                let halves = if request.presence { 2 } else { 1 };
                let window_max = tidings_core::limits::WINDOW_MAX as usize;
                (settling, halves * (window_max + NOTICES_MAX))
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
            held: Held::default(),
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

    /// Whether the application answers to its deliveries.
    pub(super) const fn wants_answers(&self) -> bool {
        match self.place {
            Place::Live(_) => false,
            Place::Durable(_) | Place::Shared(_) => true,
        }
    }

    /// Whether its messages say that they are for it. Those of all others name only their topic.
    pub(super) const fn is_named_by_messages(&self) -> bool {
        match self.place {
            Place::Live(_) | Place::Durable(_) => false,
            Place::Shared(_) => true,
        }
    }

    /// Whether it can be taken up from its place.
    pub(super) const fn can_resume(&self) -> bool {
        match &self.place {
            Place::Durable(_) | Place::Shared(_) | Place::Live(LivePlace::Topic { .. }) => true,
            Place::Live(LivePlace::Wildcard { .. }) => false,
        }
    }

    /// What to ask the server for.
    pub(super) fn subscribe(&self) -> ClientBody {
        let mode = match &self.place {
            Place::Live(place) => SubscribeMode::Live { from: place.start() },
            Place::Durable(_) | Place::Shared(_) => self.request.mode.clone(),
        };
        let (sub, presence) = (self.request.sub.clone(), self.request.presence);
        ClientBody::Subscribe(Subscribe { sub, mode, presence })
    }

    /// The server agreed. What the application hears of it.
    pub(super) fn subscribed(&mut self, place: Option<SubscribedPlace>) -> Vec<Queued> {
        let news = match self.phase {
            Phase::Asked { news } => news,
            Phase::Waiting { .. } | Phase::Active | Phase::Behind { .. } => News::Tell,
        };
        self.phase = Phase::Active;
        let epoch_before = self.place.epoch();
        if let Some(place) = &place {
            self.place.subscribed(place);
        }
        // A server that lost its log lost the cursor, too, and so misses nothing. The client does.
        let is_whole = |place: &SubscribedPlace| {
            place.recovered && epoch_before.is_none_or(|epoch| epoch == place.epoch)
        };
        let again = self.opening.is_none();
        if let Some(Opening { answer, subscription }) = self.opening.take() {
            // Dropped by whoever no longer waits, the subscription says goodbye itself.
            let _ = answer.send(Ok(subscription));
        }
        let topic = self.request.sub.as_topic();
        let notice = match (place, &topic) {
            (Some(place), Some(topic)) if !is_whole(&place) => Some(Queued::Reset(Reset {
                sub: self.request.sub.clone(),
                topic: topic.clone(),
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
        };
        // Who came and went before now was not told.
        let presence = topic.filter(|_| self.request.presence).map(|topic| {
            let (joined, left) = (Vec::new(), Vec::new());
            Queued::Presence(PresenceChange { topic, joined, left, reset: true })
        });
        notice.into_iter().chain(presence).collect()
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
        let HandOut { position, delivery } = self.place.received(&message)?;
        Some(Queued::Message { message, position, delivery })
    }

    /// The connection is gone.
    pub(super) fn disconnected(&mut self) {
        self.phase = Phase::Waiting { until: None };
        self.has_acks = false;
        self.place.disconnected();
    }

    /// This was received and found no room.
    pub(super) fn not_kept(&mut self, queued: Queued) {
        match queued {
            Queued::Message { message, delivery, .. } => {
                self.place.not_kept(message.offset, delivery);
            }
            // The server says it only once: the application hears it before anything else.
            notice @ (Queued::Subscribed { .. }
            | Queued::Reset(_)
            | Queued::Presence(_)
            | Queued::Missed { .. }) => self.held.keep(notice),
        }
    }

    /// Says the acks that are due.
    pub(super) fn say_acks(&mut self, requests: &mut Requests) {
        self.has_acks = false;
        if self.phase != Phase::Active {
            return;
        }
        let sub = &self.request.sub;
        for AckedTopic { topic, which } in self.place.take_acks() {
            let topic = topic.filter(|_| sub.has_wildcards());
            requests.say(ClientBody::Ack(Ack { sub: sub.clone(), topic, which }));
        }
    }
}
