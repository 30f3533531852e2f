//! The corpus of the decoders in `fuzz/corpus`: every kind of frame, and hostile bytes.
//! `UPDATE_EXPECT=1` writes the frames anew; the hostile files are written by hand.

use std::collections::BTreeSet;
use std::path::PathBuf;

use tidings_protocol::http::{
    BatchReply, HistoryReply, Problem, PublishOutcome, PublishReply, encode_publish_batch,
};
use tidings_protocol::{
    Codec, decode_client_frame, decode_server_frame, encode_client_frame, encode_server_frame,
};

use crate::frames::{CLIENT_KINDS, Draw, SERVER_KINDS};

/// The folders of the corpus, one for each fuzz target.
pub(crate) const TARGETS: [&str; 5] =
    ["client_json", "client_proto", "server_json", "server_proto", "http"];

fn folder(target: &str) -> PathBuf {
    PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").unwrap())
        .join("../../fuzz/corpus")
        .join(target)
}

/// The files of a target with their names, in the order of their names.
pub(crate) fn read(target: &str) -> Vec<(String, Vec<u8>)> {
    let mut paths: Vec<_> =
        std::fs::read_dir(folder(target)).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let name = |path: &PathBuf| path.file_name().unwrap().to_string_lossy().into_owned();
    paths.iter().map(|path| (name(path), std::fs::read(path).unwrap())).collect()
}

/// Writes a file of the corpus if that was asked for.
fn update(target: &str, name: &str, bytes: &[u8]) {
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        std::fs::create_dir_all(folder(target)).unwrap();
        std::fs::write(folder(target).join(name), bytes).unwrap();
    }
}

const TARGETS_OF_CODEC: [(Codec, &str, &str); 2] = [
    (Codec::Json, "client_json", "server_json"),
    (Codec::Protobuf, "client_proto", "server_proto"),
];

#[test]
fn the_corpus_has_every_kind_of_frame() {
    for (codec, client, server) in TARGETS_OF_CODEC {
        for kind in 0..CLIENT_KINDS {
            let frame = Draw::new(kind).client_frame(kind);
            let mut bytes = Vec::new();
            encode_client_frame(codec, &frame, &mut bytes);
            update(client, &format!("kind-{}", frame.body.kind()), &bytes);
        }
        for kind in 0..SERVER_KINDS {
            let frame = Draw::new(kind).server_frame(kind);
            let mut bytes = Vec::new();
            encode_server_frame(codec, &frame, &mut bytes);
            update(server, &format!("kind-{}", frame.body.kind()), &bytes);
        }
        let mut kinds = BTreeSet::new();
        for (_, bytes) in read(client) {
            let mut input = &bytes[..];
            while let Some(frame) = decode_client_frame(codec, &mut input) {
                kinds.extend(frame.ok().map(|frame| frame.body.kind()));
            }
        }
        assert_eq!(kinds.len() as u64, CLIENT_KINDS, "{kinds:?}");
        let mut kinds = BTreeSet::new();
        for (_, bytes) in read(server) {
            let mut input = &bytes[..];
            while let Some(frame) = decode_server_frame(codec, &mut input) {
                kinds.extend(frame.ok().map(|frame| frame.body.kind()));
            }
        }
        assert_eq!(kinds.len() as u64, SERVER_KINDS, "{kinds:?}");
    }
}

#[test]
fn the_corpus_has_every_kind_of_body() {
    let mut draw = Draw::new(7);
    let publish = [draw.publish(), draw.publish(), draw.publish()];
    let mut body = Vec::new();
    encode_publish_batch(&publish, &mut body);
    update("http", "kind-batch", &body);
    update("http", "kind-broadcast", br#"{"topics":["a/1","a/2"],"data":{"n":1},"key":"k"}"#);
    let topic = publish[0].topic.clone();
    let outcome = PublishOutcome::Published(draw.published());
    let published = PublishReply { topic: topic.clone(), outcome };
    let mut body = Vec::new();
    published.encode(&mut body);
    update("http", "kind-published", &body);
    let outcome = PublishOutcome::Scheduled(draw.scheduled());
    let scheduled = PublishReply { topic, outcome };
    let mut body = Vec::new();
    scheduled.encode(&mut body);
    update("http", "kind-scheduled", &body);
    let mut body = Vec::new();
    BatchReply { results: vec![Ok(published), Err(draw.error()), Ok(scheduled)] }.encode(&mut body);
    update("http", "kind-results", &body);
    let mut body = Vec::new();
    HistoryReply { history: draw.history(), cursor: Some("c".to_owned()) }.encode(&mut body);
    update("http", "kind-history", &body);
    let mut body = Vec::new();
    Problem { error: draw.error(), request_id: Some("r-1".to_owned()) }.encode(&mut body);
    update("http", "kind-problem", &body);

    let files = read("http");
    let has = |decodes: fn(&[u8]) -> bool| files.iter().any(|(_, bytes)| decodes(bytes));
    assert!(has(|body| tidings_protocol::http::decode_publish(body).is_ok()));
    assert!(has(|body| tidings_protocol::http::decode_publish_batch(body).is_ok()));
    assert!(has(|body| tidings_protocol::http::decode_broadcast(body).is_ok()));
    assert!(has(|body| PublishReply::decode(body).is_ok()));
    assert!(has(|body| BatchReply::decode(body).is_ok()));
    assert!(has(|body| HistoryReply::decode(body).is_ok()));
    assert!(has(|body| Problem::decode(body).is_ok()));
}
