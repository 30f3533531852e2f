//! Fuzzes `frames`: frames, compressed ones too, are put together or refused.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tidings_fuzz::framing;

fuzz_target!(|bytes: &[u8]| framing::frames(bytes));
