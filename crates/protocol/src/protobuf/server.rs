//! What servers say, in Protobuf.

use prost::Message;
use tidings_core::{Epoch, Filter, Offset, Position, ResetReason, Timestamp};

use super::delivery::{delivery_from_schema, delivery_to_schema, duration, encode_delivery};
use super::schema::server_frame::Body;
use super::{bad_frame, encode, presence, schema, strict};
use crate::codec::DecodeError;
use crate::delivery_view::DeliveryView;
use crate::error_code::ErrorCode;
use crate::field::Field;
use crate::frame::{
    Connected, ConnectionLimits, ErrorBody, Goaway, History, Published, RequestId, Reset,
    Scheduled, ServerBody, ServerFrame, Subscribed, SubscribedPlace,
};
use crate::rules::{self, duration_ms};

pub(crate) fn decode_server(bytes: &[u8]) -> Result<ServerFrame, DecodeError> {
    let id = strict::request_id(bytes);
    decode_body(bytes).map(|body| ServerFrame { id, body }).map_err(|body| DecodeError { id, body })
}

fn decode_body(bytes: &[u8]) -> Result<ServerBody, ErrorBody> {
    let frame = schema::ServerFrame::decode(bytes)
        .map_err(|error| bad_frame(format!("the frame is not of the Protobuf schema: {error}")))?;
    let unknown = || {
        let message =
            "the frame has no body that this schema knows: a newer server sent it; skip it";
        ErrorBody::new(ErrorCode::UnknownFrame, message)
    };
    match frame.body.ok_or_else(unknown)? {
        Body::Message(message) => delivery_from_schema(message).map(ServerBody::Message),
        Body::Published(published) => read_published(&published).map(ServerBody::Published),
        Body::Scheduled(scheduled) => read_scheduled(&scheduled).map(ServerBody::Scheduled),
        Body::Settled(settled) => Ok(ServerBody::Settled { count: settled.count }),
        Body::Connected(connected) => read_connected(&connected).map(ServerBody::Connected),
        Body::Subscribed(subscribed) => read_subscribed(&subscribed).map(ServerBody::Subscribed),
        Body::Unsubscribed(unsubscribed) => Ok(ServerBody::Unsubscribed {
            sub: sub("unsubscribed", &unsubscribed.sub)?,
            reason: unsubscribed.reason.as_deref().map(rules::unsubscribe_reason),
        }),
        Body::History(history) => read_history(history).map(ServerBody::History),
        Body::Refreshed(refreshed) => {
            Ok(ServerBody::Refreshed { expires_at: refreshed.expires_at.map(Timestamp::from_ms) })
        }
        Body::Error(schema::Error { code, message, temporary, retry_after_ms }) => {
            Ok(ServerBody::Error(rules::told_error(&code, message, temporary, retry_after_ms)))
        }
        Body::Present(present) => presence::read_present(present).map(ServerBody::Present),
        Body::Presence(change) => presence::read_change(change).map(ServerBody::Presence),
        Body::Reset(reset) => read_reset(&reset).map(ServerBody::Reset),
        Body::Goaway(goaway) => Ok(ServerBody::Goaway(Goaway {
            reason: goaway.reason,
            retry_after: goaway.retry_after_ms.map(duration),
        })),
        Body::Ping(schema::Ping {}) => Ok(ServerBody::Ping),
        Body::Pong(schema::Pong {}) => Ok(ServerBody::Pong),
    }
}

fn sub(object: &str, text: &str) -> Result<Filter, ErrorBody> {
    rules::filter(Field::new(object, "sub"), text)
}

fn epoch(object: &str, text: &str) -> Result<Epoch, ErrorBody> {
    rules::epoch(Field::new(object, "epoch"), text)
}

fn read_published(published: &schema::Published) -> Result<Published, ErrorBody> {
    Ok(Published {
        id: rules::message_id(Field::new("published", "id"), &published.id)?,
        position: Position {
            epoch: epoch("published", &published.epoch)?,
            offset: Offset::new(published.offset),
        },
        duplicate: published.duplicate,
    })
}

fn read_scheduled(scheduled: &schema::Scheduled) -> Result<Scheduled, ErrorBody> {
    Ok(Scheduled {
        id: rules::message_id(Field::new("scheduled", "id"), &scheduled.id)?,
        deliver_at: Timestamp::from_ms(scheduled.deliver_at),
        duplicate: scheduled.duplicate,
    })
}

