//! A message for later as it lies in the log: as it was published, with one header more that says
//! when and where it is to go.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tidings_core::{
    DedupKey, Durability, Message, NewMessage, OrderKey, ScheduledMessage, Timestamp, Topic, limits,
};
use tidings_protocol::{ErrorBody, ErrorCode};
use tidings_storage::Write;

use crate::derived_key::{KeyOf, derived_key};

/// The header that says it.
const HEADER: &str = "tidings-scheduled";

#[derive(Serialize, Deserialize)]
struct Plan {
    topic: String,
    deliver_at: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    ttl_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    order_key: Option<String>,
}

/// What puts `message` on the schedule.
pub(crate) fn to_entry(
    message: NewMessage,
    deliver_at: Timestamp,
    now: Timestamp,
) -> Result<Write, ErrorBody> {
    let ahead_max = limits::SCHEDULE_AHEAD_MAX;
    if deliver_at > now.plus(ahead_max) {
        let days = ahead_max.as_secs() / (24 * 60 * 60);
        let text = format!(
            "`deliver_at` lies more than {days} days ahead: keep the message until it is nearer"
        );
        return Err(ErrorBody::new(ErrorCode::BadField, text));
    }
    let NewMessage { topic, data, content_type, mut headers, sender, key, order_key, ttl } =
        message;
    let plan = Plan {
        topic: topic.to_string(),
        deliver_at: deliver_at.as_ms(),
        ttl_ms: ttl.map(|ttl| ttl.as_millis() as u64),
        key: key.as_ref().map(ToString::to_string),
        order_key: order_key.map(|key| key.to_string()),
    };
    let plan = serde_json::to_string(&plan).expect("texts and numbers are JSON");
    headers.insert(HEADER.to_owned(), plan);
    let entry = NewMessage {
        topic: super::topic(),
        data,
        content_type,
        headers,
        sender,
        key: key.map(|key| key_for(&topic, &key)),
        order_key: None,
        ttl: None,
    };
    Ok(Write::Publish { message: entry, durability: Durability::Sync, id: None })
}

/// What the schedule knows of an entry; `None` if it cannot be read.
pub(super) fn scheduled(entry: &Message) -> Option<ScheduledMessage> {
    let plan = plan(entry)?;
    Some(ScheduledMessage {
        deliver_at: Timestamp::from_ms(plan.deliver_at),
        offset: entry.offset,
        id: entry.id,
        topic: Topic::parse(&plan.topic).ok()?,
        user: entry.content.sender.clone(),
    })
}

/// What is published when an entry is due.
#[derive(Debug)]
pub(super) enum Due {
    /// The message as it was scheduled. Its key makes a repeat after a crash the same message.
    Publish(NewMessage),
    /// Its time to live is over: nobody was there to publish it.
    Expired,
    /// The entry cannot be read.
    Unreadable,
}

/// The message of an entry, `now` that it is due.
pub(super) fn due(entry: &Message, now: Timestamp) -> Due {
    let Some(plan) = plan(entry) else { return Due::Unreadable };
    let Ok(topic) = Topic::parse(&plan.topic) else { return Due::Unreadable };
    let late = now.as_ms().saturating_sub(plan.deliver_at);
    let ttl = match plan.ttl_ms {
        Some(ttl) if ttl <= late => return Due::Expired,
        Some(ttl) => Some(Duration::from_millis(ttl - late)),
        None => None,
    };
    let content = &entry.content;
    let mut headers = content.headers.clone();
    headers.remove(HEADER);
    let given = plan.key.and_then(|key| DedupKey::parse(&key).ok());
    Due::Publish(NewMessage {
        topic,
        data: content.data.clone(),
        content_type: content.content_type.clone(),
        headers,
        sender: content.sender.clone(),
        key: given.or_else(|| DedupKey::parse(&format!("scheduled-{}", entry.id)).ok()),
        order_key: plan.order_key.and_then(|key| OrderKey::parse(&key).ok()),
        ttl,
    })
}

