//! What remembers the place of a subscription, and takes the application's answers.

use tidings_core::{Epoch, Offset, Position, Topic};
use tidings_protocol::{AckWhich, Delivery, Reset, SubscribeMode, SubscribedPlace};

use crate::feedback::DeliveryRef;
use crate::ledger::{Ledger, Verdict};
use crate::limits::ACK_OFFSETS_MAX;
use crate::live_place::LivePlace;
use crate::shared_ledger::{SharedLedger, TopicOffset};
use crate::subscribe::SubscribeRequest;

/// What remembers the place of a subscription, and takes the application's answers.
#[derive(Debug)]
pub(in crate::agenda) enum Place {
    Live(LivePlace),
    Durable(Ledger),
    Shared(SharedLedger),
}

/// What a delivery is called in an answer to the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::agenda) struct Target {
    /// Said where the subscription has many.
    pub(in crate::agenda) topic: Option<Topic>,
    pub(in crate::agenda) offset: Offset,
}

impl Target {
    const fn at(position: Position) -> Self {
        Self { topic: None, offset: position.offset }
    }

    fn of(place: TopicOffset) -> Self {
        Self { topic: Some(place.topic), offset: place.offset }
    }
}

/// What the server has made of a giving up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::agenda) enum GiveUpAnswer {
    /// The message is among the dead letters.
    Taken,
    /// It will come again.
    Refused,
}

/// Which deliveries of which topic are acked.
#[derive(Debug)]
pub(super) struct AckedTopic {
    pub(super) topic: Option<Topic>,
    pub(super) which: AckWhich,
}

/// What the application gets of a message.
#[derive(Clone, Copy, Debug)]
pub(super) struct HandOut {
    pub(super) position: Option<Position>,
    /// If it wants an answer.
    pub(super) delivery: Option<DeliveryRef>,
}

impl Place {
    pub(super) fn of(request: &SubscribeRequest) -> Self {
        match &request.mode {
            SubscribeMode::Live { from } => Self::Live(match request.sub.as_topic() {
                Some(_) => LivePlace::of_topic(*from),
                None => LivePlace::of_wildcard(),
            }),
            SubscribeMode::Durable { .. } => {
                let window_max = u64::from(tidings_core::limits::WINDOW_MAX);
                let span = window_max * tidings_core::limits::WINDOW_SPAN_FACTOR;
                Self::Durable(Ledger::new(span))
            }
            SubscribeMode::Shared { .. } => Self::Shared(SharedLedger::new()),
        }
    }

    /// The life of the log that it is a place in, once the server has said it.
    pub(super) fn epoch(&self) -> Option<Epoch> {
        match self {
            Self::Live(live) => live.epoch(),
            Self::Durable(ledger) => ledger.epoch(),
            Self::Shared(ledger) => ledger.epoch(),
        }
    }

    /// The server has told where the topic stands.
    pub(super) fn subscribed(&mut self, place: &SubscribedPlace) {
        match self {
            Self::Live(live) => live.subscribed(place),
            Self::Durable(ledger) => ledger.subscribed(place),
            Self::Shared(ledger) => ledger.subscribed(place.epoch),
        }
    }

    /// The subscription lost its place.
    pub(in crate::agenda) fn reset(&mut self, reset: &Reset) {
        match self {
            Self::Live(live) => live.reset(&reset.topic, reset.epoch, reset.first),
            Self::Durable(ledger) => ledger.reset(reset.reason, reset.epoch, reset.first),
            Self::Shared(ledger) => ledger.reset(&reset.topic, reset.epoch, reset.reason),
        }
    }

    /// The connection is gone.
    pub(super) fn disconnected(&mut self) {
        match self {
            Self::Live(live) => live.disconnected(),
            Self::Durable(ledger) => ledger.disconnected(),
            Self::Shared(ledger) => ledger.disconnected(),
        }
    }

    /// A message came in; `None` if the application has it, or is done with it.
    pub(super) fn received(&mut self, message: &Delivery) -> Option<HandOut> {
        let offset = message.offset;
        let is_new = match self {
            Self::Live(live) => live.received(&message.topic, offset),
            Self::Durable(ledger) => ledger.received(offset) == Verdict::HandOut,
            Self::Shared(ledger) => {
                let place = TopicOffset { topic: message.topic.clone(), offset };
                ledger.received(message.id, place) == Verdict::HandOut
            }
        };
        let position = self.epoch().map(|epoch| Position { epoch, offset });
        let delivery = match self {
            Self::Live(_) => None,
            Self::Durable(_) => position.map(DeliveryRef::At),
            Self::Shared(_) => Some(DeliveryRef::Of(message.id)),
        };
        is_new.then_some(HandOut { position, delivery })
    }

