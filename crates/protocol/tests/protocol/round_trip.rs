//! What is encoded decodes to the same, whatever it is.

use tidings_core::{Filter, limits};
use tidings_protocol::http::{
    BatchReply, HistoryReply, Problem, PublishOutcome, PublishReply, decode_publish,
    decode_publish_batch, encode_publish, encode_publish_batch,
};
use tidings_protocol::{
    ClientFrame, Codec, Delivery, ServerBody, ServerFrame, decode_client_frame,
    decode_server_frame, encode_client_frame, encode_message, encode_server_frame,
    encode_shared_message,
};

use crate::frames::Draw;

const SEEDS: u64 = 20_000;

#[test]
fn every_client_frame_reads_back() {
    for seed in 0..SEEDS {
        let frame = Draw::new(seed).client_frame(seed);
        for codec in Codec::ALL {
            let mut bytes = Vec::new();
            encode_client_frame(codec, &frame, &mut bytes);
            let mut input = &bytes[..];
            let decoded = decode_client_frame(codec, &mut input);
            assert_eq!(decoded, Some(Ok(frame.clone())), "seed {seed}, {codec:?}");
            assert_eq!(decode_client_frame(codec, &mut input), None, "seed {seed}, {codec:?}");
        }
    }
}

#[test]
fn every_server_frame_reads_back() {
    for seed in 0..SEEDS {
        let frame = Draw::new(seed).server_frame(seed);
        for codec in Codec::ALL {
            let mut bytes = Vec::new();
            encode_server_frame(codec, &frame, &mut bytes);
            let mut input = &bytes[..];
            let decoded = decode_server_frame(codec, &mut input);
            assert_eq!(decoded, Some(Ok(frame.clone())), "seed {seed}, {codec:?}");
            assert_eq!(decode_server_frame(codec, &mut input), None, "seed {seed}, {codec:?}");
        }
    }
}

/// The hot path writes what the frame would.
#[test]
fn a_message_from_the_log_is_encoded_as_its_frame() {
    for seed in 0..SEEDS {
        let mut draw = Draw::new(seed);
        let (message, attempt) = (draw.message(), draw.attempt());
        let delivery = Delivery::of(&message, attempt);
        let sub = Filter::parse("jobs/+").unwrap();
        let shared = Delivery { sub: Some(sub.clone()), ..delivery.clone() };
        for codec in Codec::ALL {
            let framed = |delivery: &Delivery| {
                let mut out = b"before".to_vec();
                let body = ServerBody::Message(delivery.clone());
                encode_server_frame(codec, &ServerFrame { id: None, body }, &mut out);
                out
            };
            let mut straight = b"before".to_vec();
            encode_message(codec, &message, attempt, &mut straight);
            assert_eq!(straight, framed(&delivery), "seed {seed}, {codec:?}");
            let mut straight = b"before".to_vec();
            encode_shared_message(codec, &message, attempt, &sub, &mut straight);
            assert_eq!(straight, framed(&shared), "seed {seed}, {codec:?}");
        }
    }
}

/// The server adds headers to dead letters, so a message can have more than a publish may.
#[test]
fn a_message_with_many_headers_reads_back() {
    let mut message = Draw::new(1).message();
    let reasons = "x".repeat(limits::HEADERS_BYTES_MAX);
    let name = |n: usize| (format!("tidings-{n}"), reasons.clone());
    message.content.headers = (0..=limits::HEADERS_MAX).map(name).collect();
    let expected = ServerFrame { id: None, body: ServerBody::Message(Delivery::of(&message, 1)) };
    for codec in Codec::ALL {
        let mut bytes = Vec::new();
        encode_message(codec, &message, 1, &mut bytes);
        assert_eq!(decode_server_frame(codec, &mut &bytes[..]), Some(Ok(expected.clone())));
    }
}

