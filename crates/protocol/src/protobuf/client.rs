//! What clients say, in Protobuf.

use prost::Message;
use tidings_core::limits::READ_MESSAGES_MAX;
use tidings_core::{Data, DataKind, Filter, Offset, Position, Timestamp, Topic};

use super::schema::client_frame::Body;
use super::{bad_frame, encode, schema, strict};
use crate::codec::DecodeError;
use crate::field::Field;
use crate::frame::{
    Ack, AckWhich, ClientBody, ClientFrame, Connect, ErrorBody, Extend, HistoryFrom,
    HistoryRequest, Nack, Publish, RequestId, StartFrom, Subscribe, SubscribeMode,
};
use crate::rules::{self, SubscribeFields, duration_ms};

pub(crate) fn decode_client(bytes: &[u8]) -> Result<ClientFrame, DecodeError> {
    let id = strict::request_id(bytes);
    decode_body(bytes).map(|body| ClientFrame { id, body }).map_err(|body| DecodeError { id, body })
}

fn decode_body(bytes: &[u8]) -> Result<ClientBody, ErrorBody> {
    strict::check_client(bytes)?;
    let frame = schema::ClientFrame::decode(bytes)
        .map_err(|error| bad_frame(format!("the frame is not of the Protobuf schema: {error}")))?;
    match frame.body.ok_or_else(|| bad_frame("the frame has no body"))? {
        Body::Connect(connect) => read_connect(connect).map(ClientBody::Connect),
        Body::Subscribe(subscribe) => read_subscribe(&subscribe).map(ClientBody::Subscribe),
        Body::Unsubscribe(unsubscribe) => {
            Ok(ClientBody::Unsubscribe { sub: sub("unsubscribe", &unsubscribe.sub)? })
        }
        Body::Publish(publish) => read_publish(publish).map(ClientBody::Publish),
        Body::Ack(ack) => read_ack(ack).map(ClientBody::Ack),
        Body::Nack(nack) => read_nack(&nack).map(ClientBody::Nack),
        Body::Extend(extend) => read_extend(&extend).map(ClientBody::Extend),
        Body::History(request) => read_history(&request).map(ClientBody::History),
        Body::Refresh(refresh) => {
            let token = rules::token(Field::new("refresh", "token"), &refresh.token)?;
            Ok(ClientBody::Refresh { token })
        }
        Body::Ping(schema::Ping {}) => Ok(ClientBody::Ping),
        Body::Pong(schema::Pong {}) => Ok(ClientBody::Pong),
        Body::Presence(request) => {
            let topic = rules::topic(Field::new("presence", "topic"), &request.topic)?;
            Ok(ClientBody::Presence { topic })
        }
    }
}

fn read_connect(connect: schema::Connect) -> Result<Connect, ErrorBody> {
    let at = |name| Field::new("connect", name);
    let schema::Connect { token, client, session } = connect;
    Ok(Connect {
        token: token.map(|text| rules::token(at("token"), &text)).transpose()?,
        client: client.map(|text| rules::id(at("client"), &text)).transpose()?,
        session: session.map(|text| rules::id(at("session"), &text)).transpose()?,
    })
}

fn read_subscribe(subscribe: &schema::Subscribe) -> Result<Subscribe, ErrorBody> {
    rules::subscribe(SubscribeFields {
        sub: rules::topic_or_filter(subscribe.topic.as_deref(), subscribe.filter.as_deref())?,
        durable: subscribe.durable.as_deref(),
        group: subscribe.group.as_deref(),
        window: subscribe.window.map(u64::from),
        from: subscribe.from.as_deref(),
        after: read_position("subscribe.after", subscribe.after.as_ref())?,
        presence: subscribe.presence,
    })
}

fn read_position(
    path: &str,
    position: Option<&schema::Position>,
) -> Result<Option<Position>, ErrorBody> {
    let Some(position) = position else { return Ok(None) };
    let epoch = rules::epoch(Field::new(path, "epoch"), &position.epoch)?;
    Ok(Some(Position { epoch, offset: Offset::new(position.offset) }))
}

fn sub(object: &str, text: &str) -> Result<Filter, ErrorBody> {
    rules::filter(Field::new(object, "sub"), text)
}

fn topic_of_sub(
    object: &str,
    sub: &Filter,
    text: Option<&str>,
) -> Result<Option<Topic>, ErrorBody> {
    rules::topic_of_sub(Field::new(object, "topic"), sub, text)
}

