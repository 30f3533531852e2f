//! What a request for a stream asks for.

use http::HeaderMap;
use tidings_core::limits::STREAM_TOPICS_MAX;
use tidings_core::{Position, Timestamp, Topic};
use tidings_protocol::http::decode_stream_cursor;
use tidings_protocol::{ErrorBody, ErrorCode, StartFrom};

use crate::http::history::parse_position;
use crate::shard::Hidden;

/// A request for a stream.
#[derive(Debug)]
pub(super) struct Ask {
    pub(super) topics: Vec<Topic>,
    pub(super) start: Start,
    /// Of the query.
    pub(super) token: Option<Hidden>,
}

/// Where the topics begin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Start {
    /// Each after its position.
    After(Vec<Position>),
    /// With what was published at this time or later.
    Since(Timestamp),
    /// All in the same way.
    From(StartFrom),
}

#[derive(Default)]
struct Fields {
    topics: Vec<Topic>,
    after: Option<String>,
    since: Option<String>,
    from: Option<String>,
    token: Option<String>,
}

impl Ask {
    /// Reads the query and `Last-Event-ID`. The header counts before the query: a browser comes
    /// back to the address it first came to, and shows how far it got.
    pub(super) fn read(
        query: Vec<(String, String)>,
        headers: &HeaderMap,
    ) -> Result<Self, ErrorBody> {
        let fields = Fields::read(query)?;
        // `EventSource` sends none as long as it has none; others may send an empty one.
        let last = headers.get("last-event-id").filter(|value| !value.is_empty());
        let start = match last {
            Some(value) => {
                let text = value.to_str().unwrap_or_default();
                Start::After(positions("Last-Event-ID", text, &fields.topics)?)
            }
            None => fields.start()?,
        };
        Ok(Self { topics: fields.topics, start, token: fields.token.map(Hidden) })
    }
}

impl Fields {
    fn read(query: Vec<(String, String)>) -> Result<Self, ErrorBody> {
        let mut fields = Self::default();
        for (name, value) in query {
            let field = match name.as_str() {
                "topic" => {
                    fields.add(&value)?;
                    continue;
                }
                "after" => &mut fields.after,
                "since" => &mut fields.since,
                "from" => &mut fields.from,
                "token" => &mut fields.token,
                unknown => {
                    let message = format!(
                        "unknown parameter `{}`; known are `topic`, `after`, `since`, `from`, `token`",
                        unknown.chars().take(40).collect::<String>().escape_debug()
                    );
                    return Err(ErrorBody::new(ErrorCode::UnknownField, message));
                }
            };
            if field.replace(value).is_some() {
                return Err(bad(format!("`{name}` is there twice: give it once")));
            }
        }
        if fields.topics.is_empty() {
            return Err(bad("`topic` is missing: name 1 to 16, each as a `topic=`".to_owned()));
        }
        Ok(fields)
    }

    fn add(&mut self, text: &str) -> Result<(), ErrorBody> {
        let topic = Topic::parse(text)
            .map_err(|error| ErrorBody::new(ErrorCode::BadTopic, format!("`topic`: {error}")))?;
        if self.topics.contains(&topic) {
            return Err(bad(format!("`topic` has `{topic}` twice: name each topic once")));
        }
        if self.topics.len() == STREAM_TOPICS_MAX {
            let message = format!("a stream has at most {STREAM_TOPICS_MAX} topics: open another");
            return Err(bad(message));
        }
        self.topics.push(topic);
        Ok(())
    }

    fn start(&self) -> Result<Start, ErrorBody> {
        match (self.after.as_deref(), self.since.as_deref(), self.from.as_deref()) {
            (None, None, None | Some("new")) => Ok(Start::From(StartFrom::New)),
            (None, None, Some("first")) => Ok(Start::From(StartFrom::First)),
            (None, None, Some("last")) => Ok(Start::From(StartFrom::Last)),
            (None, None, Some(_)) => Err(bad("`from` must be `new`, `first` or `last`".to_owned())),
            (Some(text), None, None) => positions("after", text, &self.topics).map(Start::After),
            (None, Some(text), None) => {
                let ms = text.parse().map_err(|_| {
                    bad("`since` must be a time in whole milliseconds since 1970".to_owned())
                })?;
                Ok(Start::Since(Timestamp::from_ms(ms)))
            }
            (_, _, _) => Err(bad(
                "`after`, `since` and `from` exclude each other: give one of them".to_owned(),
            )),
        }
    }
}

/// The cursor of a stream, or of one topic the position that history and publishes tell.
fn positions(name: &str, text: &str, topics: &[Topic]) -> Result<Vec<Position>, ErrorBody> {
    if let ([_], Some(position)) = (topics, parse_position(text)) {
        return Ok(vec![position]);
    }
    decode_stream_cursor(text, topics).map_err(|error| bad(format!("`{name}`: {error}")))
}

fn bad(message: String) -> ErrorBody {
    ErrorBody::new(ErrorCode::BadField, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(query: &str, last_event_id: Option<&str>) -> Result<Ask, ErrorBody> {
        let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        let mut headers = HeaderMap::new();
        if let Some(id) = last_event_id {
            headers.insert("last-event-id", id.parse().unwrap());
        }
        Ask::read(
            pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
            &headers,
        )
    }

    #[test]
    fn says_where_to_begin() {
        let at = |text: &str| parse_position(text).unwrap();
        for (query, id, expected) in [
            ("topic=a", None, Start::From(StartFrom::New)),
            ("topic=a&from=first", None, Start::From(StartFrom::First)),
            ("topic=a&topic=b&from=last", None, Start::From(StartFrom::Last)),
            ("topic=a&since=5", None, Start::Since(Timestamp::from_ms(5))),
            ("topic=a&after=Zr3:7", None, Start::After(vec![at("Zr3:7")])),
            ("topic=a&from=first", Some(""), Start::From(StartFrom::First)),
            ("topic=a&from=first", Some("Zr3:9"), Start::After(vec![at("Zr3:9")])),
        ] {
            assert_eq!(read(query, id).unwrap().start, expected, "{query} {id:?}");
        }
    }

    #[test]
    fn refuses_with_what_to_do() {
        let many: Vec<_> = (0..17).map(|n| format!("topic=t{n}")).collect();
        for (query, id, words) in [
            ("", None, "`topic` is missing"),
            ("topic=a&topic=a", None, "name each topic once"),
            ("topic=a/+", None, "`topic`: "),
            (&*many.join("&"), None, "at most 16 topics"),
            ("topic=a&from=old", None, "`new`, `first` or `last`"),
            ("topic=a&from=new&since=5", None, "exclude each other"),
            ("topic=a&after=1&since=5", None, "exclude each other"),
            ("topic=a&since=yesterday", None, "whole milliseconds"),
            ("topic=a&from=new&from=new", None, "give it once"),
            ("topic=a&form=new", None, "unknown parameter `form`"),
            ("topic=a&topic=b&after=Zr3:7", None, "`after`: it is no cursor"),
            ("topic=a", Some("!"), "`Last-Event-ID`: it is no cursor"),
        ] {
            let error = read(query, id).unwrap_err();
            assert!(error.message.contains(words), "{query}: {error:?}");
        }
    }
}
