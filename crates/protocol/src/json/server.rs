//! What servers say, in JSON.

use std::borrow::Cow;
use std::time::Duration;

use tidings_core::{Epoch, Filter, Offset, Position, ResetReason, Timestamp};

use super::delivery::{DELIVERY_FIELDS, read_delivery, write_delivery};
use super::object::{Object, Reading, Value};
use super::writer::ObjectWriter;
use super::{Kind, presence};
use crate::delivery_view::DeliveryView;
use crate::frame::{
    Connected, ConnectionLimits, Delivery, ErrorBody, Goaway, History, Published, Reset, Scheduled,
    ServerBody, ServerFrame, Subscribed, SubscribedPlace,
};
use crate::rules::{self, duration_ms};

pub(super) const KINDS: &[Kind<ServerBody>] = &[
    Kind { word: "message", read: message },
    Kind { word: "published", read: |body| published(body).map(ServerBody::Published) },
    Kind { word: "scheduled", read: |body| scheduled(body).map(ServerBody::Scheduled) },
    Kind { word: "connected", read: connected },
    Kind { word: "subscribed", read: subscribed },
    Kind { word: "unsubscribed", read: unsubscribed },
    Kind { word: "history", read: history },
    Kind { word: "refreshed", read: refreshed },
    Kind { word: "settled", read: settled },
    Kind { word: "error", read: error },
    Kind { word: "present", read: presence::present },
    Kind { word: "presence", read: presence::change },
    Kind { word: "reset", read: reset },
    Kind { word: "goaway", read: goaway },
    Kind { word: "ping", read: |body| body.object("ping", &[]).map(|_| ServerBody::Ping) },
    Kind { word: "pong", read: |body| body.object("pong", &[]).map(|_| ServerBody::Pong) },
];

fn message(body: Value<'_>) -> Result<ServerBody, ErrorBody> {
    read_delivery(&body.object("message", DELIVERY_FIELDS)?).map(ServerBody::Message)
}

fn connected(body: Value<'_>) -> Result<ServerBody, ErrorBody> {
    let known =
        &["session", "user", "client", "node", "resumed", "ping_ms", "expires_at", "limits"];
    let object = body.object("connected", known)?;
    Ok(ServerBody::Connected(Connected {
        session: rules::id(object.at("session"), &object.text("session")?)?,
        user: rules::id(object.at("user"), &object.text("user")?)?,
        client: rules::id(object.at("client"), &object.text("client")?)?,
        node: rules::id(object.at("node"), &object.text("node")?)?,
        resumed: object.flag("resumed")?,
        ping: Duration::from_millis(object.number("ping_ms")?),
        expires_at: object.optional_number("expires_at")?.map(Timestamp::from_ms),
        limits: limits(object.required("limits")?)?,
    }))
}

fn limits(value: Value<'_>) -> Result<ConnectionLimits, ErrorBody> {
    let known = &["message_bytes", "frame_bytes", "subscriptions", "window", "publishes_in_flight"];
    let object = value.object("connected.limits", known)?;
    let limit = |name| rules::number_u32(object.at(name), object.number(name)?, rules::ANY_U32);
    Ok(ConnectionLimits {
        message_bytes: limit("message_bytes")?,
        frame_bytes: limit("frame_bytes")?,
        subscriptions: limit("subscriptions")?,
        window: limit("window")?,
        publishes_in_flight: limit("publishes_in_flight")?,
    })
}

fn sub(object: &Object<'_>) -> Result<Filter, ErrorBody> {
    rules::filter(object.at("sub"), &object.text("sub")?)
}

fn epoch(object: &Object<'_>) -> Result<Epoch, ErrorBody> {
    rules::epoch(object.at("epoch"), &object.text("epoch")?)
}

fn offset(object: &Object<'_>, name: &'static str) -> Result<Offset, ErrorBody> {
    object.number(name).map(Offset::new)
}

fn subscribed(body: Value<'_>) -> Result<ServerBody, ErrorBody> {
    let known = &["sub", "epoch", "offset", "first", "recovered", "reason", "pending", "durable"];
    let object = body.object("subscribed", known)?;
    let (place, pending) = match object.optional("epoch") {
        None => (None, object.optional_number("pending")?),
        Some(_) => {
            let place = SubscribedPlace {
                epoch: epoch(&object)?,
                offset: offset(&object, "offset")?,
                first: offset(&object, "first")?,
                recovered: object.flag("recovered")?,
                reason: object.optional_text("reason")?.map(|word| rules::reset_reason(&word)),
                pending: object.number("pending")?,
            };
            (Some(place), None)
        }
    };
    let durable = object
        .optional_text("durable")?
        .map(|text| rules::id(object.at("durable"), &text))
        .transpose()?;
    Ok(ServerBody::Subscribed(Subscribed { sub: sub(&object)?, place, pending, durable }))
}

fn unsubscribed(body: Value<'_>) -> Result<ServerBody, ErrorBody> {
    let object = body.object("unsubscribed", &["sub", "reason"])?;
    let reason = object.optional_text("reason")?.map(|word| rules::unsubscribe_reason(&word));
    Ok(ServerBody::Unsubscribed { sub: sub(&object)?, reason })
}