#[test]
fn frames_appended_one_after_the_other_are_one_message() {
    let mut draw = Draw::new(1);
    let clients: Vec<ClientFrame> = (0..500).map(|kind| draw.client_frame(kind)).collect();
    let servers: Vec<ServerFrame> = (0..500).map(|kind| draw.server_frame(kind)).collect();
    for codec in Codec::ALL {
        let (mut from_client, mut from_server) = (Vec::new(), Vec::new());
        clients.iter().for_each(|frame| encode_client_frame(codec, frame, &mut from_client));
        servers.iter().for_each(|frame| encode_server_frame(codec, frame, &mut from_server));
        if codec.is_text() {
            let line_ends = from_client.iter().filter(|byte| **byte == b'\n').count();
            assert_eq!(line_ends, clients.len(), "a line end inside a frame");
        }
        let mut input = &from_client[..];
        let decoded = std::iter::from_fn(|| decode_client_frame(codec, &mut input));
        assert_eq!(decoded.collect::<Result<Vec<_>, _>>(), Ok(clients.clone()));
        let mut input = &from_server[..];
        let decoded = std::iter::from_fn(|| decode_server_frame(codec, &mut input));
        assert_eq!(decoded.collect::<Result<Vec<_>, _>>(), Ok(servers.clone()));
    }
}

/// After a frame that is refused, the next one is read.
#[test]
fn an_error_takes_no_other_frame_with_it() {
    let mut input = &b"{\"id\":1,\"nonsense\":{}}\n\n  \r\n{\"pong\":{}}"[..];
    let first = decode_client_frame(Codec::Json, &mut input);
    assert_eq!(first.unwrap().unwrap_err().id.map(u32::from), Some(1));
    let second = decode_client_frame(Codec::Json, &mut input).unwrap().unwrap();
    assert_eq!(second.body.kind(), "pong");
    assert_eq!(decode_client_frame(Codec::Json, &mut input), None);

    // id 1 and field 99, then a pong.
    let mut input = &[5, 0x08, 1, 0x9A, 0x06, 0, 2, 0x62, 0][..];
    let first = decode_client_frame(Codec::Protobuf, &mut input);
    assert_eq!(first.unwrap().unwrap_err().id.map(u32::from), Some(1));
    let second = decode_client_frame(Codec::Protobuf, &mut input).unwrap().unwrap();
    assert_eq!(second.body.kind(), "pong");
    assert_eq!(decode_client_frame(Codec::Protobuf, &mut input), None);
}

#[test]
fn every_http_body_reads_back() {
    for seed in 0..SEEDS / 10 {
        let mut draw = Draw::new(seed);
        let publish = draw.publish();
        let mut body = Vec::new();
        encode_publish(&publish, &mut body);
        assert_eq!(decode_publish(&body), Ok(publish.clone()), "seed {seed}");

        let batch = [publish.clone(), draw.publish()];
        let mut body = Vec::new();
        encode_publish_batch(&batch, &mut body);
        let entries = decode_publish_batch(&body).unwrap().into_iter();
        assert_eq!(entries.collect::<Result<Vec<_>, _>>(), Ok(batch.to_vec()), "seed {seed}");

        let outcome = if seed % 2 == 0 {
            PublishOutcome::Published(draw.published())
        } else {
            PublishOutcome::Scheduled(draw.scheduled())
        };
        let reply = PublishReply { topic: publish.topic, outcome };
        let mut body = Vec::new();
        reply.encode(&mut body);
        assert_eq!(PublishReply::decode(&body), Ok(reply.clone()), "seed {seed}");

        let reply = BatchReply { results: vec![Err(draw.error()), Ok(reply)] };
        let mut body = Vec::new();
        reply.encode(&mut body);
        assert_eq!(BatchReply::decode(&body), Ok(reply), "seed {seed}");

        let cursor = (seed % 2 == 0).then(|| seed.to_string());
        let reply = HistoryReply { history: draw.history(), cursor };
        let mut body = Vec::new();
        reply.encode(&mut body);
        assert_eq!(HistoryReply::decode(&body), Ok(reply), "seed {seed}");

        let request_id = (seed % 3 == 0).then(|| seed.to_string());
        let problem = Problem { error: draw.error(), request_id };
        let mut body = Vec::new();
        problem.encode(&mut body);
        assert_eq!(Problem::decode(&body), Ok(problem), "seed {seed}");
    }
}
