//! `GET /v1/stream`: the events of a stream, in the format of the WHATWG HTML standard (§9.2).

use std::time::Duration;

use tidings_core::{Epoch, Message, Offset, Topic};

use crate::delivery_view::DeliveryView;
use crate::frame::{Goaway, Reset};
use crate::json::{self, ObjectWriter};
use crate::rules::duration_ms;

/// One event of a stream.
#[derive(Clone, Debug, PartialEq)]
pub struct StreamEvent<'a> {
    /// The cursor after it, which the client shows to go on from here. None if the event does not
    /// move the stream.
    pub id: Option<&'a str>,
    /// What it tells.
    pub body: StreamBody<'a>,
}

/// What an event tells.
#[derive(Clone, Debug, PartialEq)]
pub enum StreamBody<'a> {
    /// The stream begins; everything from here on will come.
    Ready(Ready),
    /// A message of one of the topics.
    Message(&'a Message),
    /// Messages are missing: the stream lost its place in a topic and goes on from the first one
    /// kept.
    Reset(Reset),
    /// The stream ends, and why.
    Goaway(Goaway),
}

/// Where the topics of a stream stand as it begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ready {
    /// In the order of the request.
    pub topics: Vec<ReadyTopic>,
}

/// Where one topic stands. The words are those of `subscribed`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadyTopic {
    /// Its name.
    pub topic: Topic,
    /// The life of its log.
    pub epoch: Epoch,
    /// The last offset given out.
    pub offset: Offset,
    /// The earliest offset kept.
    pub first: Offset,
    /// How many offsets wait to be delivered.
    pub pending: u64,
}

impl StreamEvent<'_> {
    /// Appends the event. Its data is one line: JSON here has no line breaks.
    pub fn append(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"event: ");
        out.extend_from_slice(self.body.kind().as_bytes());
        if let Some(id) = self.id {
            out.extend_from_slice(b"\nid: ");
            out.extend_from_slice(id.as_bytes());
        }
        out.extend_from_slice(b"\ndata: ");
        ObjectWriter::write(out, |data| self.body.write(data));
        out.extend_from_slice(b"\n\n");
    }
}

impl StreamBody<'_> {
    /// The name of the event.
    const fn kind(&self) -> &'static str {
        match self {
            Self::Ready(_) => "ready",
            Self::Message(_) => "message",
            Self::Reset(_) => "reset",
            Self::Goaway(_) => "goaway",
        }
    }

    fn write(&self, out: &mut ObjectWriter<'_>) {
        match self {
            Self::Ready(ready) => {
                out.array("topics", ready.topics.iter(), |out, topic| {
                    ObjectWriter::write(out, |entry| topic.write(entry));
                });
            }
            Self::Message(message) => {
                json::write_delivery(&DeliveryView::of_message(message, 1, None), out);
            }
            Self::Reset(reset) => json::write_reset(reset, out),
            Self::Goaway(goaway) => {
                out.text("reason", &goaway.reason);
                out.optional_number("retry_after_ms", goaway.retry_after.map(duration_ms));
            }
        }
    }
}

impl ReadyTopic {
    fn write(&self, out: &mut ObjectWriter<'_>) {
        out.text("topic", self.topic.as_str());
        out.text("epoch", &self.epoch.to_string());
        out.number("offset", self.offset.get());
        out.number("first", self.first.get());
        out.number("pending", self.pending);
    }
}

/// Appends how long the client is to wait before it connects again.
pub fn append_retry(wait: Duration, out: &mut Vec<u8>) {
    out.extend_from_slice(format!("retry: {}\n\n", duration_ms(wait)).as_bytes());
}

/// Appends a comment, which clients skip: it shows that the connection is alive.
pub fn append_comment(out: &mut Vec<u8>) {
    out.extend_from_slice(b":\n\n");
}
