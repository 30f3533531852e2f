//! The rules of the fields, one function each, whatever codec the value came in.

mod settle;
mod subscribe;

use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use tidings_core::limits::{
    HEADERS_BYTES_MAX, HEADERS_MAX, MESSAGE_BYTES_MAX, REASON_BYTES_MAX, REDELIVERY_DELAY_MAX,
    TOKEN_BYTES_MAX,
};
use tidings_core::{
    ContentType, Data, Epoch, Filter, Headers, IdError, MessageId, Offset, Position, ResetReason,
    Topic,
};

pub(crate) use self::settle::{ack_which, nack_is_one_thing, topic_of_sub};
pub(crate) use self::subscribe::{SubscribeFields, subscribe, topic_or_filter};

use crate::codec::DecodeError;
use crate::data::JsonDataError;
use crate::error_code::ErrorCode;
use crate::field::Field;
use crate::frame::{ClientFrame, ErrorBody, HistoryFrom, UnsubscribeReason};

/// Any number that fits.
pub(crate) const ANY: RangeInclusive<u64> = 0..=u64::MAX;
/// Any number that fits, but not 0.
pub(crate) const POSITIVE: RangeInclusive<u64> = 1..=u64::MAX;
/// What fits a `u32` of ours.
pub(crate) const ANY_U32: RangeInclusive<u64> = 0..=u32::MAX as u64;

/// A request without an id could not be answered.
pub(crate) fn request_has_id(frame: ClientFrame) -> Result<ClientFrame, DecodeError> {
    if frame.id.is_none() && frame.body.is_request() {
        let kind = frame.body.kind();
        let rule = format!("is missing: `{kind}` is a request, and its reply carries the id");
        return Err(DecodeError { id: None, body: Field::new("", "id").bad(rule) });
    }
    Ok(frame)
}

pub(crate) fn number(
    at: Field<'_>,
    value: u64,
    range: RangeInclusive<u64>,
) -> Result<u64, ErrorBody> {
    if range.contains(&value) { Ok(value) } else { Err(not_in(at, &range)) }
}

/// The error of a value that is not a whole number in `range`.
pub(crate) fn not_in(at: Field<'_>, range: &RangeInclusive<u64>) -> ErrorBody {
    match (range.start(), range.end()) {
        (low, &u64::MAX) => at.bad(format_args!("must be a whole number, at least {low}")),
        (low, high) => at.bad(format_args!("must be a whole number from {low} to {high}")),
    }
}

/// A number that a range has bounded to 32 bits.
pub(crate) fn number_u32(
    at: Field<'_>,
    value: u64,
    range: RangeInclusive<u64>,
) -> Result<u32, ErrorBody> {
    let number = number(at, value, range.clone())?;
    u32::try_from(number).map_err(|_| not_in(at, &range))
}

pub(crate) fn topic(at: Field<'_>, text: &str) -> Result<Topic, ErrorBody> {
    Topic::parse(text).map_err(|rule| at.breaks(ErrorCode::BadTopic, rule))
}

pub(crate) fn filter(at: Field<'_>, text: &str) -> Result<Filter, ErrorBody> {
    Filter::parse(text).map_err(|rule| at.breaks(ErrorCode::BadFilter, rule))
}

/// Users, clients, sessions, keys, messages: everything with an [`IdError`].
pub(crate) fn id<T: FromStr<Err = IdError>>(at: Field<'_>, text: &str) -> Result<T, ErrorBody> {
    text.parse().map_err(|rule| at.breaks(ErrorCode::BadField, rule))
}

pub(crate) fn message_id(at: Field<'_>, text: &str) -> Result<MessageId, ErrorBody> {
    id(at, text)
}

pub(crate) fn epoch(at: Field<'_>, text: &str) -> Result<Epoch, ErrorBody> {
    text.parse().map_err(|rule| at.breaks(ErrorCode::BadField, rule))
}

pub(crate) fn content_type(at: Field<'_>, text: &str) -> Result<ContentType, ErrorBody> {
    ContentType::parse(text).ok_or_else(|| {
        at.bad("must be a media type: 1 to 255 printable ASCII characters, like `text/plain`")
    })
}

pub(crate) fn token(at: Field<'_>, text: &str) -> Result<String, ErrorBody> {
    bounded(at, text, TOKEN_BYTES_MAX)
}

pub(crate) fn reason(at: Field<'_>, text: &str) -> Result<String, ErrorBody> {
    bounded(at, text, REASON_BYTES_MAX)
}

fn bounded(at: Field<'_>, text: &str, bytes_max: usize) -> Result<String, ErrorBody> {
    if text.len() > bytes_max {
        let bytes = text.len();
        return Err(at.bad(format_args!("has at most {bytes_max} bytes, this one has {bytes}")));
    }
    Ok(text.to_owned())
}