fn read_publish(publish: schema::Publish) -> Result<Publish, ErrorBody> {
    use schema::publish::Data as Wire;
    let at = |name| Field::new("publish", name);
    let data = match publish.data {
        Some(Wire::DataJson(bytes)) => {
            rules::data_size(at("data_json"), bytes.len())?;
            rules::json_data(at("data_json"), crate::data::json_data(&bytes))?
        }
        Some(Wire::DataBinary(bytes)) => {
            rules::data_size(at("data_binary"), bytes.len())?;
            Data::binary(bytes)
        }
        None => {
            return Err(at("data").bad("is missing: give `data_json` or `data_binary`"));
        }
    };
    let content_type = publish
        .content_type
        .map(|text| rules::content_type(at("content_type"), &text))
        .transpose()?;
    Ok(Publish {
        topic: rules::topic(at("topic"), &publish.topic)?,
        data,
        content_type,
        headers: rules::headers(at("headers"), publish.headers)?,
        key: publish.key.map(|text| rules::id(at("key"), &text)).transpose()?,
        order_key: publish.order_key.map(|text| rules::id(at("order_key"), &text)).transpose()?,
        ttl: publish.ttl_ms.map(|ms| rules::ttl(at("ttl_ms"), ms)).transpose()?,
        deliver_at: publish.deliver_at.map(Timestamp::from_ms),
    })
}

fn read_ack(ack: schema::Ack) -> Result<Ack, ErrorBody> {
    let each = (!ack.offsets.is_empty()).then_some(ack.offsets);
    let sub = sub("ack", &ack.sub)?;
    let topic = topic_of_sub("ack", &sub, ack.topic.as_deref())?;
    Ok(Ack { sub, topic, which: rules::ack_which(ack.offset, each)? })
}

fn read_nack(nack: &schema::Nack) -> Result<Nack, ErrorBody> {
    let at = |name| Field::new("nack", name);
    let delay = nack.delay_ms.map(|ms| rules::delay(at("delay_ms"), ms)).transpose()?;
    let reason = nack.reason.as_ref().map(|text| rules::reason(at("reason"), text)).transpose()?;
    rules::nack_is_one_thing(delay, nack.dead)?;
    let sub = sub("nack", &nack.sub)?;
    Ok(Nack {
        topic: topic_of_sub("nack", &sub, nack.topic.as_deref())?,
        sub,
        offset: rules::offset(at("offset"), nack.offset)?,
        delay,
        reason,
        dead: nack.dead,
    })
}

fn read_extend(extend: &schema::Extend) -> Result<Extend, ErrorBody> {
    let at = |name| Field::new("extend", name);
    let sub = sub("extend", &extend.sub)?;
    Ok(Extend {
        topic: topic_of_sub("extend", &sub, extend.topic.as_deref())?,
        sub,
        offset: rules::offset(at("offset"), extend.offset)?,
        by: rules::extension(at("by_ms"), extend.by_ms)?,
    })
}

fn read_history(request: &schema::HistoryRequest) -> Result<HistoryRequest, ErrorBody> {
    let at = |name| Field::new("history", name);
    let after = read_position("history.after", request.after.as_ref())?;
    let limit = request
        .limit
        .map(|limit| rules::number_u32(at("limit"), limit.into(), 1..=READ_MESSAGES_MAX as u64))
        .transpose()?;
    Ok(HistoryRequest {
        topic: rules::topic(at("topic"), &request.topic)?,
        from: rules::history_from(after, request.since)?,
        limit,
    })
}

pub(crate) fn encode_client(frame: &ClientFrame, out: &mut Vec<u8>) {
    let frame = schema::ClientFrame {
        id: frame.id.map_or(0, RequestId::get),
        body: Some(body_to_schema(&frame.body)),
    };
    encode(&frame, out);
}

