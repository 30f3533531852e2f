//! The frames of a bare server: as long as those of Tidings, with made-up names in them.

use crate::wire::{position, put_number, split_number};

/// A request, as far as a bare server looks at it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Request<'a> {
    Connect { id: u64 },
    Subscribe { id: u64 },
    Publish { id: u64, data: &'a [u8] },
}

impl<'a> Request<'a> {
    /// Reads `{"id":1,"word":{…}}`, or `None` for anything else (such as a `pong`).
    pub(crate) fn read(frame: &'a [u8]) -> Option<Self> {
        let (id, rest) = split_number(frame.strip_prefix(b"{\"id\":")?)?;
        if let Some(body) = rest.strip_prefix(b",\"publish\":{") {
            return Some(Self::Publish { id, data: string_data(body)? });
        }
        if rest.starts_with(b",\"subscribe\":{") {
            return Some(Self::Subscribe { id });
        }
        rest.starts_with(b",\"connect\":{").then_some(Self::Connect { id })
    }
}

/// The JSON string, with its quotes, that is the `data` of a publish without escapes in it.
fn string_data(body: &[u8]) -> Option<&[u8]> {
    const NAME: &[u8] = b"\"data\":";
    let data = &body[position(body, NAME)? + NAME.len()..];
    let inside = data.strip_prefix(b"\"")?;
    let end = inside.iter().position(|byte| *byte == b'"')?;
    Some(&data[..end + 2])
}

pub(crate) fn put_connected(out: &mut Vec<u8>, id: u64) {
    start(out, id);
    out.extend_from_slice(
        b",\"connected\":{\"session\":\"bare\",\"user\":\"bare\",\"client\":\"bare\",\
          \"node\":\"bare\",\"resumed\":false,\"ping_ms\":25000,\"limits\":{\
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

pub(crate) fn put_published(out: &mut Vec<u8>, id: u64, offset: u64) {
    start(out, id);
    out.extend_from_slice(b",\"published\":{\"id\":\"01ARZ3NDEKTSV4RRFFQ69G5FAV\",\"offset\":");
    put_number(out, offset);
    out.extend_from_slice(b",\"epoch\":\"bare\",\"duplicate\":false}}");
}

pub(crate) fn put_message(out: &mut Vec<u8>, offset: u64, data: &[u8]) {
    out.extend_from_slice(b"{\"message\":{\"topic\":\"bench\",\"offset\":");
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
        PublishForm, ServerFrame, Stamp, Stamps, connect, read_server_frame, subscribe,
    };

    #[test]
    fn the_generators_requests_are_understood() {
        assert_eq!(Request::read(connect("b1", None).as_bytes()), Some(Request::Connect { id: 1 }));
        assert_eq!(
            Request::read(subscribe("bench", None).as_bytes()),
            Some(Request::Subscribe { id: 2 })
        );
        assert_eq!(Request::read(b"{\"pong\":{}}"), None);
    }

    #[test]
    fn data_goes_through_unchanged_and_answers_are_frames() {
        let mut stamps = Stamps::of_this_run();
        let stamp = Stamp { sequence: 5, sent: Duration::from_millis(4) };
        let mut publish = Vec::new();
        PublishForm::new("bench").put(&mut publish, 77, &stamps, stamp);
        let Some(Request::Publish { id: 77, data }) = Request::read(&publish) else {
            panic!("not read as publish 77: {}", String::from_utf8_lossy(&publish));
        };
        let mut message = Vec::new();
        put_message(&mut message, 12, data);
        serde_json::from_slice::<serde_json::Value>(&message).expect("a message is JSON");
        assert_eq!(stamps.find(&message), Some(stamp));
        for (put, expected) in [
            (put_connected as fn(&mut Vec<u8>, u64), ServerFrame::Connected),
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
