//! What a publish becomes, whichever door it came through: a write for the log, now or for later.

use tidings_core::{NewMessage, Timestamp, UserId};
use tidings_protocol::{ErrorBody, ErrorCode, Publish};
use tidings_storage::Write;

use crate::env::Env;
use crate::problem::unreserved;
use crate::schedule::to_entry;
use crate::spans::PublishSpan;

/// A publish that may be submitted.
#[derive(Debug)]
pub(crate) struct Publication {
    pub(crate) write: Write,
    /// When it is to be published, if that is not now.
    pub(crate) deliver_at: Option<Timestamp>,
    /// Ends when the publisher is answered.
    pub(crate) span: PublishSpan,
}

/// Checks everything but whether `user` may publish to the topic, and whether there is room for it
/// on the way.
pub(crate) fn publication(
    env: &Env,
    user: &UserId,
    publish: Publish,
    now: Timestamp,
) -> Result<Publication, ErrorBody> {
    let span = env.spans.publish(&publish, user);
    match checked(env, user, publish, now) {
        Ok((write, deliver_at)) => Ok(Publication { write, deliver_at, span }),
        Err(error) => {
            span.refused(error.code);
            Err(error)
        }
    }
}

fn checked(
    env: &Env,
    user: &UserId,
    publish: Publish,
    now: Timestamp,
) -> Result<(Write, Option<Timestamp>), ErrorBody> {
    let (bytes, bytes_max) = (publish.data.bytes().len(), env.settings.limits.message_bytes);
    if bytes > bytes_max as usize {
        let message =
            format!("the data has {bytes} bytes, {bytes_max} are allowed (`limits.message_bytes`)");
        return Err(ErrorBody::new(ErrorCode::TooLarge, message));
    }
    unreserved(&publish.headers)?;
    // What is due by now needs no schedule.
    let deliver_at = publish.deliver_at.filter(|time| *time > now);
    let durability = env.policies.policy(&publish.topic).durability;
    let message = NewMessage {
        topic: publish.topic,
        data: publish.data,
        content_type: publish.content_type,
        headers: publish.headers,
        sender: Some(user.clone()),
        key: publish.key,
        order_key: publish.order_key,
        ttl: publish.ttl,
    };
    let write = match deliver_at {
        None => Write::Publish { message, durability, id: None },
        Some(deliver_at) => {
            env.schedule.check_room(user, env.settings.schedule)?;
            to_entry(message, deliver_at, now)?
        }
    };
    Ok((write, deliver_at))
}
