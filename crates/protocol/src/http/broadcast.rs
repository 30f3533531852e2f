//! `POST /v1/broadcast`: one message to many topics.

use std::collections::BTreeSet;

use tidings_core::limits::PUBLISH_BATCH_MAX;

use super::object;
use crate::error_code::ErrorCode;
use crate::field::shown;
use crate::frame::{ErrorBody, Publish};
use crate::json::{self, Reading, Value};
use crate::rules;

/// Reads the body of `POST /v1/broadcast`: the fields of a publish with `topics`, 1 to
/// [`PUBLISH_BATCH_MAX`] different ones, instead of `topic`. Gives the publish for each of them.
///
/// A topic that breaks a rule is an error in its place and takes the others with it no more than
/// it would in a batch. One that is there twice is a mistake of the whole: two results could not
/// be told apart.
pub fn decode_broadcast(body: &[u8]) -> Result<Vec<Result<Publish, ErrorBody>>, ErrorBody> {
    let object = object(body, json::BROADCAST_FIELDS, Reading::Strict)?;
    let topics = object.required("topics")?;
    let entries = topics.array(PUBLISH_BATCH_MAX)?;
    if entries.is_empty() {
        return Err(topics.at().bad("must have at least one entry"));
    }
    let mut seen = BTreeSet::new();
    let mut targets = Vec::with_capacity(entries.len());
    for (index, raw) in entries.into_iter().enumerate() {
        let path = format!("topics[{index}]");
        let text = Value::new(object.at(&path), raw, Reading::Strict).text()?.into_owned();
        if seen.contains(&text) {
            let what = format!("has `{}` twice: name each topic once", shown(&text));
            return Err(topics.at().bad(what));
        }
        targets.push(rules::topic(object.at(&path), &text));
        seen.insert(text);
    }
    // What is wrong with the message itself is wrong for every topic: said once.
    let mut template = None;
    let mut publishes = Vec::with_capacity(targets.len());
    for target in targets {
        publishes.push(match (target, &template) {
            (Err(error), _) => Err(error),
            (Ok(topic), None) => {
                let publish = json::read_publish_to(topic, &object)?;
                template = Some(publish.clone());
                Ok(publish)
            }
            (Ok(topic), Some(template)) => Ok(Publish { topic, ..template.clone() }),
        });
    }
    match template {
        Some(_) => Ok(publishes),
        None => Err(ErrorBody::new(
            ErrorCode::BadTopic,
            "`topics` has no entry that is a topic: levels separated by `/`, no `+` or `#`",
        )),
    }
}
