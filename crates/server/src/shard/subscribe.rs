//! Subscriptions come and go.

use tidings_core::{
    Capabilities, Departure, DurableKey, Filter, GroupKey, LiveCursor, Offset, Operation, Recovery,
    ResetReason, Topic, TopicState, recover,
};
use tidings_protocol::{
    ErrorBody, ErrorCode, RequestId, ServerBody, StartFrom, Subscribe, SubscribeMode, Subscribed,
    SubscribedPlace, UnsubscribeReason,
};

use super::Shard;
use super::subscription::{Kind, Lagging, Stage, Subscription, WaitingDurable};
use super::topics::{FilterSubscriber, LiveSubscriber};
use crate::presence::Watch;

impl Shard {
    pub(super) fn subscribe(&mut self, slot: u32, id: RequestId, subscribe: Subscribe) {
        let Subscribe { sub, mode, presence } = subscribe;
        if !self.allowed_all(slot, Some(id), Operation::Subscribe, &sub) {
            return;
        }
        if presence && !self.may_watch(slot, id, &sub) {
            return;
        }
        let watch = if presence { Watch::Yes } else { Watch::No };
        let instead_of_policy = match self.check_subscribe(slot, &sub) {
            Ok(instead_of_policy) => instead_of_policy,
            Err(error) => return self.send_error(slot, Some(id), error),
        };
        match (sub.as_topic(), mode) {
            (Some(topic), SubscribeMode::Live { from }) => {
                self.subscribe_live(slot, id, sub, &topic, (from, watch));
            }
            (Some(topic), SubscribeMode::Durable { name, window, from }) => {
                let Some(active) = self.connections.get_mut(slot as usize).and_then(|c| c.active())
                else {
                    return;
                };
                let key = DurableKey { user: active.principal.user.clone(), name, topic };
                let window = window.unwrap_or(self.env.settings.window_default);
                let window = window.clamp(1, self.env.settings.limits.window);
                let (id, stage) = (Some(id), Stage::Held);
                let waiting =
                    WaitingDurable { instead_of_policy, id, key, window, from, watch, stage };
                self.claim_durable(slot, sub, waiting);
            }
            (None, SubscribeMode::Live { from: StartFrom::New }) => {
                self.subscribe_filter(slot, id, sub);
            }
            (Some(_) | None, SubscribeMode::Shared { group, window, from }) => {
                let window = window.unwrap_or(self.env.settings.window_default);
                let window = window.clamp(1, self.env.settings.limits.window);
                let key = GroupKey { group, filter: sub };
                self.join_group(slot, id, key, window, (from, watch));
            }
            (None, SubscribeMode::Live { .. } | SubscribeMode::Durable { .. }) => {
                let message = format!(
                    "`{sub}` has wildcards: such a subscription is live and starts with the next \
                     message; name one topic to resume or to be durable"
                );
                self.send_error(slot, Some(id), ErrorBody::new(ErrorCode::Unsupported, message));
            }
        }
    }

    /// Whether there is room for another subscription; one of the server's own makes room. Returns
    /// whether one did.
    fn check_subscribe(&mut self, slot: u32, sub: &Filter) -> Result<bool, ErrorBody> {
        let Some(active) = self.connections.get_mut(slot as usize).and_then(|c| c.active()) else {
            return Err(ErrorBody::new(ErrorCode::NotConnected, "not connected"));
        };
        if active.subscription(sub).is_some_and(|s| s.is_by_policy()) {
            // The same topic under the name that was asked for: nobody goes.
            self.take_subscription(slot, sub, Departure::Ended);
            return Ok(true);
        }
        if active.subscription(sub).is_some() {
            let message = format!("there is a subscription to `{sub}` on this connection already");
            return Err(ErrorBody::new(ErrorCode::AlreadySubscribed, message));
        }
        let max = self.env.settings.limits.subscriptions as usize;
        if active.subscriptions.len() >= max {
            let message = format!("a connection has at most {max} subscriptions");
            return Err(ErrorBody::new(ErrorCode::LimitReached, message));
        }
        Ok(false)
    }

