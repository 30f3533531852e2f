//! A message on its way to a subscriber.

use tidings_core::{
    ContentType, Data, Filter, Headers, Message, MessageId, Offset, OrderKey, Timestamp, Topic,
    UserId,
};

/// A message as subscribers see it. `message.epoch` is not on the wire of a `message` frame (the
/// `subscribed` reply says it); decoders of single deliveries leave it to the caller.
#[derive(Clone, Debug, PartialEq)]
pub struct Delivery {
    /// Its topic.
    pub topic: Topic,
    /// Its place.
    pub offset: Offset,
    /// Its name.
    pub id: MessageId,
    /// What it carries.
    pub data: Data,
    /// The data's media type, if it is not the default of its kind.
    pub content_type: Option<ContentType>,
    /// Names and values from the publisher.
    pub headers: Headers,
    /// Who published.
    pub from: Option<UserId>,
    /// When it was published.
    pub at: Timestamp,
    /// Which delivery of it this is, on durable and shared subscriptions; 1 when the frame does
    /// not say.
    pub attempt: u32,
    /// What it has in common with messages that groups take one after the other.
    pub order_key: Option<OrderKey>,
    /// The shared subscription it is for. All others find theirs by the topic: their frame is
    /// the same for everybody who gets it.
    pub sub: Option<Filter>,
}

impl Delivery {
    /// `message` in its delivery number `attempt`.
    pub fn of(message: &Message, attempt: u32) -> Self {
        Self {
            topic: message.content.topic.clone(),
            offset: message.offset,
            id: message.id,
            data: message.content.data.clone(),
            content_type: message.content.content_type.clone(),
            headers: message.content.headers.clone(),
            from: message.content.sender.clone(),
            at: message.published_at,
            attempt,
            order_key: message.content.order_key.clone(),
            sub: None,
        }
    }
}