fn read_connected(connected: &schema::Connected) -> Result<Connected, ErrorBody> {
    let at = |name| Field::new("connected", name);
    let limits = connected.limits.as_ref().ok_or_else(|| at("limits").missing())?;
    Ok(Connected {
        session: rules::id(at("session"), &connected.session)?,
        user: rules::id(at("user"), &connected.user)?,
        client: rules::id(at("client"), &connected.client)?,
        node: rules::id(at("node"), &connected.node)?,
        resumed: connected.resumed,
        ping: duration(connected.ping_ms),
        expires_at: connected.expires_at.map(Timestamp::from_ms),
        limits: ConnectionLimits {
            message_bytes: limits.message_bytes,
            frame_bytes: limits.frame_bytes,
            subscriptions: limits.subscriptions,
            window: limits.window,
            publishes_in_flight: limits.publishes_in_flight,
        },
    })
}

fn read_subscribed(subscribed: &schema::Subscribed) -> Result<Subscribed, ErrorBody> {
    let place = |text: &String| {
        Ok(SubscribedPlace {
            epoch: epoch("subscribed", text)?,
            offset: Offset::new(subscribed.offset),
            first: Offset::new(subscribed.first),
            recovered: subscribed.recovered,
            reason: subscribed.reason.as_deref().map(rules::reset_reason),
            pending: subscribed.pending.unwrap_or(0),
        })
    };
    let durable = |text: &String| rules::id(Field::new("subscribed", "durable"), text);
    Ok(Subscribed {
        sub: sub("subscribed", &subscribed.sub)?,
        place: subscribed.epoch.as_ref().map(place).transpose()?,
        pending: subscribed.pending.filter(|_| subscribed.epoch.is_none()),
        durable: subscribed.durable.as_ref().map(durable).transpose()?,
    })
}

fn read_history(history: schema::History) -> Result<History, ErrorBody> {
    Ok(History {
        topic: rules::topic(Field::new("history", "topic"), &history.topic)?,
        epoch: epoch("history", &history.epoch)?,
        offset: Offset::new(history.offset),
        first: Offset::new(history.first),
        recovered: history.recovered,
        more: history.more,
        messages: history
            .messages
            .into_iter()
            .map(delivery_from_schema)
            .collect::<Result<_, _>>()?,
    })
}

fn read_reset(reset: &schema::Reset) -> Result<Reset, ErrorBody> {
    Ok(Reset {
        sub: sub("reset", &reset.sub)?,
        topic: rules::topic(Field::new("reset", "topic"), &reset.topic)?,
        reason: rules::reset_reason(&reset.reason),
        epoch: epoch("reset", &reset.epoch)?,
        first: Offset::new(reset.first),
        offset: Offset::new(reset.offset),
    })
}

pub(crate) fn encode_server(frame: &ServerFrame, out: &mut Vec<u8>) {
    match (&frame.body, frame.id) {
        (ServerBody::Message(delivery), None) => {
            encode_delivery(&DeliveryView::of_delivery(delivery), out);
        }
        (body, id) => encode(&frame_to_schema(body, id), out),
    }
}

fn frame_to_schema(body: &ServerBody, id: Option<RequestId>) -> schema::ServerFrame {
    schema::ServerFrame { id: id.map_or(0, RequestId::get), body: Some(body_to_schema(body)) }
}

fn body_to_schema(body: &ServerBody) -> Body {
    match body {
        ServerBody::Connected(connected) => Body::Connected(connected_to_schema(connected)),
        ServerBody::Subscribed(subscribed) => Body::Subscribed(subscribed_to_schema(subscribed)),
        ServerBody::Unsubscribed { sub, reason } => Body::Unsubscribed(schema::Unsubscribed {
            sub: sub.to_string(),
            reason: reason.map(|reason| reason.as_str().to_owned()),
        }),
        ServerBody::Published(published) => Body::Published(schema::Published {
            id: published.id.to_string(),
            offset: published.position.offset.get(),
            epoch: published.position.epoch.to_string(),
            duplicate: published.duplicate,
        }),
        ServerBody::Scheduled(scheduled) => Body::Scheduled(schema::Scheduled {
            id: scheduled.id.to_string(),
            deliver_at: scheduled.deliver_at.as_ms(),
            duplicate: scheduled.duplicate,
        }),
        ServerBody::History(history) => Body::History(history_to_schema(history)),
        ServerBody::Refreshed { expires_at } => {
            Body::Refreshed(schema::Refreshed { expires_at: expires_at.map(Timestamp::as_ms) })
        }
        ServerBody::Settled { count } => Body::Settled(schema::Settled { count: *count }),
        ServerBody::Error(error) => Body::Error(schema::Error {
            code: error.code.as_str().to_owned(),
            message: error.message.clone(),
            temporary: error.code.is_temporary(),
            retry_after_ms: error.retry_after.map(duration_ms),
        }),
        ServerBody::Message(delivery) => Body::Message(delivery_to_schema(delivery)),
        ServerBody::Present(present) => Body::Present(presence::present_to_schema(present)),
        ServerBody::Presence(change) => Body::Presence(presence::change_to_schema(change)),
        ServerBody::Reset(reset) => Body::Reset(schema::Reset {
            sub: reset.sub.to_string(),
            topic: reset.topic.to_string(),
            reason: reset.reason.as_str().to_owned(),
            epoch: reset.epoch.to_string(),
            first: reset.first.get(),
            offset: reset.offset.get(),
        }),
        ServerBody::Goaway(goaway) => Body::Goaway(schema::Goaway {
            reason: goaway.reason.clone(),
            retry_after_ms: goaway.retry_after.map(duration_ms),
        }),
        ServerBody::Ping => Body::Ping(schema::Ping {}),
        ServerBody::Pong => Body::Pong(schema::Pong {}),
    }
}

