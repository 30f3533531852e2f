//! What a shard knows of one message: for its story.

use tidings_core::{CursorKey, Offset, Topic};
use tokio::sync::oneshot;

use super::Shard;
use super::durable::held;
use super::failed::Moment;
use crate::dead_letters::ToldAttempt;
use crate::delivery_record::Remembered;
use crate::inbox::{Recalled, RecalledEvent, Unsettled};

impl Shard {
    /// Tells what is remembered of the message at this place, and how it stands with the
    /// subscriptions that have a connection here.
    pub(super) fn recall(
        &mut self,
        topic: &Topic,
        offset: Offset,
        reply: oneshot::Sender<Recalled>,
    ) {
        let at = Moment::at(self.now);
        let told = |Remembered { at: when, reader, attempt, what }| RecalledEvent {
            at: at.wall_at(when),
            reader,
            attempt,
            what,
        };
        let events = self.record.of(topic, offset).into_iter().map(told).collect();
        let since = self.record.reaches_back_to().map(|since| at.wall_at(since));
        let slots = self.topics.exact.get(topic).map(|entry| entry.durable.clone());
        let mut unsettled = Vec::new();
        for slot in slots.into_iter().flatten() {
            let connection = self.connections.get_mut(slot as usize);
            let Some(durable) = connection.and_then(|c| held(c, topic)) else { continue };
            let unanswered = durable.window.unanswered_at(offset);
            let failed = durable.attempts.of(offset);
            if unanswered.is_none() && failed.is_none() {
                continue;
            }
            let failed = failed.into_iter().flat_map(|failed| failed.kept().map(ToldAttempt::from));
            unsettled.push(Unsettled {
                key: CursorKey::Durable(durable.key.clone()),
                client: Some(durable.client.clone()),
                sent: unanswered.map(|u| (u.attempt, at.wall_at(u.sent_at))),
                failed: failed.collect(),
            });
        }
        unsettled.extend(self.groups.unsettled(topic, offset, at));
        // Whoever asked may have given up.
        let _ = reply.send(Recalled { since, events, unsettled });
    }
}
