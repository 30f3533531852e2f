//! The frames of a bare server: as long as those of Tidings, with made-up names in them.

use crate::wire::{position, put_number, split_number};

/// Whether a client shows a session of before, which a bare server takes for its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Session {
    New,
    Shown,
}

/// A request, as far as a bare server looks at it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Request<'a> {
    Connect {
        id: u64,
        session: Session,
    },
    /// `body` holds the fields.
    Subscribe {
        id: u64,
        body: &'a [u8],
    },
    /// `body` holds the fields.
    Unsubscribe {
        id: u64,
        body: &'a [u8],
    },
    /// `body` holds the fields, `data` among them.
    Publish {
        id: u64,
        body: &'a [u8],
        data: &'a [u8],
    },
}

impl<'a> Request<'a> {
    /// Reads `{"id":1,"word":{…}}`, or `None` for anything else (such as a `pong`).
    pub(crate) fn read(frame: &'a [u8]) -> Option<Self> {
        let (id, rest) = split_number(frame.strip_prefix(b"{\"id\":")?)?;
        if let Some(body) = rest.strip_prefix(b",\"publish\":{") {
            return Some(Self::Publish { id, body, data: string(body, b"\"data\":")? });
        }
        if let Some(body) = rest.strip_prefix(b",\"subscribe\":{") {
            return Some(Self::Subscribe { id, body });
        }
        if let Some(body) = rest.strip_prefix(b",\"unsubscribe\":{") {
            return Some(Self::Unsubscribe { id, body });
        }
        let body = rest.strip_prefix(b",\"connect\":{")?;
        let shown = position(body, b"\"session\":");
        Some(Self::Connect { id, session: shown.map_or(Session::New, |_| Session::Shown) })
    }
}

/// The JSON string, with its quotes, that is the `topic` in `body`, without escapes in it.
pub(crate) fn topic(body: &[u8]) -> Option<&[u8]> {
    string(body, b"\"topic\":")
}

/// The JSON string, with its quotes, that is the `sub` in `body`: the topic of a subscription.
pub(crate) fn subscription(body: &[u8]) -> Option<&[u8]> {
    string(body, b"\"sub\":")
}

/// The JSON string, with its quotes, behind `name`, without escapes in it.
fn string<'a>(body: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let string = &body[position(body, name)? + name.len()..];
    let inside = string.strip_prefix(b"\"")?;
    let end = inside.iter().position(|byte| *byte == b'"')?;
    Some(&string[..end + 2])
}

pub(crate) fn put_connected(out: &mut Vec<u8>, id: u64, session: Session) {
    start(out, id);
    out.extend_from_slice(
        b",\"connected\":{\"session\":\"bare\",\"user\":\"bare\",\"client\":\"bare\",\
          \"node\":\"bare\",\"resumed\":",
    );
    out.extend_from_slice(match session {
        Session::New => b"false",
        Session::Shown => b"true",
    });
    out.extend_from_slice(
        b",\"ping_ms\":25000,\"limits\":{\
          \"message_bytes\":65536,\"frame_bytes\":131072,\"subscriptions\":256,\"window\":1024,\
          \"publishes_in_flight\":1024}}}",
    );
}

pub(crate) fn put_subscribed(out: &mut Vec<u8>, id: u64, last_offset: u64) {
    start(out, id);
    out.extend_from_slice(b",\"subscribed\":{\"sub\":\"bench\",\"epoch\":\"bare\",\"offset\":");
    put_number(out, last_offset);
    out.extend_from_slice(b",\"first\":1,\"recovered\":true,\"pending\":0}}");
}

pub(crate) fn put_unsubscribed(out: &mut Vec<u8>, id: u64) {
    start(out, id);
    out.extend_from_slice(b",\"unsubscribed\":{\"sub\":\"bench\"}}");
}

pub(crate) fn put_published(out: &mut Vec<u8>, id: u64, offset: u64) {
    start(out, id);
    out.extend_from_slice(b",\"published\":{\"id\":\"01ARZ3NDEKTSV4RRFFQ69G5FAV\",\"offset\":");
    put_number(out, offset);
    out.extend_from_slice(b",\"epoch\":\"bare\",\"duplicate\":false}}");
}

/// `topic` is with its quotes.
pub(crate) fn put_message(out: &mut Vec<u8>, topic: &[u8], offset: u64, data: &[u8]) {
    out.extend_from_slice(b"{\"message\":{\"topic\":");
    out.extend_from_slice(topic);
    out.extend_from_slice(b",\"offset\":");
    put_number(out, offset);
    out.extend_from_slice(b",\"id\":\"01ARZ3NDEKTSV4RRFFQ69G5FAV\",\"data\":");
    out.extend_from_slice(data);
    out.extend_from_slice(b",\"from\":\"bare\",\"at\":1795000000000}}");
}

fn start(out: &mut Vec<u8>, id: u64) {
    out.extend_from_slice(b"{\"id\":");
    put_number(out, id);
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::wire::{
        PublishForm, ServerFrame, Stamp, Stamps, Start, connect, read_server_frame, subscribe,
        unsubscribe,
    };

    #[test]
    fn the_generators_requests_are_understood() {
        for (shown, session) in [(None, Session::New), (Some("s-1"), Session::Shown)] {
            let frame = connect("b1", None, shown);
            let expected = Some(Request::Connect { id: 1, session });
            assert_eq!(Request::read(frame.as_bytes()), expected);
        }
        let frame = unsubscribe(9, "bench/7");
        let Some(Request::Unsubscribe { id: 9, body }) = Request::read(frame.as_bytes()) else {
            panic!("not read as an unsubscribe: {frame}");
        };
        assert_eq!(subscription(body), Some(&b"\"bench/7\""[..]));
        let frame = subscribe(2, "bench/7", Start::New);
        let Some(Request::Subscribe { id: 2, body }) = Request::read(frame.as_bytes()) else {
            panic!("not read as a subscribe: {frame}");
        };
        assert_eq!(topic(body), Some(&b"\"bench/7\""[..]));
        assert_eq!(Request::read(b"{\"pong\":{}}"), None);
    }

    #[test]
    fn data_goes_through_unchanged_and_answers_are_frames() {
        let mut stamps = Stamps::of_this_run();
        let stamp = Stamp { sequence: 5, sent: Duration::from_millis(4) };
        let mut publish = Vec::new();
        PublishForm::new("bench").put(&mut publish, 77, &stamps, stamp);
        let Some(Request::Publish { id: 77, body, data }) = Request::read(&publish) else {
            panic!("not read as publish 77: {}", String::from_utf8_lossy(&publish));
        };
        let mut message = Vec::new();
        assert_eq!(topic(body), Some(&b"\"bench\""[..]));
        put_message(&mut message, b"\"bench\"", 12, data);
        serde_json::from_slice::<serde_json::Value>(&message).expect("a message is JSON");
        assert_eq!(stamps.find(&message), Some(stamp));
        for (put, expected) in [
            (
                (|out, id| put_connected(out, id, Session::Shown)) as fn(&mut Vec<u8>, u64),
                ServerFrame::Connected,
            ),
            (|out, id| put_subscribed(out, id, 4), ServerFrame::Subscribed),
            (|out, id| put_published(out, id, 9), ServerFrame::Published { id: 6, offset: 9 }),
        ] {
            let mut out = Vec::new();
            put(&mut out, 6);
            serde_json::from_slice::<serde_json::Value>(&out).expect("an answer is JSON");
            assert_eq!(read_server_frame(&out).expect("known"), expected);
        }
    }
}
