//! The `message` frame and the messages of a history, which look the same.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use tidings_core::{Data, Offset, Timestamp};

use super::object::Object;
use super::writer::ObjectWriter;
use crate::data::json_value_data;
use crate::delivery_view::DeliveryView;
use crate::error_code::ErrorCode;
use crate::frame::{Delivery, ErrorBody};
use crate::rules;

pub(crate) const DELIVERY_FIELDS: &[&str] = &[
    "topic",
    "offset",
    "id",
    "data",
    "data_base64",
    "content_type",
    "headers",
    "from",
    "at",
    "attempt",
    "order_key",
    "sub",
];

/// A whole `message` frame with its line end.
pub(crate) fn encode_delivery(view: &DeliveryView<'_>, out: &mut Vec<u8>) {
    out.reserve(view.bytes_hint());
    ObjectWriter::write(out, |frame| frame.object("message", |body| write_delivery(view, body)));
    out.push(b'\n');
}

pub(crate) fn write_delivery(view: &DeliveryView<'_>, out: &mut ObjectWriter<'_>) {
    out.text("topic", view.topic);
    out.number("offset", view.offset.get());
    out.plain("id", view.id.encode(&mut [0; 26]));
    out.data(view.data);
    out.optional_text("content_type", view.content_type.map(|it| it.as_str()));
    out.headers(view.headers);
    out.optional_text("from", view.from.map(|it| it.as_str()));
    out.number("at", view.at.as_ms());
    if view.attempt > 1 {
        out.number("attempt", view.attempt.into());
    }
    out.optional_text("order_key", view.order_key.map(|it| it.as_str()));
    out.optional_text("sub", view.sub.map(|it| it.as_str()));
}

pub(crate) fn read_delivery(object: &Object<'_>) -> Result<Delivery, ErrorBody> {
    let content_type = object
        .optional_text("content_type")?
        .map(|text| rules::content_type(object.at("content_type"), &text))
        .transpose()?;
    let headers = object.optional("headers").map(|value| value.headers()).transpose()?;
    let from = object
        .optional_text("from")?
        .map(|text| rules::id(object.at("from"), &text))
        .transpose()?;
    let attempt = object.optional_number("attempt")?.unwrap_or(1);
    let order_key = object
        .optional_text("order_key")?
        .map(|text| rules::id(object.at("order_key"), &text))
        .transpose()?;
    let sub = object
        .optional_text("sub")?
        .map(|text| rules::filter(object.at("sub"), &text))
        .transpose()?;
    Ok(Delivery {
        topic: rules::topic(object.at("topic"), &object.text("topic")?)?,
        offset: Offset::new(object.number("offset")?),
        id: rules::message_id(object.at("id"), &object.text("id")?)?,
        data: read_data(object)?,
        content_type,
        headers: headers.unwrap_or_default(),
        from,
        at: Timestamp::from_ms(object.number("at")?),
        attempt: rules::number_u32(object.at("attempt"), attempt, 1..=u32::MAX.into())?,
        order_key,
        sub,
    })
}

/// `data` or `data_base64`, whichever is there.
pub(super) fn read_data(object: &Object<'_>) -> Result<Data, ErrorBody> {
    match (object.any("data"), object.optional("data_base64")) {
        (Some(value), None) => {
            rules::data_size(value.at(), value.json().get().len())?;
            rules::json_data(value.at(), json_value_data(value.json()))
        }
        (None, Some(value)) => {
            let text = value.text()?;
            rules::data_size(value.at(), text.len() / 4 * 3)?;
            let bytes = STANDARD.decode(text.as_bytes()).map_err(|_| {
                value.at().bad("must be base64 (RFC 4648 §4: `+` and `/`, padded with `=`)")
            })?;
            Ok(Data::binary(bytes.into()))
        }
        (Some(_), Some(_)) => Err(ErrorBody::new(
            ErrorCode::BadField,
            format!("{} and `data_base64` exclude each other: give one of them", object.at("data")),
        )),
        (None, None) => {
            Err(object.at("data").bad("is missing, and so is `data_base64`: give one of them"))
        }
    }
}
