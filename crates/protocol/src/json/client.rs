//! What clients say, in JSON.

use std::borrow::Cow;

use tidings_core::limits::READ_MESSAGES_MAX;
use tidings_core::{Filter, Offset, Position, Timestamp, Topic};

use super::Kind;
use super::delivery::read_data;
use super::object::{Object, Value};
use super::writer::ObjectWriter;
use crate::field::Field;
use crate::frame::{
    Ack, AckWhich, ClientBody, ClientFrame, Connect, ErrorBody, Extend, HistoryFrom,
    HistoryRequest, Nack, Publish, StartFrom, Subscribe, SubscribeMode,
};
use crate::rules::{self, SubscribeFields, duration_ms};

pub(super) const KINDS: &[Kind<ClientBody>] = &[
    Kind { word: "connect", read: connect },
    Kind { word: "subscribe", read: subscribe },
    Kind { word: "unsubscribe", read: unsubscribe },
    Kind { word: "publish", read: publish },
    Kind { word: "ack", read: ack },
    Kind { word: "nack", read: nack },
    Kind { word: "extend", read: extend },
    Kind { word: "history", read: history },
    Kind { word: "refresh", read: refresh },
    Kind { word: "ping", read: |body| body.object("ping", &[]).map(|_| ClientBody::Ping) },
    Kind { word: "pong", read: |body| body.object("pong", &[]).map(|_| ClientBody::Pong) },
    Kind { word: "presence", read: presence },
];

fn connect(body: Value<'_>) -> Result<ClientBody, ErrorBody> {
    let object = body.object("connect", &["token", "client", "session"])?;
    let at = |name| Field::new("connect", name);
    let token = object.optional_text("token")?;
    let client = object.optional_text("client")?;
    let session = object.optional_text("session")?;
    Ok(ClientBody::Connect(Connect {
        token: token.map(|text| rules::token(at("token"), &text)).transpose()?,
        client: client.map(|text| rules::id(at("client"), &text)).transpose()?,
        session: session.map(|text| rules::id(at("session"), &text)).transpose()?,
    }))
}

const SUBSCRIBE_FIELDS: &[&str] =
    &["topic", "filter", "durable", "group", "window", "from", "after", "presence"];

fn subscribe(body: Value<'_>) -> Result<ClientBody, ErrorBody> {
    let object = body.object("subscribe", SUBSCRIBE_FIELDS)?;
    let topic = object.optional_text("topic")?;
    let filter = object.optional_text("filter")?;
    let durable = object.optional_text("durable")?;
    let group = object.optional_text("group")?;
    let from = object.optional_text("from")?;
    let fields = SubscribeFields {
        sub: rules::topic_or_filter(topic.as_deref(), filter.as_deref())?,
        durable: durable.as_deref(),
        group: group.as_deref(),
        window: object.optional_number("window")?,
        from: from.as_deref(),
        after: position(&object, "subscribe.after")?,
        presence: object.optional_flag("presence")?.unwrap_or(false),
    };
    rules::subscribe(fields).map(ClientBody::Subscribe)
}

/// The field `after` of `object`.
fn position(object: &Object<'_>, path: &'static str) -> Result<Option<Position>, ErrorBody> {
    let Some(value) = object.optional("after") else { return Ok(None) };
    let position = value.object(path, &["epoch", "offset"])?;
    Ok(Some(Position {
        epoch: rules::epoch(Field::new(path, "epoch"), &position.text("epoch")?)?,
        offset: Offset::new(position.number("offset")?),
    }))
}

fn unsubscribe(body: Value<'_>) -> Result<ClientBody, ErrorBody> {
    let object = body.object("unsubscribe", &["sub"])?;
    Ok(ClientBody::Unsubscribe { sub: sub(&object)? })
}

fn sub(object: &Object<'_>) -> Result<Filter, ErrorBody> {
    rules::filter(object.at("sub"), &object.text("sub")?)
}

/// `topic` of a frame that settles deliveries of `sub`.
fn topic_of_sub(object: &Object<'_>, sub: &Filter) -> Result<Option<Topic>, ErrorBody> {
    rules::topic_of_sub(object.at("topic"), sub, object.optional_text("topic")?.as_deref())
}

pub(crate) const PUBLISH_FIELDS: &[&str] = &[
    "topic",
    "data",
    "data_base64",
    "content_type",
    "headers",
    "key",
    "order_key",
    "ttl_ms",
    "deliver_at",
];

/// Of a broadcast: the same, to many topics.
pub(crate) const BROADCAST_FIELDS: &[&str] = &[
    "topics",
    "data",
    "data_base64",
    "content_type",
    "headers",
    "key",
    "order_key",
    "ttl_ms",
    "deliver_at",
];

