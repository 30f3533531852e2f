//! What a command of the suite asks for, in the words of the SDK.

use std::time::Duration;

use anyhow::{Context, bail};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::Value;
use tidings_client::{
    AckMode, DedupKey, Offset, OrderKey, Position, PublishRequest, StartFrom, SubscribeRequest,
    Timestamp,
};

pub(crate) fn publish_request(command: &Value) -> anyhow::Result<PublishRequest> {
    let topic = text(command, "topic")?;
    let mut request = match command["data_base64"].as_str() {
        Some(bytes) => PublishRequest::bytes(topic, BASE64_STANDARD.decode(bytes)?)?,
        None => PublishRequest::json(topic, &command["data"])?,
    };
    if let Some(key) = command["key"].as_str() {
        request = request.key(DedupKey::parse(key)?);
    }
    if let Some(key) = command["order_key"].as_str() {
        request = request.order_key(OrderKey::parse(key)?);
    }
    if let Some(content_type) = command["content_type"].as_str() {
        request = request.content_type(content_type)?;
    }
    for (name, value) in command["headers"].as_object().into_iter().flatten() {
        request = request.header(name, value.as_str().context("headers are texts")?);
    }
    if let Some(at) = command["deliver_at"].as_u64() {
        request = request.deliver_at(Timestamp::from_ms(at));
    }
    Ok(request)
}

pub(crate) fn subscribe_request(command: &Value) -> anyhow::Result<SubscribeRequest> {
    let sub = text(command, "sub")?;
    let mut request = match (command["durable"].as_str(), command["group"].as_str()) {
        (Some(name), None) => SubscribeRequest::durable(sub, name)?,
        (None, Some(group)) => SubscribeRequest::shared(sub, group)?,
        (None, None) => SubscribeRequest::live(sub)?,
        (Some(_), Some(_)) => bail!("a subscription is durable or shared"),
    };
    if command["ack"] == "manual" {
        request = request.ack(AckMode::Manual);
    }
    if let Some(window) = command["window"].as_u64() {
        request = request.window(u32::try_from(window)?);
    }
    if let Some(queue) = command["queue"].as_u64() {
        request = request.queue(usize::try_from(queue)?);
    }
    if command["presence"] == true {
        request = request.presence()?;
    }
    let from = match (command.get("after"), command["from"].as_str()) {
        (Some(after), _) => Some(StartFrom::After(position(after)?)),
        (None, None) => None,
        (None, Some("new")) => Some(StartFrom::New),
        (None, Some("first")) => Some(StartFrom::First),
        (None, Some("last")) => Some(StartFrom::Last),
        (None, Some(other)) => bail!("`from` is new, first or last, not {other}"),
    };
    Ok(from.into_iter().fold(request, SubscribeRequest::from))
}

pub(crate) fn text<'a>(command: &'a Value, name: &str) -> anyhow::Result<&'a str> {
    command[name].as_str().with_context(|| format!("`{name}` is a text"))
}

pub(crate) fn duration(value: &Value, name: &str) -> anyhow::Result<Duration> {
    let ms = value[name].as_u64().with_context(|| format!("`{name}` is a number"))?;
    Ok(Duration::from_millis(ms))
}

pub(crate) fn position(value: &Value) -> anyhow::Result<Position> {
    let offset = value["offset"].as_u64().context("`offset` is a number")?;
    let epoch = text(value, "epoch")?.parse()?;
    Ok(Position { epoch, offset: Offset::new(offset) })
}
