//! Fuzzes `server_proto`: any bytes decode or are refused, and what decodes reads back.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tidings_fuzz::exercise;
use tidings_protocol::Codec;

fuzz_target!(|bytes: &[u8]| exercise::server(Codec::Protobuf, bytes));