fn publish(body: Value<'_>) -> Result<ClientBody, ErrorBody> {
    read_publish(&body.object("publish", PUBLISH_FIELDS)?).map(ClientBody::Publish)
}

/// The fields of a publish: of the frame, and of the HTTP body.
pub(crate) fn read_publish(object: &Object<'_>) -> Result<Publish, ErrorBody> {
    let topic = rules::topic(object.at("topic"), &object.text("topic")?)?;
    read_publish_to(topic, object)
}

/// Everything of a publish but where it goes.
pub(crate) fn read_publish_to(topic: Topic, object: &Object<'_>) -> Result<Publish, ErrorBody> {
    let content_type = object
        .optional_text("content_type")?
        .map(|text| rules::content_type(object.at("content_type"), &text))
        .transpose()?;
    let headers = object.optional("headers").map(Value::headers).transpose()?;
    let key =
        object.optional_text("key")?.map(|text| rules::id(object.at("key"), &text)).transpose()?;
    let order_key = object
        .optional_text("order_key")?
        .map(|text| rules::id(object.at("order_key"), &text))
        .transpose()?;
    let ttl = object
        .optional("ttl_ms")
        .map(|value| rules::ttl(value.at(), value.number(rules::POSITIVE)?))
        .transpose()?;
    Ok(Publish {
        topic,
        data: read_data(object)?,
        content_type,
        headers: headers.unwrap_or_default(),
        key,
        order_key,
        ttl,
        deliver_at: object.optional_number("deliver_at")?.map(Timestamp::from_ms),
    })
}

fn ack(body: Value<'_>) -> Result<ClientBody, ErrorBody> {
    let object = body.object("ack", &["sub", "topic", "offset", "offsets"])?;
    let offsets = object.optional("offsets").map(Value::numbers).transpose()?;
    let sub = sub(&object)?;
    Ok(ClientBody::Ack(Ack {
        topic: topic_of_sub(&object, &sub)?,
        sub,
        which: rules::ack_which(object.optional_number("offset")?, offsets)?,
    }))
}

fn nack(body: Value<'_>) -> Result<ClientBody, ErrorBody> {
    let object = body.object("nack", &["sub", "topic", "offset", "delay_ms", "reason", "dead"])?;
    let at = |name| Field::new("nack", name);
    let delay = object
        .optional_number("delay_ms")?
        .map(|ms| rules::delay(at("delay_ms"), ms))
        .transpose()?;
    let reason = object
        .optional_text("reason")?
        .map(|text| rules::reason(at("reason"), &text))
        .transpose()?;
    let dead = object.optional_flag("dead")?.unwrap_or(false);
    rules::nack_is_one_thing(delay, dead)?;
    let sub = sub(&object)?;
    Ok(ClientBody::Nack(Nack {
        topic: topic_of_sub(&object, &sub)?,
        sub,
        offset: rules::offset(at("offset"), object.number("offset")?)?,
        delay,
        reason,
        dead,
    }))
}

fn extend(body: Value<'_>) -> Result<ClientBody, ErrorBody> {
    let object = body.object("extend", &["sub", "topic", "offset", "by_ms"])?;
    let at = |name| Field::new("extend", name);
    let sub = sub(&object)?;
    Ok(ClientBody::Extend(Extend {
        topic: topic_of_sub(&object, &sub)?,
        sub,
        offset: rules::offset(at("offset"), object.number("offset")?)?,
        by: rules::extension(at("by_ms"), object.number("by_ms")?)?,
    }))
}

fn history(body: Value<'_>) -> Result<ClientBody, ErrorBody> {
    let object = body.object("history", &["topic", "after", "since", "limit"])?;
    let limit = object
        .optional("limit")
        .map(|value| value.number(1..=READ_MESSAGES_MAX as u64))
        .transpose()?;
    let after = position(&object, "history.after")?;
    Ok(ClientBody::History(HistoryRequest {
        topic: rules::topic(object.at("topic"), &object.text("topic")?)?,
        from: rules::history_from(after, object.optional_number("since")?)?,
        limit: limit.map(|limit| u32::try_from(limit).expect("the range is within 32 bits")),
    }))
}

fn presence(body: Value<'_>) -> Result<ClientBody, ErrorBody> {
    let object = body.object("presence", &["topic"])?;
    Ok(ClientBody::Presence { topic: rules::topic(object.at("topic"), &object.text("topic")?)? })
}

fn refresh(body: Value<'_>) -> Result<ClientBody, ErrorBody> {
    let object = body.object("refresh", &["token"])?;
    let token: Cow<'_, str> = object.text("token")?;
    Ok(ClientBody::Refresh { token: rules::token(object.at("token"), &token)? })
}

