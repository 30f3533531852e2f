//! The decoders under random damage: the corpus as it is, and mutated from seeds.
//!
//! `TIDINGS_FUZZ_ITERATIONS` sets how many mutations each target gets. What fails is printed as
//! a Rust byte string; put it in a file of `fuzz/corpus` so that it is tried for ever.

use tidings_protocol::Codec;

use crate::frames::Draw;
use crate::{corpus, exercise};

const ITERATIONS_DEFAULT: u64 = 60_000;

/// Longest mutated input: mutations that double it must not slow the test down.
const BYTES_MAX: usize = 16 * 1024;

/// Pieces that decoders stumble over.
const PIECES: [&[u8]; 24] = [
    b"{",
    b"}",
    b"[",
    b"]",
    b"\"",
    b",",
    b":",
    b"\\",
    b"\\ud800",
    b"\\u0000",
    b"null",
    b"1e999",
    b"-0",
    b"18446744073709551616",
    b"\"id\":",
    b"\"publish\":",
    b"\"data\":",
    b"\"topic\":",
    b"\n",
    b"\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x01",
    b"\x80\x80\x80\x80\x10",
    b"\x00",
    b"\xED\xA0\x80",
    b"\x0B",
];

/// Prints the input when its exercise panics.
struct OnPanic<'a> {
    target: &'a str,
    bytes: &'a [u8],
}

impl Drop for OnPanic<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{} failed on b\"{}\"", self.target, self.bytes.escape_ascii());
        }
    }
}

fn exercise(target: &str, bytes: &[u8]) {
    let _on_panic = OnPanic { target, bytes };
    match target {
        "client_json" => exercise::client(Codec::Json, bytes),
        "client_proto" => exercise::client(Codec::Protobuf, bytes),
        "server_json" => exercise::server(Codec::Json, bytes),
        "server_proto" => exercise::server(Codec::Protobuf, bytes),
        _ => exercise::http(bytes),
    }
}

fn mutate(draw: &mut Draw, bytes: &mut Vec<u8>, other: &[u8]) {
    let at = draw.below(bytes.len() as u64 + 1) as usize;
    let end = (at + draw.below(16) as usize).min(bytes.len());
    match draw.below(8) {
        0 => {
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= 1 << draw.below(8);
            }
        }
        1 => {
            if let Some(byte) = bytes.get_mut(at) {
                *byte = draw.below(256) as u8;
            }
        }
        2 => drop(bytes.drain(at..end)),
        3 => bytes.truncate(at),
        4 => {
            let copy = bytes[at..end].to_vec();
            bytes.splice(at..at, copy);
        }
        5 => {
            let from = draw.below(other.len() as u64 + 1) as usize;
            let until = (from + draw.below(64) as usize).min(other.len());
            bytes.splice(at..end, other[from..until].iter().copied());
        }
        6 => bytes.insert(at, draw.below(256) as u8),
        _ => {
            let piece = PIECES[draw.below(PIECES.len() as u64) as usize];
            bytes.splice(at..at, piece.iter().copied());
        }
    }
    bytes.truncate(BYTES_MAX);
}

fn check(target: &str) {
    let corpus = corpus::read(target);
    for (_, bytes) in &corpus {
        exercise(target, bytes);
    }
    let iterations = std::env::var("TIDINGS_FUZZ_ITERATIONS").ok();
    let iterations = iterations.map_or(ITERATIONS_DEFAULT, |text| text.parse().unwrap());
    for seed in 0..iterations {
        let mut draw = Draw::new(seed);
        let mut pick = || &corpus[draw.below(corpus.len() as u64) as usize].1[..];
        let (mut bytes, other) = (pick().to_vec(), pick());
        for _ in 0..=draw.below(4) {
            mutate(&mut draw, &mut bytes, other);
        }
        exercise(target, &bytes);
    }
}

#[test]
fn client_json_never_panics() {
    check(corpus::TARGETS[0]);
}

#[test]
fn client_proto_never_panics() {
    check(corpus::TARGETS[1]);
}

#[test]
fn server_json_never_panics() {
    check(corpus::TARGETS[2]);
}

#[test]
fn server_proto_never_panics() {
    check(corpus::TARGETS[3]);
}

#[test]
fn http_never_panics() {
    check(corpus::TARGETS[4]);
}
