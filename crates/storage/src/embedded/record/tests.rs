//! Records read back as they were written, and damage shows.

use super::*;
use crate::embedded::batch::{RawRecord, Salt, SegmentId};

fn seed() -> Seed {
    Seed::new(Salt(1), SegmentId(1))
}

fn full_message() -> Message {
    let content = NewMessage {
        topic: "Zürich/Halle 3".parse().unwrap(),
        data: Data::json(Bytes::from_static(b"{\"a\":1}")),
        content_type: ContentType::parse("application/json"),
        headers: [("trace", "abc"), ("empty", "")].map(|(n, v)| (n.into(), v.into())).into(),
        sender: Some("alice".parse().unwrap()),
        key: Some("k-1".parse().unwrap()),
        order_key: Some("account 7".parse().unwrap()),
        ttl: Some(Duration::new(3, 5)),
    };
    Message {
        id: MessageId::new(1_795_000_000_000, 3, 9),
        epoch: Epoch::new(77),
        offset: Offset::new(12),
        published_at: Timestamp::from_ms(1_795_000_000_000),
        content,
    }
}

fn plain_message() -> Message {
    let data = Data::binary(Bytes::new());
    Message { content: NewMessage::new("a".parse().unwrap(), data), ..full_message() }
}

#[test]
fn a_message_reads_back_and_takes_the_bytes_foretold() {
    for message in [full_message(), plain_message()] {
        let mut out = Vec::new();
        put_message(&mut out, seed(), Appended::Moved, Waited::NotForSync, &message);
        assert_eq!(out.len(), message_bytes(&message.content));
        let raw = RawRecord::decode(&out, 0, seed()).unwrap();
        assert_eq!(raw.end, out.len());
        let Record::Message(Appended::Moved, view) = Record::decode(raw.kind, raw.body).unwrap()
        else {
            panic!("not a moved message");
        };
        assert_eq!(view.waited, Waited::NotForSync);
        assert_eq!(view.to_message(&message.content.topic, message.epoch).unwrap(), message);
    }
}

#[test]
fn changes_read_back_and_take_the_bytes_foretold() {
    let key = CursorKey::Durable(DurableKey {
        user: "alice".parse().unwrap(),
        name: "phone".parse().unwrap(),
        topic: "a/b".parse().unwrap(),
    });
    let group = GroupKey { group: "workers".parse().unwrap(), filter: "a/+".parse().unwrap() };
    let group = CursorKey::Group { group, topic: "a/b".parse().unwrap() };
    let state = CursorState {
        settled: vec![(Offset::new(7), Offset::new(8))],
        attempts: vec![(Offset::new(5), 2), (Offset::new(6), 0)],
        reserved: Offset::new(70),
        ..CursorState::at(Epoch::new(9), Offset::new(5))
    };
    let session = Session {
        id: "s1".parse().unwrap(),
        user: "alice".parse().unwrap(),
        client: "phone".parse().unwrap(),
        expires_at: Timestamp::from_ms(5),
    };
    let saved = SavedCursor { state, saved_at: Timestamp::from_ms(4) };
    let closed = CursorState { reserved: Offset::ORIGIN, ..saved.state.clone() };
    let closed = SavedCursor { state: closed, ..saved };
    for change in [
        Change::SaveCursor(group.clone(), closed),
        Change::SaveCursor(group.clone(), saved.clone()),
        Change::DeleteCursor(group.clone()),
        Change::ForgetCursor(group, Timestamp::from_ms(6)),
        Change::SaveCursor(key.clone(), saved),
        Change::DeleteCursor(key.clone()),
        Change::ForgetCursor(key, Timestamp::from_ms(6)),
        Change::DeleteSession(session.id.clone()),
        Change::ForgetSession(session.id.clone(), Timestamp::from_ms(7)),
        Change::SaveSession(session.into()),
    ] {
        let mut out = Vec::new();
        put_change(&mut out, seed(), &change);
        assert_eq!(out.len(), change_bytes(&change));
        let raw = RawRecord::decode(&out, 0, seed()).unwrap();
        match Record::decode(raw.kind, raw.body).unwrap() {
            Record::Change(read) => assert_eq!(read, change),
            Record::Message(..) | Record::Remove(_) | Record::Skip(_) => panic!("not a change"),
        }
    }
}

#[test]
fn a_removal_reads_back_and_takes_the_bytes_foretold() {
    let topic: Topic = "a/b".parse().unwrap();
    let mut out = Vec::new();
    put_remove(&mut out, seed(), &topic, Offset::new(7));
    assert_eq!(out.len(), remove_bytes(&topic));
    let raw = RawRecord::decode(&out, 0, seed()).unwrap();
    let Record::Remove(read) = Record::decode(raw.kind, raw.body).unwrap() else {
        panic!("not a removal");
    };
    assert_eq!(read, RemoveView { topic: "a/b", offset: Offset::new(7) });
}

/// A checksum protects against accidents; decoding must hold also without it.
#[test]
fn cut_and_changed_bodies_give_errors_not_panics() {
    let mut out = Vec::new();
    put_message(&mut out, seed(), Appended::New, Waited::ForSync, &full_message());
    let raw = RawRecord::decode(&out, 0, seed()).unwrap();
    let topic = full_message().content.topic;
    let mut refused = 0;
    for kind in 0..=11 {
        for cut in 0..raw.body.len() {
            for flip in [0, 0x01, 0x80, 0xff] {
                let mut body = raw.body[..cut].to_vec();
                if let Some(last) = body.last_mut() {
                    *last ^= flip;
                }
                let read = match Record::decode(kind, &body) {
                    Ok(Record::Message(_, view)) => view.to_message(&topic, Epoch::new(1)).is_ok(),
                    Ok(Record::Remove(_) | Record::Change(_) | Record::Skip(_)) => true,
                    Err(Malformed) => false,
                };
                refused += u32::from(!read);
            }
        }
    }
    assert!(refused > 1000);
}
