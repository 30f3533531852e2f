//! What members say of their deliveries, and what becomes of dead letters.

use tidings_core::{AttemptEnd, MemberId, Offset, SettleOutcome, Topic};
use tidings_storage::{StoreError, fault_point};

use crate::delivery_record::Happening;
use crate::group_letter::{Answer, GroupSlot, GroupWord, MemberWord};
use crate::shard::Shard;
use crate::shard::failed::Moment;
use crate::shard::trace::Cause;

impl Shard {
    /// A member answers for messages of the group.
    pub(super) fn settle_of_member(&mut self, slot: GroupSlot, member: MemberId, word: GroupWord) {
        let now = self.now;
        let Some(owned) = self.groups.get(slot) else { return };
        let Some(joining) = owned.members.get(&member).cloned() else { return };
        let record = &mut self.record;
        let (count, id, of) = match word {
            GroupWord::Ack { topic, offsets, id } => {
                let mut count = 0;
                for offset in offsets {
                    let outcome = owned.group.acked(member, &topic, offset);
                    if outcome == SettleOutcome::Done {
                        owned.trace_ended(&topic, offset, Cause::Answered);
                        let about = (now, offset, 0);
                        owned.note(record, &topic, Some(member), about, Happening::Acked);
                        if let Some(shared) = owned.topics.get_mut(&topic) {
                            shared.attempts.settled(offset);
                        }
                    }
                    count += done(outcome);
                }
                (count, id, Answer::Final)
            }
            GroupWord::Nack { topic, offset, delay, reason, dead, id } => {
                let unanswered = owned.group.unanswered_at(&topic, offset);
                let outcome = if dead {
                    owned.group.refused(member, &topic, offset)
                } else {
                    owned.group.nacked(now, member, &topic, offset, delay)
                };
                if let (SettleOutcome::Done, Some(unanswered)) = (outcome, unanswered) {
                    let end = if dead { AttemptEnd::Refused } else { AttemptEnd::Nacked };
                    let how = (member, end, reason);
                    owned.failed(Moment::at(now), record, (&topic, unanswered), how);
                }
                owned.trace_ended(&topic, offset, Cause::Answered);
                (done(outcome), id, Answer::Final)
            }
            GroupWord::Extend { topic, offset, by, id } => {
                (done(owned.group.extended(now, member, &topic, offset, by)), id, Answer::Extend)
            }
            GroupWord::Join(_)
            | GroupWord::Leave { .. }
            | GroupWord::Pause { .. }
            | GroupWord::Resume => return,
        };
        fault_point("group-settled");
        self.env.metrics.settled.inc_by(u64::from(count));
        match (of, id) {
            // Nobody waits for this answer.
            (Answer::Final, None) => {}
            (Answer::Final | Answer::Extend, _) => {
                let word = MemberWord::Settled { id, count, of };
                self.write_to_member(&joining, member, word);
            }
        }
    }

    pub(in crate::shard) fn group_dead_letter_answered(
        &mut self,
        slot: GroupSlot,
        topic: &Topic,
        offset: Offset,
        refused: Option<&StoreError>,
    ) {
        let now = self.now;
        let Some(owned) = self.groups.get(slot) else { return };
        match refused {
            None => {
                fault_point("group-dead-letter-durable");
                owned.group.dead_lettered(topic, offset);
                let about = (now, offset, 0);
                owned.note(&mut self.record, topic, None, about, Happening::GivenUp);
                if let Some(shared) = owned.topics.get_mut(topic) {
                    shared.attempts.settled(offset);
                }
                self.env.metrics.dead_letters.inc();
            }
            Some(error) => {
                tracing::error!(%error, %topic, %offset, "a dead letter could not be written");
                owned.group.dead_letter_failed(now, topic, offset);
            }
        }
        self.pump_group(slot, &[]);
    }
}

const fn done(outcome: SettleOutcome) -> u32 {
    match outcome {
        SettleOutcome::Done => 1,
        SettleOutcome::Stale => 0,
    }
}