    pub(super) fn add(&mut self, slot: u32, sub: Filter, kind: Kind) {
        if let Some(active) = self.connections.get_mut(slot as usize).and_then(|c| c.active()) {
            active.subscriptions.push(Subscription { sub, kind });
            self.env.metrics.subscriptions.inc();
        }
    }

    fn subscribe_live(
        &mut self,
        slot: u32,
        id: RequestId,
        sub: Filter,
        topic: &Topic,
        (from, watch): (StartFrom, Watch),
    ) {
        let state = self.env.store.topic_state(topic);
        let start = start(from, state);
        let known_head = self.topics.exact.get(topic).map(|entry| entry.head);
        let entry = self.topics.entry(topic, state.head);
        let index = entry.live.len() as u32;
        // With filters of this connection it goes at their pace, be it that they lag in the topic
        // or that messages are on their way to them, or these would come out of order, and twice.
        let active = self.connections.get_mut(slot as usize).and_then(|c| c.active());
        let filters_next = active
            .filter(|a| a.has_filter_for(topic))
            .and_then(|active| active.filters_lag_from(topic).or(known_head.map(Offset::next)));
        let begins = filters_next.map_or(start.next(), |next| next.min(start.next()));
        let cursor = LiveCursor::new(begins);
        entry.live.push(LiveSubscriber { cursor, slot, reading: false });
        // What its connection's filters still lack is not what it asked for.
        let is_new = start.next() > state.head;
        let asked_up_to = if is_new { Offset::ORIGIN } else { state.head };
        let name = self.topics.shared_name(topic);
        let filter = Filter::from(&name);
        self.add(slot, filter, Kind::Live { index, begins, asked_up_to });
        let pending = state.head.next().distance_from(start.next());
        let place = Some(place(state, start, pending));
        self.send(
            slot,
            Some(id),
            ServerBody::Subscribed(Subscribed { sub, place, pending: None, durable: None }),
        );
        self.attend(slot, topic, watch);
        self.catch_up_connection(slot, topic);
    }

    fn subscribe_filter(&mut self, slot: u32, id: RequestId, sub: Filter) {
        let Some(connection) = self.key(slot) else { return };
        self.topics.filters.insert(&sub, FilterSubscriber { key: connection, sub: sub.clone() });
        self.add(slot, sub.clone(), Kind::LiveFilter(Box::<Lagging>::default()));
        let subscribed = Subscribed { sub, place: None, pending: None, durable: None };
        self.send(slot, Some(id), ServerBody::Subscribed(subscribed));
    }

    pub(super) fn unsubscribe(&mut self, slot: u32, id: Option<RequestId>, sub: &Filter) {
        if self.take_subscription(slot, sub, Departure::Meant) {
            let body = ServerBody::Unsubscribed { sub: sub.clone(), reason: None };
            self.send(slot, id, body);
        } else {
            let message = format!("there is no subscription to `{sub}` on this connection");
            self.send_error(slot, id, ErrorBody::new(ErrorCode::NotSubscribed, message));
        }
    }

    /// Ends a subscription and tells the client why.
    pub(super) fn end_subscription(&mut self, slot: u32, sub: &Filter, reason: UnsubscribeReason) {
        let began = self
            .connections
            .get_mut(slot as usize)
            .and_then(|c| c.active())
            .is_some_and(|active| active.subscription(sub).is_some_and(|s| s.has_begun()));
        let departure = match reason {
            // Perhaps by the same client, on its next connection.
            UnsubscribeReason::TakenOver => Departure::Ended,
            UnsubscribeReason::Forbidden | UnsubscribeReason::TooFarBehind => Departure::Meant,
        };
        if self.take_subscription(slot, sub, departure) && began {
            let body = ServerBody::Unsubscribed { sub: sub.clone(), reason: Some(reason) };
            self.send(slot, None, body);
        }
    }

    fn take_subscription(&mut self, slot: u32, sub: &Filter, departure: Departure) -> bool {
        let Some(active) = self.connections.get_mut(slot as usize).and_then(|c| c.active()) else {
            return false;
        };
        let Some(at) = active.subscriptions.iter().position(|s| s.sub == *sub) else {
            return false;
        };
        let subscription = active.subscriptions.swap_remove(at);
        self.drop_subscription(slot, subscription, departure);
        true
    }

