//! Acks, nacks and extensions: what clients say of their deliveries.

use tidings_core::{AttemptEnd, Filter, Instant, SettleOutcome, Topic, limits};
use tidings_protocol::{Ack, AckWhich, ErrorBody, ErrorCode, Extend, Nack, RequestId, ServerBody};
use tidings_storage::fault_point;

use super::durable::held;
use super::failed::Moment;
use super::subscription::Durable;
use super::{Shard, trace};
use crate::delivery_record::{DeliveryRecord, Happening};
use crate::group_letter::GroupWord;

impl Shard {
    pub(super) fn ack(&mut self, slot: u32, id: Option<RequestId>, ack: &Ack) {
        if let Some(member) = self.member_by(slot, &ack.sub) {
            let offsets = match &ack.which {
                AckWhich::Each(offsets) => offsets.clone(),
                AckWhich::Through(_) => {
                    let message = "`offset` would settle what other members of the group have: \
                                   name the messages in `offsets`";
                    let error = ErrorBody::new(ErrorCode::BadField, message);
                    return self.send_error(slot, id, error);
                }
            };
            let Some(topic) = self.topic_of(slot, id, &ack.sub, ack.topic.as_ref()) else { return };
            let word = GroupWord::Ack { topic, offsets, id };
            return self.answer_as_member(slot, member, id, word);
        }
        self.settle(slot, id, &ack.sub, |durable, record, now| match &ack.which {
            AckWhich::Through(through) => {
                let before = durable.window.in_flight();
                if durable.window.acked_through(*through) == SettleOutcome::Done {
                    durable.note(record, now, *through, 0, Happening::AckedThrough);
                }
                // In flight are at most a window's, which is a `u32`.
                (before - durable.window.in_flight()) as u32
            }
            AckWhich::Each(offsets) => {
                let mut settled = 0;
                for offset in offsets {
                    let outcome = durable.window.acked(*offset);
                    if outcome == SettleOutcome::Done {
                        durable.note(record, now, *offset, 0, Happening::Acked);
                        durable.attempts.settled(*offset);
                    }
                    settled += done(outcome);
                }
                settled
            }
        });
    }

    pub(super) fn nack(&mut self, slot: u32, id: Option<RequestId>, nack: Nack) {
        let Nack { sub, topic, offset, delay, reason, dead } = nack;
        let delay = delay.map(|delay| delay.min(limits::REDELIVERY_DELAY_MAX));
        self.env.metrics.nacks.inc();
        if let Some(member) = self.member_by(slot, &sub) {
            let Some(topic) = self.topic_of(slot, id, &sub, topic.as_ref()) else { return };
            let word = GroupWord::Nack { topic, offset, delay, reason, dead, id };
            return self.answer_as_member(slot, member, id, word);
        }
        self.settle(slot, id, &sub, |durable, record, now| {
            let at = Moment::at(now);
            done(if dead {
                durable.not_taken(at, record, (offset, AttemptEnd::Refused, reason), |durable| {
                    durable.window.refused(offset)
                })
            } else {
                durable.not_taken(at, record, (offset, AttemptEnd::Nacked, reason), |durable| {
                    durable.window.nacked(now, offset, delay)
                })
            })
        });
    }

    pub(super) fn extend(&mut self, slot: u32, id: Option<RequestId>, extend: &Extend) {
        let by = extend.by.min(limits::REDELIVERY_DELAY_MAX);
        if let Some(member) = self.member_by(slot, &extend.sub) {
            let topic = self.topic_of(slot, id, &extend.sub, extend.topic.as_ref());
            let Some(topic) = topic else { return };
            let word = GroupWord::Extend { topic, offset: extend.offset, by, id };
            return self.answer_as_member(slot, member, id, word);
        }
        self.settle(slot, id, &extend.sub, |durable, _, now| {
            done(durable.window.extended(now, extend.offset, by))
        });
    }

    /// Which topic of a shared subscription is meant; answers if it does not say.
    fn topic_of(
        &mut self,
        slot: u32,
        id: Option<RequestId>,
        sub: &Filter,
        topic: Option<&Topic>,
    ) -> Option<Topic> {
        let topic = sub.as_topic().or_else(|| topic.cloned());
        if topic.is_none() {
            let message = format!("`{sub}` has wildcards: say which `topic` the message is of");
            self.send_error(slot, id, ErrorBody::new(ErrorCode::BadField, message));
        }
        topic
    }

    fn settle(
        &mut self,
        slot: u32,
        id: Option<RequestId>,
        sub: &Filter,
        decide: impl FnOnce(&mut Durable, &mut DeliveryRecord, Instant) -> u32,
    ) {
        let now = self.now;
        let topic = Topic::parse(sub.as_str()).ok();
        let connection = self.connections.get_mut(slot as usize);
        let durable = topic.as_ref().zip(connection).and_then(|(topic, c)| held(c, topic));
        let (Some(durable), Some(topic)) = (durable, &topic) else {
            let message =
                format!("there is no durable or shared subscription to `{sub}` on this connection");
            let error = ErrorBody::new(ErrorCode::NotSubscribed, message);
            return self.send_error(slot, id, error);
        };
        let count = decide(durable, &mut self.record, now);
        fault_point("durable-settled");
        trace::ended(durable, trace::Cause::Answered);
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
