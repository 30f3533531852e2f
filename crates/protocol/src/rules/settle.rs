//! The rules of `ack`, `nack` and `extend`.

use std::time::Duration;

use tidings_core::limits::WINDOW_MAX;
use tidings_core::{Filter, Topic};

use super::{offset, topic};
use crate::error_code::ErrorCode;
use crate::field::Field;
use crate::frame::{AckWhich, ErrorBody};

/// `topic` of a frame that settles: needed where `sub` has wildcards, since an offset alone tells
/// no message there, and superfluous where it has none.
pub(crate) fn topic_of_sub(
    at: Field<'_>,
    sub: &Filter,
    text: Option<&str>,
) -> Result<Option<Topic>, ErrorBody> {
    match (sub.has_wildcards(), text) {
        (false, None) => Ok(None),
        (false, Some(text)) if text == sub.as_str() => Ok(None),
        (false, Some(_)) => {
            Err(at.bad("must be the same as `sub`, which has no wildcards: leave it out"))
        }
        (true, None) => {
            Err(at.bad("is missing: `sub` has wildcards, so say which topic the message is of"))
        }
        (true, Some(text)) => {
            let topic = topic(at, text)?;
            if !sub.matches(&topic) {
                return Err(at.bad("must be a topic that `sub` matches"));
            }
            Ok(Some(topic))
        }
    }
}

/// `offset` or `offsets` of an ack, whichever is there.
pub(crate) fn ack_which(
    through: Option<u64>,
    each: Option<Vec<u64>>,
) -> Result<AckWhich, ErrorBody> {
    let at = |name| Field::new("ack", name);
    match (through, each) {
        (Some(through), None) => offset(at("offset"), through).map(AckWhich::Through),
        (None, Some(each)) => {
            let count_max = WINDOW_MAX as usize;
            if each.is_empty() || each.len() > count_max {
                return Err(at("offsets").bad(format_args!("must have 1 to {count_max} offsets")));
            }
            let each = each.into_iter().map(|each| offset(at("offsets"), each));
            each.collect::<Result<_, _>>().map(AckWhich::Each)
        }
        (Some(_), Some(_)) => {
            Err(ErrorBody::new(ErrorCode::BadField, "`ack` takes `offset` or `offsets`, not both"))
        }
        (None, None) => {
            Err(ErrorBody::new(ErrorCode::BadField, "`ack` needs an `offset` or `offsets`"))
        }
    }
}

/// A delivery is given up now or tried again later, not both.
pub(crate) fn nack_is_one_thing(delay: Option<Duration>, dead: bool) -> Result<(), ErrorBody> {
    if dead && delay.is_some() {
        return Err(Field::new("nack", "delay_ms")
            .bad("and `dead` exclude each other: a message given up is not delivered again"));
    }
    Ok(())
}