/// Data of a size that no configuration allows is refused here; the server's own limit is lower.
pub(crate) fn data_size(at: Field<'_>, bytes: usize) -> Result<(), ErrorBody> {
    if bytes > MESSAGE_BYTES_MAX {
        let rule = format!("has {bytes} bytes; at most {MESSAGE_BYTES_MAX} can be allowed");
        return Err(at.error(ErrorCode::TooLarge, rule));
    }
    Ok(())
}

pub(crate) fn json_data(
    at: Field<'_>,
    data: Result<Data, JsonDataError>,
) -> Result<Data, ErrorBody> {
    data.map_err(|error| at.bad(error))
}

/// The time to live of a message: whole milliseconds, at least one.
pub(crate) fn ttl(at: Field<'_>, ms: u64) -> Result<Duration, ErrorBody> {
    number(at, ms, POSITIVE).map(Duration::from_millis)
}

/// The wait before a redelivery; zero is at once.
pub(crate) fn delay(at: Field<'_>, ms: u64) -> Result<Duration, ErrorBody> {
    number(at, ms, 0..=duration_ms(REDELIVERY_DELAY_MAX)).map(Duration::from_millis)
}

/// More time for a delivery.
pub(crate) fn extension(at: Field<'_>, ms: u64) -> Result<Duration, ErrorBody> {
    number(at, ms, 1..=duration_ms(REDELIVERY_DELAY_MAX)).map(Duration::from_millis)
}

/// A duration as it is on the wire: whole milliseconds.
pub(crate) fn duration_ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// An offset that a message has, so not 0.
pub(crate) fn offset(at: Field<'_>, value: u64) -> Result<Offset, ErrorBody> {
    number(at, value, POSITIVE).map(Offset::new)
}

pub(crate) fn headers(at: Field<'_>, headers: Headers) -> Result<Headers, ErrorBody> {
    if headers.len() > HEADERS_MAX {
        return Err(
            at.bad(format_args!("has at most {HEADERS_MAX} names, this has {}", headers.len()))
        );
    }
    let bytes: usize = headers.iter().map(|(name, value)| name.len() + value.len()).sum();
    if bytes > HEADERS_BYTES_MAX {
        return Err(at.bad(format_args!(
            "has at most {HEADERS_BYTES_MAX} bytes in names and values, this has {bytes}"
        )));
    }
    if headers.keys().any(|name| name.is_empty() || name.contains(char::is_control)) {
        return Err(at.bad("has a name that is empty or contains control characters"));
    }
    Ok(headers)
}

/// `after` or `since` of a history frame; neither is the earliest message kept.
pub(crate) fn history_from(
    after: Option<Position>,
    since: Option<u64>,
) -> Result<HistoryFrom, ErrorBody> {
    match (after, since) {
        (None, None) => Ok(HistoryFrom::First),
        (Some(position), None) => Ok(HistoryFrom::After(position)),
        (None, Some(ms)) => Ok(HistoryFrom::Since(tidings_core::Timestamp::from_ms(ms))),
        (Some(_), Some(_)) => {
            Err(Field::new("history", "since")
                .bad("and `after` exclude each other: give one of them"))
        }
    }
}

/// The reason for a reset. One that is not known here reads as the strongest: nothing of the old
/// place is relied on.
pub(crate) fn reset_reason(word: &str) -> ResetReason {
    ResetReason::ALL
        .into_iter()
        .find(|reason| reason.as_str() == word)
        .unwrap_or(ResetReason::EpochChanged)
}

/// Why the server ended a subscription. One that is not known here reads as forbidden, so that
/// the client does not subscribe again at once.
pub(crate) fn unsubscribe_reason(word: &str) -> UnsubscribeReason {
    UnsubscribeReason::ALL
        .into_iter()
        .find(|reason| reason.as_str() == word)
        .unwrap_or(UnsubscribeReason::Forbidden)
}

/// An error as the server told it. Of a code that is not known here, `temporary` is kept.
pub(crate) fn told_error(
    word: &str,
    message: String,
    temporary: bool,
    retry_after_ms: Option<u64>,
) -> ErrorBody {
    let retry_after = retry_after_ms.map(Duration::from_millis);
    match (ErrorCode::from_word(word), temporary) {
        (Some(code), _) => ErrorBody { code, message, retry_after },
        (None, true) => ErrorBody {
            code: ErrorCode::Internal,
            message: format!("{word}: {message}"),
            retry_after,
        },
        (None, false) => ErrorBody {
            code: ErrorCode::Unsupported,
            message: format!("{word}: {message}"),
            retry_after,
        },
    }
}

/// What the schema has a name for, and the server nothing yet.
pub(crate) fn not_offered(what: &str) -> ErrorBody {
    ErrorBody::new(ErrorCode::Unsupported, format!("{what} is not offered yet; leave it out"))
}
