//! The `message` frame, written by hand: it is the hot path, and the generated encoder would
//! copy each text first. A test holds it to the generated one byte for byte.

use std::time::Duration;

use tidings_core::{Data, DataKind, Offset, Timestamp};

use super::schema;
use super::wire::{
    bytes_len, number_len, put_bytes, put_bytes_start, put_number, put_varint, varint_len,
};
use crate::delivery_view::DeliveryView;
use crate::field::Field;
use crate::frame::{Delivery, ErrorBody};
use crate::rules;

/// The number of `message` in ServerFrame.
const MESSAGE: u8 = 2;

/// A whole `message` frame with its length.
pub(crate) fn encode_delivery(view: &DeliveryView<'_>, out: &mut Vec<u8>) {
    let len = delivery_len(view);
    out.reserve(len + 16);
    put_varint(out, (1 + varint_len(len as u64) + len) as u64);
    put_bytes_start(out, MESSAGE, len);
    put_delivery(view, out);
}

fn put_delivery(view: &DeliveryView<'_>, out: &mut Vec<u8>) {
    put_bytes(out, 1, view.topic.as_bytes());
    put_number(out, 2, view.offset.get());
    put_bytes(out, 3, view.id.encode(&mut [0; 26]).as_bytes());
    put_bytes(out, data_number(view.data), view.data.bytes());
    if let Some(content_type) = view.content_type {
        put_bytes(out, 6, content_type.as_str().as_bytes());
    }
    for (name, value) in view.headers {
        put_bytes_start(out, 7, header_len(name, value));
        put_bytes(out, 1, name.as_bytes());
        if !value.is_empty() {
            put_bytes(out, 2, value.as_bytes());
        }
    }
    if let Some(from) = view.from {
        put_bytes(out, 8, from.as_str().as_bytes());
    }
    put_number(out, 9, view.at.as_ms());
    put_number(out, 10, attempt(view.attempt).into());
    if let Some(order_key) = view.order_key {
        put_bytes(out, 11, order_key.as_str().as_bytes());
    }
    if let Some(sub) = view.sub {
        put_bytes(out, 12, sub.as_str().as_bytes());
    }
}

/// How many bytes [`put_delivery`] writes.
fn delivery_len(view: &DeliveryView<'_>) -> usize {
    let headers: usize =
        view.headers.iter().map(|(name, value)| bytes_len(header_len(name, value))).sum();
    bytes_len(view.topic.len())
        + number_len(view.offset.get())
        + bytes_len(26)
        + bytes_len(view.data.bytes().len())
        + view.content_type.map_or(0, |it| bytes_len(it.as_str().len()))
        + headers
        + view.from.map_or(0, |it| bytes_len(it.as_str().len()))
        + number_len(view.at.as_ms())
        + number_len(attempt(view.attempt).into())
        + view.order_key.map_or(0, |it| bytes_len(it.as_str().len()))
        + view.sub.map_or(0, |it| bytes_len(it.as_str().len()))
}

/// An entry of the map, of which Protobuf leaves an empty value out.
const fn header_len(name: &str, value: &str) -> usize {
    bytes_len(name.len()) + if value.is_empty() { 0 } else { bytes_len(value.len()) }
}

const fn data_number(data: &Data) -> u8 {
    match data.kind() {
        DataKind::Json => 4,
        DataKind::Binary => 5,
    }
}

/// The first attempt is not written.
const fn attempt(attempt: u32) -> u32 {
    if attempt > 1 { attempt } else { 0 }
}

/// The same message for the generated encoder: in a history, speed matters less.
pub(super) fn delivery_to_schema(delivery: &Delivery) -> schema::Message {
    use schema::message::Data as Wire;
    let bytes = delivery.data.bytes().clone();
    schema::Message {
        topic: delivery.topic.to_string(),
        offset: delivery.offset.get(),
        id: delivery.id.to_string(),
        data: Some(match delivery.data.kind() {
            DataKind::Json => Wire::DataJson(bytes),
            DataKind::Binary => Wire::DataBinary(bytes),
        }),
        content_type: delivery.content_type.as_ref().map(|it| it.as_str().to_owned()),
        headers: delivery.headers.clone(),
        from: delivery.from.as_ref().map(ToString::to_string),
        at: delivery.at.as_ms(),
        attempt: attempt(delivery.attempt),
        order_key: delivery.order_key.as_ref().map(ToString::to_string),
        sub: delivery.sub.as_ref().map(ToString::to_string),
    }
}

pub(super) fn delivery_from_schema(message: schema::Message) -> Result<Delivery, ErrorBody> {
    use schema::message::Data as Wire;
    let at = |name| Field::new("message", name);
    let data = match message.data {
        Some(Wire::DataJson(bytes)) => {
            rules::json_data(at("data_json"), crate::data::json_data(&bytes))?
        }
        Some(Wire::DataBinary(bytes)) => Data::binary(bytes),
        None => return Err(at("data").missing()),
    };
    let content_type = message
        .content_type
        .map(|text| rules::content_type(at("content_type"), &text))
        .transpose()?;
    Ok(Delivery {
        topic: rules::topic(at("topic"), &message.topic)?,
        offset: Offset::new(message.offset),
        id: rules::message_id(at("id"), &message.id)?,
        data,
        content_type,
        headers: message.headers,
        from: message.from.map(|text| rules::id(at("from"), &text)).transpose()?,
        at: Timestamp::from_ms(message.at),
        attempt: message.attempt.max(1),
        order_key: message.order_key.map(|text| rules::id(at("order_key"), &text)).transpose()?,
        sub: message.sub.map(|text| rules::filter(at("sub"), &text)).transpose()?,
    })
}

/// A duration that the schema has in milliseconds.
pub(super) fn duration(ms: u64) -> Duration {
    Duration::from_millis(ms)
}