    /// The message at `offset` was new, and could not be kept: it has to come again, if it can.
    pub(super) fn not_kept(&mut self, offset: Offset, delivery: Option<DeliveryRef>) {
        match self {
            Self::Live(live) => live.not_kept(offset),
            Self::Durable(_) | Self::Shared(_) => {
                if let Some(delivery) = delivery {
                    self.released(delivery);
                }
            }
        }
    }

    /// The application is done with a delivery.
    pub(in crate::agenda) fn acked(&mut self, delivery: DeliveryRef) {
        match (self, delivery) {
            (Self::Durable(ledger), DeliveryRef::At(position)) => ledger.acked(position),
            (Self::Shared(ledger), DeliveryRef::Of(name)) => ledger.acked(name),
            (Self::Live(_) | Self::Durable(_) | Self::Shared(_), _) => {}
        }
    }

    /// The application gave a delivery back. What to call it to the server, if it takes an answer.
    pub(in crate::agenda) fn released(&mut self, delivery: DeliveryRef) -> Option<Target> {
        match (self, delivery) {
            (Self::Durable(ledger), DeliveryRef::At(position)) => {
                ledger.released(position).then_some(Target::at(position))
            }
            (Self::Shared(ledger), DeliveryRef::Of(name)) => ledger.released(name).map(Target::of),
            (Self::Live(_) | Self::Durable(_) | Self::Shared(_), _) => None,
        }
    }

    /// The application will never take a delivery. What to call it to the server, if it takes an
    /// answer.
    pub(in crate::agenda) fn given_up(&mut self, delivery: DeliveryRef) -> Option<Target> {
        match (self, delivery) {
            (Self::Durable(ledger), DeliveryRef::At(position)) => {
                ledger.given_up(position).then_some(Target::at(position))
            }
            (Self::Shared(ledger), DeliveryRef::Of(name)) => ledger.given_up(name).map(Target::of),
            (Self::Live(_) | Self::Durable(_) | Self::Shared(_), _) => None,
        }
    }

    /// What to call a delivery in the application's hands to the server, if it takes an answer.
    pub(in crate::agenda) fn target(&self, delivery: DeliveryRef) -> Option<Target> {
        match (self, delivery) {
            (Self::Durable(ledger), DeliveryRef::At(position)) => {
                (ledger.epoch() == Some(position.epoch)).then_some(Target::at(position))
            }
            (Self::Shared(ledger), DeliveryRef::Of(name)) => {
                ledger.place(name).cloned().map(Target::of)
            }
            (Self::Live(_) | Self::Durable(_) | Self::Shared(_), _) => None,
        }
    }

    /// The server has answered to a giving up.
    pub(in crate::agenda) fn gave_up(&mut self, delivery: DeliveryRef, answer: GiveUpAnswer) {
        match (self, delivery) {
            (Self::Durable(ledger), DeliveryRef::At(position)) => match answer {
                GiveUpAnswer::Taken => ledger.give_up_confirmed(position.offset),
                GiveUpAnswer::Refused => ledger.give_up_refused(position.offset),
            },
            (Self::Shared(ledger), DeliveryRef::Of(name)) => ledger.give_up_answered(name),
            (Self::Live(_) | Self::Durable(_) | Self::Shared(_), _) => {}
        }
    }

    /// The acks that are due, in frames of a bounded size.
    pub(super) fn take_acks(&mut self) -> Vec<AckedTopic> {
        match self {
            Self::Live(_) => Vec::new(),
            Self::Durable(ledger) => {
                let acks = ledger.take_acks();
                let through = acks.through.map(AckWhich::Through);
                let which = through.into_iter().chain(each(&acks.each));
                which.map(|which| AckedTopic { topic: None, which }).collect()
            }
            Self::Shared(ledger) => {
                let mut acks = Vec::new();
                for (topic, offsets) in ledger.take_acks() {
                    let of_topic = |which| AckedTopic { topic: Some(topic.clone()), which };
                    acks.extend(each(&offsets).map(of_topic));
                }
                acks
            }
        }
    }
}

/// Single acks, so many in a frame.
fn each(offsets: &[Offset]) -> impl Iterator<Item = AckWhich> {
    offsets.chunks(ACK_OFFSETS_MAX).map(|offsets| AckWhich::Each(offsets.to_vec()))
}
