//! Acks, nacks and extensions: what clients say of their deliveries.

use tidings_core::{Filter, SettleOutcome, Topic, limits};
use tidings_protocol::{Ack, AckWhich, ErrorBody, ErrorCode, Extend, Nack, RequestId, ServerBody};

use super::Shard;
use super::durable::held;
use super::subscription::Durable;

impl Shard {
    pub(super) fn ack(&mut self, slot: u32, id: Option<RequestId>, ack: &Ack) {
        self.settle(slot, id, &ack.sub, |durable, _| match &ack.which {
            AckWhich::Through(through) => {
                let before = durable.window.in_flight();
                durable.window.acked_through(*through);
                // In flight are at most a window's, which is a `u32`.
                (before - durable.window.in_flight()) as u32
            }
            AckWhich::Each(offsets) => {
                let mut settled = 0;
                for offset in offsets {
                    settled += done(durable.window.acked(*offset));
                    durable.reasons.remove(offset);
                }
                settled
            }
        });
    }

    pub(super) fn nack(&mut self, slot: u32, id: Option<RequestId>, nack: Nack) {
        // A durable subscription has one topic, its `sub`.
        let Nack { sub, topic: _, offset, delay, reason, dead } = nack;
        let delay = delay.map(|delay| delay.min(limits::REDELIVERY_DELAY_MAX));
        self.env.metrics.nacks.inc();
        self.settle(slot, id, &sub, |durable, now| {
            let outcome = if dead {
                durable.window.refused(offset)
            } else {
                durable.window.nacked(now, offset, delay)
            };
            if outcome == SettleOutcome::Done
                && let Some(reason) = reason
            {
                durable.reasons.entry(offset).or_default().push(reason);
            }
            done(outcome)
        });
    }

    pub(super) fn extend(&mut self, slot: u32, id: Option<RequestId>, extend: &Extend) {
        let by = extend.by.min(limits::REDELIVERY_DELAY_MAX);
        self.settle(slot, id, &extend.sub, |durable, now| {
            done(durable.window.extended(now, extend.offset, by))
        });
    }

    fn settle(
        &mut self,
        slot: u32,
        id: Option<RequestId>,
        sub: &Filter,
        decide: impl FnOnce(&mut Durable, tidings_core::Instant) -> u32,
    ) {
        let now = self.now;
        let topic = Topic::parse(sub.as_str()).ok();
        let connection = self.connections.get_mut(slot as usize);
        let durable = topic.as_ref().zip(connection).and_then(|(topic, c)| held(c, topic));
        let (Some(durable), Some(topic)) = (durable, &topic) else {
            let message = format!("there is no durable subscription to `{sub}` on this connection");
            let error = ErrorBody::new(ErrorCode::NotSubscribed, message);
            return self.send_error(slot, id, error);
        };
        let count = decide(durable, now);
        self.env.metrics.settled.inc_by(u64::from(count));
        if id.is_some() {
            self.send(slot, id, ServerBody::Settled { count });
        }
        self.pump(slot, topic, None);
    }
}

const fn done(outcome: SettleOutcome) -> u32 {
    match outcome {
        SettleOutcome::Done => 1,
        SettleOutcome::Stale => 0,
    }
}