fn published(body: Value<'_>) -> Result<Published, ErrorBody> {
    read_published(&body.object("published", &["id", "offset", "epoch", "duplicate"])?)
}

/// Of the frame, and of the HTTP reply.
pub(crate) fn read_published(object: &Object<'_>) -> Result<Published, ErrorBody> {
    Ok(Published {
        id: rules::message_id(object.at("id"), &object.text("id")?)?,
        position: Position { epoch: epoch(object)?, offset: offset(object, "offset")? },
        duplicate: object.flag("duplicate")?,
    })
}

fn scheduled(body: Value<'_>) -> Result<Scheduled, ErrorBody> {
    read_scheduled(&body.object("scheduled", &["id", "deliver_at", "duplicate"])?)
}

/// Of the frame, and of the HTTP reply.
pub(crate) fn read_scheduled(object: &Object<'_>) -> Result<Scheduled, ErrorBody> {
    Ok(Scheduled {
        id: rules::message_id(object.at("id"), &object.text("id")?)?,
        deliver_at: Timestamp::from_ms(object.number("deliver_at")?),
        duplicate: object.flag("duplicate")?,
    })
}

const HISTORY_FIELDS: &[&str] =
    &["topic", "epoch", "offset", "first", "recovered", "more", "messages"];

fn history(body: Value<'_>) -> Result<ServerBody, ErrorBody> {
    read_history(&body.object("history", HISTORY_FIELDS)?, "history.messages")
        .map(ServerBody::History)
}

/// Of the frame, and of the HTTP reply.
pub(crate) fn read_history(object: &Object<'_>, path: &str) -> Result<History, ErrorBody> {
    let messages = object.required("messages")?.array(usize::MAX)?;
    let delivery = |raw| {
        let value = Value::new(object.at("messages"), raw, Reading::Tolerant);
        read_delivery(&value.object(path, DELIVERY_FIELDS)?)
    };
    Ok(History {
        topic: rules::topic(object.at("topic"), &object.text("topic")?)?,
        epoch: epoch(object)?,
        offset: offset(object, "offset")?,
        first: offset(object, "first")?,
        recovered: object.flag("recovered")?,
        more: object.flag("more")?,
        messages: messages.into_iter().map(delivery).collect::<Result<Vec<Delivery>, _>>()?,
    })
}

fn refreshed(body: Value<'_>) -> Result<ServerBody, ErrorBody> {
    let object = body.object("refreshed", &["expires_at"])?;
    let expires_at = object.optional_number("expires_at")?.map(Timestamp::from_ms);
    Ok(ServerBody::Refreshed { expires_at })
}

fn settled(body: Value<'_>) -> Result<ServerBody, ErrorBody> {
    let object = body.object("settled", &["count"])?;
    let count = rules::number_u32(object.at("count"), object.number("count")?, rules::ANY_U32)?;
    Ok(ServerBody::Settled { count })
}

pub(crate) const ERROR_FIELDS: &[&str] = &["code", "message", "temporary", "retry_after_ms"];

fn error(body: Value<'_>) -> Result<ServerBody, ErrorBody> {
    read_error(&body.object("error", ERROR_FIELDS)?).map(ServerBody::Error)
}

/// Of the frame, and of HTTP replies.
pub(crate) fn read_error(object: &Object<'_>) -> Result<ErrorBody, ErrorBody> {
    read_told_error(object, object.text("message")?)
}

/// The same with `message` from elsewhere: a problem has it as `detail`.
pub(crate) fn read_told_error(
    object: &Object<'_>,
    message: Cow<'_, str>,
) -> Result<ErrorBody, ErrorBody> {
    Ok(rules::told_error(
        &object.text("code")?,
        message.into_owned(),
        object.flag("temporary")?,
        object.optional_number("retry_after_ms")?,
    ))
}

fn reset(body: Value<'_>) -> Result<ServerBody, ErrorBody> {
    let object = body.object("reset", &["sub", "topic", "reason", "epoch", "first", "offset"])?;
    Ok(ServerBody::Reset(Reset {
        sub: sub(&object)?,
        topic: rules::topic(object.at("topic"), &object.text("topic")?)?,
        reason: rules::reset_reason(&object.text("reason")?),
        epoch: epoch(&object)?,
        first: offset(&object, "first")?,
        offset: offset(&object, "offset")?,
    }))
}

fn goaway(body: Value<'_>) -> Result<ServerBody, ErrorBody> {
    let object = body.object("goaway", &["reason", "retry_after_ms"])?;
    Ok(ServerBody::Goaway(Goaway {
        reason: object.text("reason")?.into_owned(),
        retry_after: object.optional_number("retry_after_ms")?.map(Duration::from_millis),
    }))
}

pub(crate) fn encode_server(frame: &ServerFrame, out: &mut Vec<u8>) {
    ObjectWriter::write(out, |object| {
        object.optional_number("id", frame.id.map(|id| id.get().into()));
        object.object(frame.body.kind(), |body| write_body(&frame.body, body));
    });
    out.push(b'\n');
}

