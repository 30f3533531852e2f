//! Messages compressed and restored (RFC 7692 §7.2), each by itself: no state of one message is
//! kept for the next, so one compressed message serves every peer, and idle peers cost nothing.

use miniz_oxide::DataFormat;
use miniz_oxide::deflate::core::{
    CompressionStrategy, CompressorOxide, TDEFLFlush, TDEFLStatus, compress,
};
use miniz_oxide::inflate::TINFLStatus;
use miniz_oxide::inflate::core::inflate_flags::{
    TINFL_FLAG_HAS_MORE_INPUT, TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF,
};
use miniz_oxide::inflate::core::{DecompressorOxide, decompress};
use tidings_core::CloseCode;

/// A message is compressed once for all who get it, so bytes count for more than time; above this
/// level there is little to gain. The figures are in `docs/performance.md`.
const LEVEL: u8 = 4;

/// The window that messages are compressed in, as a power of two: the largest there is.
pub(super) const WINDOW_BITS: u8 = 15;

/// What ends every flushed block, and is left out on the wire (§7.2.1).
const TAIL: [u8; 4] = [0, 0, 0xFF, 0xFF];

/// The tail put back, and an empty last block: only a message whose blocks are all whole ends
/// exactly with it.
const END: [u8; 6] = [0, 0, 0xFF, 0xFF, 0x03, 0x00];

/// What a short message can grow by at most, with room left over.
const SPARE_BYTES: usize = 64;

/// The first piece of memory for a message that is restored.
const FIRST_PIECE_BYTES: usize = 4096;

/// Compresses messages. Takes its memory (about 0.3 MB) with the first.
pub struct Deflater {
    bytes_min: usize,
    stream: Option<Box<CompressorOxide>>,
}

impl std::fmt::Debug for Deflater {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Deflater").field("bytes_min", &self.bytes_min).finish_non_exhaustive()
    }
}

impl Deflater {
    /// Leaves messages alone that are shorter than `bytes_min`.
    pub const fn new(bytes_min: usize) -> Self {
        Self { bytes_min, stream: None }
    }

    /// The payload of a compressed message; `None` if `message` is too short, or would not become
    /// smaller, and goes as it is.
    pub fn deflate(&mut self, message: &[u8]) -> Option<Vec<u8>> {
        if message.is_empty() || message.len() < self.bytes_min {
            return None;
        }
        let stream = self.stream.get_or_insert_with(|| {
            Box::new(CompressorOxide::with_params(
                DataFormat::Raw,
                LEVEL,
                CompressionStrategy::Default,
                WINDOW_BITS,
            ))
        });
        stream.reset();
        // Room for the worst that can become of it, so that the end is written once.
        let mut out = vec![0; message.len() + message.len() / 8 + SPARE_BYTES];
        let (status, taken, given) = compress(stream, message, &mut out, TDEFLFlush::Sync);
        let whole = status == TDEFLStatus::Okay && taken == message.len() && given < out.len();
        out.truncate(given);
        if !whole || !out.ends_with(&TAIL) {
            return None;
        }
        out.truncate(given - TAIL.len());
        out.shrink_to_fit();
        (out.len() < message.len()).then_some(out)
    }
}

/// Restores messages. Takes its memory (about 10 kB) with the first.
#[derive(Default)]
pub struct Inflater {
    stream: Option<Box<DecompressorOxide>>,
    inflated: u64,
}

impl std::fmt::Debug for Inflater {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inflater").field("inflated", &self.inflated).finish_non_exhaustive()
    }
}

impl Inflater {
    /// Bytes of all messages restored so far: what their small payloads cost in time.
    pub const fn inflated(&self) -> u64 {
        self.inflated
    }

    /// The message whose compressed payload is `payload`.
    ///
    /// # Errors
    ///
    /// It has more than `message_bytes_max` bytes, which is found before there are many more, or
    /// `payload` is not compressed data, or not all of it.
    pub fn inflate(
        &mut self,
        payload: &[u8],
        message_bytes_max: usize,
    ) -> Result<Vec<u8>, CloseCode> {
        let stream = self.stream.get_or_insert_default();
        stream.init();
        let mut out = Restored { bytes: Vec::new(), used: 0, bytes_max: message_bytes_max };
        let restored = out.restore(stream, payload);
        self.inflated += out.used as u64;
        restored?;
        out.bytes.truncate(out.used);
        Ok(out.bytes)
    }
}