    /// Undoes everything a subscription holds outside its connection.
    pub(super) fn drop_subscription(
        &mut self,
        slot: u32,
        subscription: Subscription,
        departure: Departure,
    ) {
        self.env.metrics.subscriptions.dec();
        let Some(connection) = self.key(slot) else { return };
        match subscription.kind {
            Kind::Live { index, .. } => {
                let topic = subscription.sub.as_topic().expect("it is of one topic");
                self.leave_gap_to_filters(slot, &topic, index);
                self.topics.remove_live(&topic, index, &mut self.connections);
                self.depart(slot, &topic, departure);
            }
            Kind::LiveFilter(_) => {
                let mine = |s: &FilterSubscriber| s.key == connection;
                self.topics.filters.remove(&subscription.sub, mine);
            }
            Kind::Durable(durable) => {
                let topic = &durable.key.topic;
                self.topics.remove_durable(topic, durable.index, &mut self.connections);
                self.leave(&durable.key, connection);
                self.depart(slot, topic, departure);
                self.part(connection, durable, departure);
            }
            Kind::Waiting(waiting) => {
                match waiting.stage {
                    Stage::Held => self.withdraw(&waiting.key, connection),
                    // Released once the cursor is saved: whoever comes next must find it, not
                    // make a second one that begins later.
                    Stage::Opening { .. } => self.leave(&waiting.key, connection),
                }
                // One of the server's own that never began is nothing to its client.
                if let Some(id) = waiting.id {
                    let message = "the subscription ended before it began: somebody else took \
                                   it, or it was given up";
                    let error = ErrorBody::new(ErrorCode::NotSubscribed, message);
                    self.send_error(slot, Some(id), error);
                }
            }
            Kind::Shared(shared) => self.leave_group(slot, *shared, departure),
        }
    }

    /// A live subscription to one topic is given up: what it lacks is from now on for the filter
    /// subscriptions of its connection to deliver.
    fn leave_gap_to_filters(&mut self, slot: u32, topic: &Topic, index: u32) {
        let Some(entry) = self.topics.exact.get(topic) else { return };
        let Some(next) = entry.live.get(index as usize).map(|live| live.cursor.next()) else {
            return;
        };
        let Some(key) = self.key(slot) else { return };
        if next == entry.head.next() {
            return;
        }
        let mut heirs: Vec<FilterSubscriber> = Vec::new();
        self.topics.filters.matching(topic, |subscriber| {
            if subscriber.key == key {
                heirs.push(subscriber.clone());
            }
        });
        for heir in heirs {
            self.fall_behind(&heir, topic, next);
        }
        self.catch_up_connection(slot, topic);
    }

    /// After a refresh: what the fresh token does not allow ends.
    pub(super) fn end_forbidden_subscriptions(&mut self, slot: u32) {
        let Some(active) = self.connections.get_mut(slot as usize).and_then(|c| c.active()) else {
            return;
        };
        let capabilities: &Capabilities = &active.principal.capabilities;
        let forbidden: Vec<_> = active
            .subscriptions
            .iter()
            .filter(|s| !capabilities.allow_all(Operation::Subscribe, &s.sub))
            .map(|s| s.sub.clone())
            .collect();
        for sub in forbidden {
            self.end_subscription(slot, &sub, UnsubscribeReason::Forbidden);
        }
        self.end_forbidden_watches(slot);
    }
}

/// Where a subscription without a cursor starts.
pub(crate) fn start(from: StartFrom, state: TopicState) -> Recovery {
    match from {
        StartFrom::New => Recovery::Recovered { next: state.head.next() },
        StartFrom::First => Recovery::Recovered { next: state.first.max(Offset::FIRST) },
        StartFrom::Last => Recovery::Recovered { next: state.head.max(state.first) },
        StartFrom::After(position) => recover(position, state),
    }
}

pub(super) fn place(state: TopicState, start: Recovery, pending: u64) -> SubscribedPlace {
    let reason: Option<ResetReason> = match start {
        Recovery::Recovered { .. } => None,
        Recovery::Reset { reason, .. } => Some(reason),
    };
    SubscribedPlace {
        epoch: state.epoch,
        offset: state.head,
        first: state.first,
        recovered: reason.is_none(),
        reason,
        pending,
    }
}