pub(crate) fn encode_client(frame: &ClientFrame, out: &mut Vec<u8>) {
    ObjectWriter::write(out, |object| {
        object.optional_number("id", frame.id.map(|id| id.get().into()));
        object.object(frame.body.kind(), |body| write_body(&frame.body, body));
    });
    out.push(b'\n');
}

fn write_body(body: &ClientBody, out: &mut ObjectWriter<'_>) {
    match body {
        ClientBody::Connect(connect) => {
            out.optional_text("token", connect.token.as_deref());
            out.optional_text("client", connect.client.as_ref().map(|it| it.as_str()));
            out.optional_text("session", connect.session.as_ref().map(|it| it.as_str()));
        }
        ClientBody::Subscribe(subscribe) => write_subscribe(subscribe, out),
        ClientBody::Unsubscribe { sub } => out.text("sub", sub.as_str()),
        ClientBody::Publish(publish) => write_publish(publish, out),
        ClientBody::Ack(ack) => {
            out.text("sub", ack.sub.as_str());
            out.optional_text("topic", ack.topic.as_ref().map(Topic::as_str));
            match &ack.which {
                AckWhich::Through(offset) => out.number("offset", offset.get()),
                AckWhich::Each(offsets) => {
                    out.numbers("offsets", offsets.iter().map(|it| it.get()))
                }
            }
        }
        ClientBody::Nack(nack) => write_nack(nack, out),
        ClientBody::Extend(extend) => {
            out.text("sub", extend.sub.as_str());
            out.optional_text("topic", extend.topic.as_ref().map(Topic::as_str));
            out.number("offset", extend.offset.get());
            out.number("by_ms", duration_ms(extend.by));
        }
        ClientBody::History(request) => {
            out.text("topic", request.topic.as_str());
            match request.from {
                HistoryFrom::First => {}
                HistoryFrom::After(position) => write_position(position, out),
                HistoryFrom::Since(time) => out.number("since", time.as_ms()),
            }
            out.optional_number("limit", request.limit.map(u64::from));
        }
        ClientBody::Presence { topic } => out.text("topic", topic.as_str()),
        ClientBody::Refresh { token } => out.text("token", token),
        ClientBody::Ping | ClientBody::Pong => {}
    }
}

fn write_subscribe(subscribe: &Subscribe, out: &mut ObjectWriter<'_>) {
    let name = if subscribe.sub.as_topic().is_some() { "topic" } else { "filter" };
    out.text(name, subscribe.sub.as_str());
    let (start, default) = match &subscribe.mode {
        SubscribeMode::Live { from } => (*from, StartFrom::New),
        SubscribeMode::Durable { name, window, from } => {
            out.text("durable", name.as_str());
            out.optional_number("window", window.map(u64::from));
            (*from, StartFrom::First)
        }
        SubscribeMode::Shared { group, window, from } => {
            out.text("group", group.as_str());
            out.optional_number("window", window.map(u64::from));
            (*from, StartFrom::First)
        }
    };
    match start {
        start if start == default => {}
        StartFrom::New => out.text("from", "new"),
        StartFrom::First => out.text("from", "first"),
        StartFrom::Last => out.text("from", "last"),
        StartFrom::After(position) => write_position(position, out),
    }
    if subscribe.presence {
        out.flag("presence", true);
    }
}

fn write_position(position: Position, out: &mut ObjectWriter<'_>) {
    out.object("after", |after| {
        after.plain("epoch", position.epoch.encode(&mut [0; 11]));
        after.number("offset", position.offset.get());
    });
}

pub(crate) fn write_publish(publish: &Publish, out: &mut ObjectWriter<'_>) {
    out.text("topic", publish.topic.as_str());
    out.data(&publish.data);
    out.optional_text("content_type", publish.content_type.as_ref().map(|it| it.as_str()));
    out.headers(&publish.headers);
    out.optional_text("key", publish.key.as_ref().map(|it| it.as_str()));
    out.optional_text("order_key", publish.order_key.as_ref().map(|it| it.as_str()));
    out.optional_number("ttl_ms", publish.ttl.map(duration_ms));
    out.optional_number("deliver_at", publish.deliver_at.map(Timestamp::as_ms));
}

fn write_nack(nack: &Nack, out: &mut ObjectWriter<'_>) {
    out.text("sub", nack.sub.as_str());
    out.optional_text("topic", nack.topic.as_ref().map(Topic::as_str));
    out.number("offset", nack.offset.get());
    out.optional_number("delay_ms", nack.delay.map(duration_ms));
    out.optional_text("reason", nack.reason.as_deref());
    if nack.dead {
        out.flag("dead", true);
    }
}