/// A message as it is restored. All of it stays in one piece, which is what the blocks refer to:
/// what refers to before its start is found, and nothing of another message can be read.
struct Restored {
    /// Memory, of which `used` bytes are the message so far.
    bytes: Vec<u8>,
    used: usize,
    bytes_max: usize,
}

enum Ended {
    Yes,
    No,
}

impl Restored {
    fn restore(&mut self, stream: &mut DecompressorOxide, payload: &[u8]) -> Result<(), CloseCode> {
        let (rest, ended) = self.feed(stream, payload)?;
        match ended {
            // A peer may end its data with a last block, and a byte in place of the tail
            // (§7.2.3.4).
            Ended::Yes => match rest {
                [] | [0] => Ok(()),
                _more => Err(CloseCode::InvalidData),
            },
            Ended::No => match self.feed(stream, &END)? {
                ([], Ended::Yes) => Ok(()),
                (_, Ended::Yes | Ended::No) => Err(CloseCode::InvalidData),
            },
        }
    }

    /// Restores from `input` what it holds; gives what follows the last block, if that was in it.
    fn feed<'i>(
        &mut self,
        stream: &mut DecompressorOxide,
        mut input: &'i [u8],
    ) -> Result<(&'i [u8], Ended), CloseCode> {
        const FLAGS: u32 = TINFL_FLAG_HAS_MORE_INPUT | TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF;
        loop {
            let (status, taken, given) =
                decompress(stream, input, &mut self.bytes, self.used, FLAGS);
            input = input.get(taken..).unwrap_or_default();
            self.used += given;
            if self.used > self.bytes_max {
                return Err(CloseCode::TooBig);
            }
            match status {
                TINFLStatus::Done => return Ok((input, Ended::Yes)),
                TINFLStatus::NeedsMoreInput => return Ok((input, Ended::No)),
                TINFLStatus::HasMoreOutput => self.grow()?,
                // Not compressed data; the list may grow.
                _failed => return Err(CloseCode::InvalidData),
            }
        }
    }

    /// Twice the memory each time, and never more than one byte beyond what is allowed.
    fn grow(&mut self) -> Result<(), CloseCode> {
        let room = self.bytes_max.saturating_add(1).saturating_sub(self.bytes.len());
        if room == 0 {
            return Err(CloseCode::TooBig);
        }
        let more = room.min(self.bytes.len().max(FIRST_PIECE_BYTES));
        self.bytes.reserve_exact(more);
        self.bytes.resize(self.bytes.len() + more, 0);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAX: usize = 1 << 20;

    fn inflate(payload: &[u8]) -> Result<Vec<u8>, CloseCode> {
        Inflater::default().inflate(payload, MAX)
    }

    #[test]
    fn reads_the_examples_of_the_rfc() {
        for (name, payload) in [
            ("§7.2.3.1 one block", &[0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00][..]),
            (
                "§7.2.3.3 no compression",
                &[0x00, 0x05, 0x00, 0xfa, 0xff, 0x48, 0x65, 0x6c, 0x6c, 0x6f, 0x00],
            ),
            ("§7.2.3.4 a last block", &[0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00]),
            (
                "§7.2.3.5 two blocks",
                &[0xf2, 0x48, 0x05, 0x00, 0x00, 0x00, 0xff, 0xff, 0xca, 0xc9, 0xc9, 0x07, 0x00],
            ),
        ] {
            assert_eq!(inflate(payload), Ok(b"Hello".to_vec()), "{name}");
        }
        assert_eq!(inflate(&[0x00]), Ok(Vec::new()), "§7.2.3.6 nothing");
        let mut inflater = Inflater::default();
        let hello = [0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];
        assert_eq!(inflater.inflate(&hello, MAX), Ok(b"Hello".to_vec()));
        // §7.2.3.2 with context takeover: it points into the message before, which is not kept.
        assert_eq!(inflater.inflate(&[0xf2, 0x00, 0x11, 0x00, 0x00], MAX), Err(INVALID));
        assert_eq!(inflater.inflate(&hello, MAX), Ok(b"Hello".to_vec()), "nothing sticks");
    }

    const INVALID: CloseCode = CloseCode::InvalidData;

    #[test]
    fn what_is_cut_short_or_goes_on_is_refused() {
        let text = b"The quick brown fox jumps over the lazy dog, the lazy dog over the fox.";
        let whole = Deflater::new(0).deflate(text).unwrap();
        for end in 0..whole.len() {
            assert_eq!(inflate(&whole[..end]), Err(INVALID), "the first {end} bytes");
        }
        // A last block and then another, where one byte may stand.
        let last = [0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];
        assert_eq!(inflate(&[&last[..], &last[..]].concat()), Err(INVALID));
        assert_eq!(inflate(&[&last[..], &[1]].concat()), Err(INVALID));
    }

    #[test]
    fn messages_of_every_size_come_back() {
        let mut deflater = Deflater::new(1);
        let mut inflater = Inflater::default();
        for length in [1, 30, 4095, 4096, 4097, 70_000, MAX] {
            let message: Vec<u8> = (0..length).map(|n| b"tidings "[n / 3 % 8]).collect();
            let Some(payload) = deflater.deflate(&message) else {
                assert!(length < 30, "{length} bytes that repeat were not compressed");
                continue;
            };
            assert!(payload.len() < message.len() / 2 + 30);
            assert_eq!(inflater.inflate(&payload, length), Ok(message), "{length}");
        }
    }

    /// Some of it noise, so that many messages are about as long compressed as they are.
    #[test]
    fn messages_that_hardly_shrink_come_back_or_stay_plain() {
        let mut state = 7u64;
        let mut next = move || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 33) as usize
        };
        let (mut deflater, mut inflater) = (Deflater::new(1), Inflater::default());
        let (mut plain, mut compressed) = (0, 0);
        for _ in 0..2000 {
            let (length, noise) = (1 + next() % (1 << (1 + next() % 13)), next() % 101);
            let message: Vec<u8> = (0..length)
                .map(|n| if next() % 100 < noise { next() as u8 } else { b"tidings "[n % 8] })
                .collect();
            let Some(payload) = deflater.deflate(&message) else {
                plain += 1;
                continue;
            };
            compressed += 1;
            assert!(payload.len() < message.len());
            assert_eq!(inflater.inflate(&payload, length), Ok(message));
        }
        assert!(plain > 200 && compressed > 200, "{plain} plain, {compressed} compressed");
    }

    #[test]
    fn what_would_not_become_smaller_goes_as_it_is() {
        let mut state = 1u64;
        let noise: Vec<u8> = std::iter::repeat_with(|| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 56) as u8
        })
        .take(100_000)
        .collect();
        let mut deflater = Deflater::new(64);
        assert_eq!(deflater.deflate(&noise), None);
        assert_eq!(deflater.deflate(&[b'x'; 63]), None, "too short");
        let payload = deflater.deflate(&[b'x'; 64]).unwrap();
        assert_eq!(inflate(&payload), Ok(vec![b'x'; 64]), "after one that was given up");
    }

    #[test]
    fn a_bomb_is_refused_before_it_goes_off() {
        let bomb = Deflater::new(0).deflate(&vec![0; 64 << 20]).unwrap();
        assert!(bomb.len() < (64 << 20) / 100, "{}", bomb.len());
        let mut inflater = Inflater::default();
        for max in [0, 1, 4096, 32 * 1024, MAX] {
            let before = inflater.inflated();
            assert_eq!(inflater.inflate(&bomb, max), Err(CloseCode::TooBig));
            let spent = (inflater.inflated() - before) as usize;
            assert!(spent <= 2 * max.max(FIRST_PIECE_BYTES), "{spent} bytes for a limit of {max}");
        }
        let fits = Deflater::new(0).deflate(&[0; 4096]).unwrap();
        assert_eq!(inflater.inflate(&fits, 4096).map(|message| message.len()), Ok(4096));
        assert_eq!(inflater.inflate(&fits, 4095), Err(CloseCode::TooBig));
    }

    /// Every byte of a payload changed in turn: an error or a message within the limit, no panic,
    /// and the next message is not touched by it.
    #[test]
    fn mutated_payloads_end_in_an_error_or_within_the_limit() {
        let message = br#"{"message":{"topic":"a/b","offset":12,"data":{"a":[1,2,3,1,2,3]}}}"#;
        let whole = Deflater::new(0).deflate(message).unwrap();
        let mut inflater = Inflater::default();
        let mut refused = 0;
        for at in 0..whole.len() {
            for value in 0..=u8::MAX {
                let mut payload = whole.clone();
                payload[at] = value;
                match inflater.inflate(&payload, 200) {
                    Ok(message) => assert!(message.len() <= 200),
                    Err(_) => refused += 1,
                }
            }
            assert_eq!(inflater.inflate(&whole, 200).as_deref(), Ok(&message[..]));
        }
        assert!(refused > whole.len() * 64, "{refused}");
    }
}