/// The message that an entry waits to publish, as if it were published in time; `None` if the entry
/// cannot be read.
pub(crate) fn as_if_due(entry: &Message) -> Option<Message> {
    let deliver_at = Timestamp::from_ms(plan(entry)?.deliver_at);
    match due(entry, deliver_at) {
        Due::Publish(content) => {
            Some(Message { published_at: deliver_at, content, ..entry.clone() })
        }
        Due::Expired | Due::Unreadable => None,
    }
}

fn plan(entry: &Message) -> Option<Plan> {
    serde_json::from_str(entry.content.headers.get(HEADER)?).ok()
}

/// The same key means another message in another topic, but all entries are in one.
fn key_for(topic: &Topic, key: &DedupKey) -> DedupKey {
    derived_key(KeyOf::ScheduledMessage, &format!("{topic}\n{key}"))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use tidings_core::{Data, Epoch, MessageId, Offset};

    use super::*;

    fn entry_of(message: NewMessage, deliver_at: u64) -> Message {
        let now = Timestamp::from_ms(1_000);
        let write = to_entry(message, Timestamp::from_ms(deliver_at), now).unwrap();
        let Write::Publish { message: content, .. } = write else { panic!("no publish") };
        Message {
            id: MessageId::new(1, 2, 3),
            epoch: Epoch::new(1),
            offset: Offset::new(7),
            published_at: now,
            content,
        }
    }

    fn message() -> NewMessage {
        NewMessage {
            headers: [("lang".to_owned(), "de".to_owned())].into(),
            sender: Some("alice".parse().unwrap()),
            key: Some("k".parse().unwrap()),
            order_key: Some("o".parse().unwrap()),
            ttl: Some(Duration::from_secs(10)),
            ..NewMessage::new(Topic::parse("a/b").unwrap(), Data::json(Bytes::from_static(b"1")))
        }
    }

    #[test]
    fn a_message_comes_out_of_the_schedule_as_it_went_in() {
        let entry = entry_of(message(), 5_000);
        assert_eq!(entry.topic().as_str(), "$scheduled");
        let scheduled = scheduled(&entry).unwrap();
        assert_eq!((scheduled.deliver_at.as_ms(), scheduled.topic.as_str()), (5_000, "a/b"));
        let Due::Publish(out) = due(&entry, Timestamp::from_ms(5_000)) else { panic!("not due") };
        assert_eq!(out, message());
    }

    #[test]
    fn the_time_to_live_counts_from_when_it_was_due() {
        let entry = entry_of(message(), 5_000);
        let Due::Publish(late) = due(&entry, Timestamp::from_ms(9_000)) else { panic!("not due") };
        assert_eq!(late.ttl, Some(Duration::from_secs(6)));
        assert!(matches!(due(&entry, Timestamp::from_ms(15_000)), Due::Expired));
    }

    #[test]
    fn without_a_key_it_gets_one_of_its_own() {
        let entry = entry_of(NewMessage { key: None, ..message() }, 5_000);
        assert_eq!(entry.content.key, None, "each scheduling is another message");
        let Due::Publish(out) = due(&entry, Timestamp::from_ms(5_000)) else { panic!("not due") };
        assert_eq!(out.key.unwrap().to_string(), format!("scheduled-{}", entry.id));
    }

    #[test]
    fn one_key_in_two_topics_is_two_messages() {
        let other = NewMessage { topic: Topic::parse("b").unwrap(), ..message() };
        assert_ne!(entry_of(message(), 5_000).content.key, entry_of(other, 5_000).content.key);
    }

    #[test]
    fn what_nobody_will_live_to_see_is_refused() {
        let refused = |message, deliver_at| {
            to_entry(message, Timestamp::from_ms(deliver_at), Timestamp::from_ms(0)).unwrap_err()
        };
        assert_eq!(refused(message(), u64::MAX).code, ErrorCode::BadField);
        // As docs/protocol.md says.
        let days = 366 * 24 * 60 * 60 * 1000;
        assert!(refused(message(), days + 1).message.contains("more than 366 days ahead"));
        let (latest, now) = (Timestamp::from_ms(days), Timestamp::from_ms(0));
        assert!(to_entry(message(), latest, now).is_ok());
    }
}
