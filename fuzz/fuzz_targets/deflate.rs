//! Fuzzes `deflate`: any bytes are restored within a limit or refused, and compress to what reads back.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tidings_fuzz::framing;

fuzz_target!(|bytes: &[u8]| framing::deflate(bytes));
