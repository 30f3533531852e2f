//! The files of `testdata/`: what is sent, and what it is taken for. `UPDATE_EXPECT=1` rewrites
//! what stands after each `----`; look at the difference before it is committed.

use std::fmt::Write as _;

use tidings_protocol::http::{
    BatchReply, HistoryReply, Problem, PublishReply, decode_broadcast, decode_publish,
    decode_publish_batch, encode_publish,
};
use tidings_protocol::{
    ClientFrame, Codec, DecodeError, ErrorBody, ServerFrame, decode_client_frame,
    decode_server_frame, encode_client_frame, encode_server_frame,
};

#[test]
fn transcripts_are_as_they_say() {
    let folder = std::env::var("CARGO_MANIFEST_DIR").unwrap() + "/testdata";
    let mut paths: Vec<_> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    assert!(paths.len() >= 4, "the transcripts are there");
    for path in paths {
        let transcript = std::fs::read_to_string(&path).unwrap();
        let actual = run(&transcript);
        if std::env::var_os("UPDATE_EXPECT").is_some() {
            std::fs::write(&path, &actual).unwrap();
        } else {
            assert_eq!(actual, transcript, "{}", path.display());
        }
    }
}

/// The transcript as it should read: comments and inputs as they are, outcomes as they turn out.
fn run(transcript: &str) -> String {
    let mut actual = String::new();
    let mut is_outcome = false;
    for line in transcript.lines() {
        if line.is_empty() || line.starts_with('#') {
            is_outcome = false;
            writeln!(actual, "{line}").unwrap();
        } else if line == "----" {
            is_outcome = true;
        } else if !is_outcome {
            let (command, input) = line.split_once(' ').expect("a command and its input");
            write!(actual, "{line}\n----\n{}", outcome(command, input)).unwrap();
        }
    }
    actual
}

fn outcome(command: &str, input: &str) -> String {
    match command {
        "client" => client(Codec::Json, input.as_bytes()),
        "client-proto" => client(Codec::Protobuf, &from_hex(input)),
        "server" => server(Codec::Json, input.as_bytes()),
        "server-proto" => server(Codec::Protobuf, &from_hex(input)),
        "publish" => body(decode_publish(input.as_bytes()), encode_publish),
        "batch" => match decode_publish_batch(input.as_bytes()) {
            Err(error) => refused(None, &error),
            Ok(entries) => entries.into_iter().map(|entry| body(entry, encode_publish)).collect(),
        },
        "broadcast" => match decode_broadcast(input.as_bytes()) {
            Err(error) => refused(None, &error),
            Ok(entries) => entries.into_iter().map(|entry| body(entry, encode_publish)).collect(),
        },
        "publish-reply" => body(PublishReply::decode(input.as_bytes()), PublishReply::encode),
        "batch-reply" => body(BatchReply::decode(input.as_bytes()), BatchReply::encode),
        "history-reply" => body(HistoryReply::decode(input.as_bytes()), HistoryReply::encode),
        "problem" => body(Problem::decode(input.as_bytes()), Problem::encode),
        unknown => panic!("unknown command `{unknown}`"),
    }
}

fn client(codec: Codec, mut input: &[u8]) -> String {
    let decoded = decode_client_frame(codec, &mut input).expect("a frame");
    frame(decoded, |codec, frame: &ClientFrame, out| encode_client_frame(codec, frame, out))
}

fn server(codec: Codec, mut input: &[u8]) -> String {
    let decoded = decode_server_frame(codec, &mut input).expect("a frame");
    frame(decoded, |codec, frame: &ServerFrame, out| encode_server_frame(codec, frame, out))
}

/// A frame in both codecs, or why it is none.
fn frame<F>(decoded: Result<F, DecodeError>, encode: impl Fn(Codec, &F, &mut Vec<u8>)) -> String {
    let frame = match decoded {
        Ok(frame) => frame,
        Err(error) => return refused(error.id.map(u32::from), &error.body),
    };
    let encoded = |codec| {
        let mut out = Vec::new();
        encode(codec, &frame, &mut out);
        out
    };
    let json = String::from_utf8(encoded(Codec::Json)).unwrap();
    format!("json  {json}proto {}\n", to_hex(&encoded(Codec::Protobuf)))
}

/// A body in its shortest form, or why it is none.
fn body<T>(decoded: Result<T, ErrorBody>, encode: impl Fn(&T, &mut Vec<u8>)) -> String {
    match decoded {
        Err(error) => refused(None, &error),
        Ok(value) => {
            let mut out = Vec::new();
            encode(&value, &mut out);
            format!("json  {}\n", String::from_utf8(out).unwrap())
        }
    }
}

fn refused(id: Option<u32>, error: &ErrorBody) -> String {
    let id = id.map_or(String::new(), |id| format!("id {id}, "));
    format!("refused: {id}{}: {}\n", error.code.as_str(), error.message)
}

fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn from_hex(text: &str) -> Vec<u8> {
    let digit = |c: char| c.to_digit(16).expect("hexadecimal digits") as u8;
    let digits: Vec<_> = text.chars().filter(|c| *c != ' ').map(digit).collect();
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}