fn connected_to_schema(connected: &Connected) -> schema::Connected {
    let limits = connected.limits;
    schema::Connected {
        session: connected.session.as_str().to_owned(),
        user: connected.user.to_string(),
        client: connected.client.to_string(),
        node: connected.node.to_string(),
        resumed: connected.resumed,
        ping_ms: duration_ms(connected.ping),
        expires_at: connected.expires_at.map(Timestamp::as_ms),
        limits: Some(schema::Limits {
            message_bytes: limits.message_bytes,
            frame_bytes: limits.frame_bytes,
            subscriptions: limits.subscriptions,
            window: limits.window,
            publishes_in_flight: limits.publishes_in_flight,
        }),
    }
}

fn subscribed_to_schema(subscribed: &Subscribed) -> schema::Subscribed {
    let sub = subscribed.sub.to_string();
    let durable = subscribed.durable.as_ref().map(ToString::to_string);
    match &subscribed.place {
        None => {
            let pending = subscribed.pending;
            schema::Subscribed { sub, pending, durable, ..Default::default() }
        }
        Some(place) => schema::Subscribed {
            sub,
            durable,
            epoch: Some(place.epoch.to_string()),
            offset: place.offset.get(),
            first: place.first.get(),
            recovered: place.recovered,
            reason: place.reason.map(|reason: ResetReason| reason.as_str().to_owned()),
            pending: Some(place.pending),
        },
    }
}

fn history_to_schema(history: &History) -> schema::History {
    schema::History {
        topic: history.topic.to_string(),
        epoch: history.epoch.to_string(),
        offset: history.offset.get(),
        first: history.first.get(),
        recovered: history.recovered,
        more: history.more,
        messages: history.messages.iter().map(delivery_to_schema).collect(),
    }
}

#[cfg(test)]
mod tests {
    use tidings_core::{Data, MessageId, OrderKey, Topic, UserId};

    use super::*;
    use crate::frame::Delivery;

    /// The encoder written by hand against the generated one.
    fn check(delivery: Delivery) {
        let mut by_hand = Vec::new();
        encode_delivery(&DeliveryView::of_delivery(&delivery), &mut by_hand);
        let mut generated = Vec::new();
        encode(&frame_to_schema(&ServerBody::Message(delivery), None), &mut generated);
        assert_eq!(by_hand, generated);
    }

    #[test]
    fn messages_are_encoded_as_the_generated_code_does() {
        let bare = Delivery {
            topic: Topic::parse("t").unwrap(),
            offset: Offset::ORIGIN,
            id: MessageId::from_bits(0),
            data: Data::binary(Vec::new().into()),
            content_type: None,
            headers: Default::default(),
            from: None,
            at: Timestamp::from_ms(0),
            attempt: 1,
            order_key: None,
            sub: None,
        };
        check(bare.clone());
        for len in [1, 127, 128, 20_000, 3_000_000] {
            check(Delivery { data: Data::json(vec![b'1'; len].into()), ..bare.clone() });
        }
        let headers = [("a", ""), ("b", "1"), ("ü", "\n")];
        check(Delivery {
            offset: Offset::new(u64::MAX),
            at: Timestamp::from_ms(1_795_000_000_000),
            from: Some(UserId::parse("alice").unwrap()),
            content_type: tidings_core::ContentType::parse("text/plain"),
            headers: headers.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
            attempt: 300,
            order_key: Some(OrderKey::parse(&"k".repeat(128)).unwrap()),
            sub: Some(Filter::parse("jobs/#").unwrap()),
            ..bare
        });
    }
}
