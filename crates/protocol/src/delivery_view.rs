//! A message as subscribers see it, borrowed from wherever it is.

use tidings_core::{
    ContentType, Data, Filter, Headers, Message, MessageId, Offset, OrderKey, Timestamp, UserId,
};

use crate::frame::Delivery;

/// What the encoders of a `message` frame need: the same for a message from the log and for a
/// [`Delivery`], so that each codec has one encoder.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DeliveryView<'a> {
    pub(crate) topic: &'a str,
    pub(crate) offset: Offset,
    pub(crate) id: MessageId,
    pub(crate) data: &'a Data,
    pub(crate) content_type: Option<&'a ContentType>,
    pub(crate) headers: &'a Headers,
    pub(crate) from: Option<&'a UserId>,
    pub(crate) at: Timestamp,
    pub(crate) attempt: u32,
    pub(crate) order_key: Option<&'a OrderKey>,
    pub(crate) sub: Option<&'a Filter>,
}

impl<'a> DeliveryView<'a> {
    pub(crate) fn of_message(message: &'a Message, attempt: u32, sub: Option<&'a Filter>) -> Self {
        Self {
            topic: message.content.topic.as_str(),
            offset: message.offset,
            id: message.id,
            data: &message.content.data,
            content_type: message.content.content_type.as_ref(),
            headers: &message.content.headers,
            from: message.content.sender.as_ref(),
            at: message.published_at,
            attempt,
            order_key: message.content.order_key.as_ref(),
            sub,
        }
    }

    pub(crate) fn of_delivery(delivery: &'a Delivery) -> Self {
        Self {
            topic: delivery.topic.as_str(),
            offset: delivery.offset,
            id: delivery.id,
            data: &delivery.data,
            content_type: delivery.content_type.as_ref(),
            headers: &delivery.headers,
            from: delivery.from.as_ref(),
            at: delivery.at,
            attempt: delivery.attempt,
            order_key: delivery.order_key.as_ref(),
            sub: delivery.sub.as_ref(),
        }
    }

    /// How many bytes its frame needs in either codec, roughly: one reservation instead of
    /// several when the buffer grows.
    pub(crate) fn bytes_hint(&self) -> usize {
        let headers: usize =
            self.headers.iter().map(|(name, value)| name.len() + value.len() + 8).sum();
        self.topic.len() + self.data.bytes().len() + headers + 192
    }
}