fn write_body(body: &ServerBody, out: &mut ObjectWriter<'_>) {
    match body {
        ServerBody::Connected(connected) => write_connected(connected, out),
        ServerBody::Subscribed(subscribed) => write_subscribed(subscribed, out),
        ServerBody::Unsubscribed { sub, reason } => {
            out.text("sub", sub.as_str());
            out.optional_text("reason", reason.map(|reason| reason.as_str()));
        }
        ServerBody::Published(published) => write_published(published, out),
        ServerBody::Scheduled(scheduled) => write_scheduled(scheduled, out),
        ServerBody::History(history) => write_history(history, out),
        ServerBody::Refreshed { expires_at } => {
            out.optional_number("expires_at", expires_at.map(Timestamp::as_ms));
        }
        ServerBody::Settled { count } => out.number("count", (*count).into()),
        ServerBody::Error(error) => write_error(error, out),
        ServerBody::Message(delivery) => write_delivery(&DeliveryView::of_delivery(delivery), out),
        ServerBody::Present(present) => presence::write_present(present, out),
        ServerBody::Presence(change) => presence::write_change(change, out),
        ServerBody::Reset(reset) => write_reset(reset, out),
        ServerBody::Goaway(goaway) => {
            out.text("reason", &goaway.reason);
            out.optional_number("retry_after_ms", goaway.retry_after.map(duration_ms));
        }
        ServerBody::Ping | ServerBody::Pong => {}
    }
}

fn write_connected(connected: &Connected, out: &mut ObjectWriter<'_>) {
    out.text("session", connected.session.as_str());
    out.text("user", connected.user.as_str());
    out.text("client", connected.client.as_str());
    out.text("node", connected.node.as_str());
    out.flag("resumed", connected.resumed);
    out.number("ping_ms", duration_ms(connected.ping));
    out.optional_number("expires_at", connected.expires_at.map(Timestamp::as_ms));
    out.object("limits", |limits| {
        let ConnectionLimits {
            message_bytes,
            frame_bytes,
            subscriptions,
            window,
            publishes_in_flight,
        } = connected.limits;
        limits.number("message_bytes", message_bytes.into());
        limits.number("frame_bytes", frame_bytes.into());
        limits.number("subscriptions", subscriptions.into());
        limits.number("window", window.into());
        limits.number("publishes_in_flight", publishes_in_flight.into());
    });
}

fn write_subscribed(subscribed: &Subscribed, out: &mut ObjectWriter<'_>) {
    out.text("sub", subscribed.sub.as_str());
    if let Some(place) = &subscribed.place {
        out.plain("epoch", place.epoch.encode(&mut [0; 11]));
        out.number("offset", place.offset.get());
        out.number("first", place.first.get());
        out.flag("recovered", place.recovered);
        out.optional_text("reason", place.reason.map(ResetReason::as_str));
        out.number("pending", place.pending);
    } else {
        out.optional_number("pending", subscribed.pending);
    }
    out.optional_text("durable", subscribed.durable.as_ref().map(|it| it.as_str()));
}

pub(crate) fn write_published(published: &Published, out: &mut ObjectWriter<'_>) {
    out.plain("id", published.id.encode(&mut [0; 26]));
    out.number("offset", published.position.offset.get());
    out.plain("epoch", published.position.epoch.encode(&mut [0; 11]));
    out.flag("duplicate", published.duplicate);
}

pub(crate) fn write_scheduled(scheduled: &Scheduled, out: &mut ObjectWriter<'_>) {
    out.plain("id", scheduled.id.encode(&mut [0; 26]));
    out.number("deliver_at", scheduled.deliver_at.as_ms());
    out.flag("duplicate", scheduled.duplicate);
}

pub(crate) fn write_reset(reset: &Reset, out: &mut ObjectWriter<'_>) {
    out.text("sub", reset.sub.as_str());
    out.text("topic", reset.topic.as_str());
    out.text("reason", reset.reason.as_str());
    out.plain("epoch", reset.epoch.encode(&mut [0; 11]));
    out.number("first", reset.first.get());
    out.number("offset", reset.offset.get());
}

pub(crate) fn write_history(history: &History, out: &mut ObjectWriter<'_>) {
    out.text("topic", history.topic.as_str());
    out.plain("epoch", history.epoch.encode(&mut [0; 11]));
    out.number("offset", history.offset.get());
    out.number("first", history.first.get());
    out.flag("recovered", history.recovered);
    out.flag("more", history.more);
    out.array("messages", history.messages.iter(), |out, delivery| {
        ObjectWriter::write(out, |object| {
            write_delivery(&DeliveryView::of_delivery(delivery), object);
        });
    });
}

pub(crate) fn write_error(error: &ErrorBody, out: &mut ObjectWriter<'_>) {
    out.text("code", error.code.as_str());
    out.text("message", &error.message);
    out.flag("temporary", error.code.is_temporary());
    out.optional_number("retry_after_ms", error.retry_after.map(duration_ms));
}