fn body_to_schema(body: &ClientBody) -> Body {
    match body {
        ClientBody::Connect(connect) => Body::Connect(schema::Connect {
            token: connect.token.clone(),
            client: connect.client.as_ref().map(ToString::to_string),
            session: connect.session.as_ref().map(|session| session.as_str().to_owned()),
        }),
        ClientBody::Subscribe(subscribe) => Body::Subscribe(subscribe_to_schema(subscribe)),
        ClientBody::Unsubscribe { sub } => {
            Body::Unsubscribe(schema::Unsubscribe { sub: sub.to_string() })
        }
        ClientBody::Publish(publish) => Body::Publish(publish_to_schema(publish)),
        ClientBody::Ack(ack) => Body::Ack(ack_to_schema(ack)),
        ClientBody::Nack(nack) => Body::Nack(schema::Nack {
            sub: nack.sub.to_string(),
            offset: nack.offset.get(),
            delay_ms: nack.delay.map(duration_ms),
            reason: nack.reason.clone(),
            dead: nack.dead,
            topic: nack.topic.as_ref().map(ToString::to_string),
        }),
        ClientBody::Extend(extend) => Body::Extend(schema::Extend {
            sub: extend.sub.to_string(),
            offset: extend.offset.get(),
            by_ms: duration_ms(extend.by),
            topic: extend.topic.as_ref().map(ToString::to_string),
        }),
        ClientBody::History(request) => Body::History(history_to_schema(request)),
        ClientBody::Presence { topic } => {
            Body::Presence(schema::PresenceRequest { topic: topic.to_string() })
        }
        ClientBody::Refresh { token } => Body::Refresh(schema::Refresh { token: token.clone() }),
        ClientBody::Ping => Body::Ping(schema::Ping {}),
        ClientBody::Pong => Body::Pong(schema::Pong {}),
    }
}

fn subscribe_to_schema(subscribe: &Subscribe) -> schema::Subscribe {
    let text = Some(subscribe.sub.to_string());
    let is_topic = subscribe.sub.as_topic().is_some();
    let (topic, filter) = if is_topic { (text, None) } else { (None, text) };
    let (durable, group, window, start, default) = match &subscribe.mode {
        SubscribeMode::Live { from } => (None, None, None, *from, StartFrom::New),
        SubscribeMode::Durable { name, window, from } => {
            (Some(name.to_string()), None, *window, *from, StartFrom::First)
        }
        SubscribeMode::Shared { group, window, from } => {
            (None, Some(group.to_string()), *window, *from, StartFrom::First)
        }
    };
    let (from, after) = match start {
        start if start == default => (None, None),
        StartFrom::New => (Some("new".to_owned()), None),
        StartFrom::First => (Some("first".to_owned()), None),
        StartFrom::Last => (Some("last".to_owned()), None),
        StartFrom::After(position) => (None, Some(position_to_schema(position))),
    };
    let presence = subscribe.presence;
    schema::Subscribe { topic, filter, durable, window, from, after, group, presence }
}

fn position_to_schema(position: Position) -> schema::Position {
    schema::Position { epoch: position.epoch.to_string(), offset: position.offset.get() }
}

fn publish_to_schema(publish: &Publish) -> schema::Publish {
    use schema::publish::Data as Wire;
    let bytes = publish.data.bytes().clone();
    schema::Publish {
        topic: publish.topic.to_string(),
        data: Some(match publish.data.kind() {
            DataKind::Json => Wire::DataJson(bytes),
            DataKind::Binary => Wire::DataBinary(bytes),
        }),
        content_type: publish.content_type.as_ref().map(|it| it.as_str().to_owned()),
        headers: publish.headers.clone(),
        key: publish.key.as_ref().map(ToString::to_string),
        ttl_ms: publish.ttl.map(duration_ms),
        deliver_at: publish.deliver_at.map(Timestamp::as_ms),
        order_key: publish.order_key.as_ref().map(ToString::to_string),
    }
}

fn ack_to_schema(ack: &Ack) -> schema::Ack {
    let (offset, offsets) = match &ack.which {
        AckWhich::Through(offset) => (Some(offset.get()), Vec::new()),
        AckWhich::Each(offsets) => (None, offsets.iter().map(|offset| offset.get()).collect()),
    };
    let topic = ack.topic.as_ref().map(ToString::to_string);
    schema::Ack { sub: ack.sub.to_string(), offset, offsets, topic }
}

fn history_to_schema(request: &HistoryRequest) -> schema::HistoryRequest {
    let (after, since) = match request.from {
        HistoryFrom::First => (None, None),
        HistoryFrom::After(position) => (Some(position_to_schema(position)), None),
        HistoryFrom::Since(time) => (None, Some(time.as_ms())),
    };
    schema::HistoryRequest { topic: request.topic.to_string(), after, since, limit: request.limit }
}
