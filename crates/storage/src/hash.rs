//! A keyed 128-bit hash: SipHash-2-4 with 128-bit output (Aumasson and Bernstein, 2012).
//!
//! Deduplication keys are remembered by their hash. It is written to checkpoints, so it must not
//! change with the standard library; it is keyed, so nobody can choose keys that collide.

use tidings_core::{NewMessage, UserId};

/// The secret that makes hashes unpredictable: drawn once per store.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct HashSecret(pub(crate) [u8; 16]);

impl std::fmt::Debug for HashSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("HashSecret")
    }
}

/// What a deduplication key is remembered by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct KeyHash(pub(crate) [u64; 2]);

impl KeyHash {
    /// The hash of a message's key, if it has one.
    pub(crate) fn of(secret: HashSecret, message: &NewMessage) -> Option<Self> {
        let (topic, key) = (message.topic.as_str(), message.key.as_ref()?);
        Some(Self::new(secret, topic, message.sender.as_ref().map(UserId::as_str), key.as_str()))
    }

    /// The hash of a `sender`'s `key` in `topic`; `None` is the server. Topics and names hold no
    /// zero byte and are not empty, so the three are unambiguous.
    pub(crate) fn new(secret: HashSecret, topic: &str, sender: Option<&str>, key: &str) -> Self {
        let mut sip = Sip::new(secret);
        sip.write(topic.as_bytes());
        sip.write(&[0]);
        sip.write(sender.unwrap_or_default().as_bytes());
        sip.write(&[0]);
        sip.write(key.as_bytes());
        Self(sip.finish())
    }
}

struct Sip {
    v: [u64; 4],
    block: [u8; 8],
    filled: usize,
    length: u64,
}

impl Sip {
    fn new(secret: HashSecret) -> Self {
        let (low, high) = secret.0.split_at(8);
        let k0 = u64::from_le_bytes(low.try_into().expect("half of 16 bytes"));
        let k1 = u64::from_le_bytes(high.try_into().expect("half of 16 bytes"));
        let v = [
            k0 ^ 0x736f_6d65_7073_6575,
            k1 ^ 0x646f_7261_6e64_6f6d ^ 0xee,
            k0 ^ 0x6c79_6765_6e65_7261,
            k1 ^ 0x7465_6462_7974_6573,
        ];
        Self { v, block: [0; 8], filled: 0, length: 0 }
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.block[self.filled] = *byte;
            self.filled += 1;
            if self.filled == 8 {
                self.absorb(u64::from_le_bytes(self.block));
                self.filled = 0;
            }
        }
        self.length += bytes.len() as u64;
    }

    fn finish(mut self) -> [u64; 2] {
        self.block[self.filled..].fill(0);
        self.block[7] = self.length as u8;
        self.absorb(u64::from_le_bytes(self.block));
        self.v[2] ^= 0xee;
        self.rounds(4);
        let low = self.v.iter().fold(0, |folded, word| folded ^ word);
        self.v[1] ^= 0xdd;
        self.rounds(4);
        let high = self.v.iter().fold(0, |folded, word| folded ^ word);
        [low, high]
    }

    fn absorb(&mut self, word: u64) {
        self.v[3] ^= word;
        self.rounds(2);
        self.v[0] ^= word;
    }

    fn rounds(&mut self, count: usize) {
        let [mut a, mut b, mut c, mut d] = self.v;
        for _ in 0..count {
            a = a.wrapping_add(b);
            b = b.rotate_left(13) ^ a;
            a = a.rotate_left(32);
            c = c.wrapping_add(d);
            d = d.rotate_left(16) ^ c;
            a = a.wrapping_add(d);
            d = d.rotate_left(21) ^ a;
            c = c.wrapping_add(b);
            b = b.rotate_left(17) ^ c;
            c = c.rotate_left(32);
        }
        self.v = [a, b, c, d];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(input: &[u8]) -> [u8; 16] {
        let mut sip = Sip::new(HashSecret(std::array::from_fn(|n| n as u8)));
        sip.write(input);
        let [low, high] = sip.finish();
        (u128::from(low) | u128::from(high) << 64).to_le_bytes()
    }

    /// The first of the vectors published with the reference implementation.
    #[test]
    fn agrees_with_the_published_vectors() {
        assert_eq!(
            hash(&[]),
            [
                0xa3, 0x81, 0x7f, 0x04, 0xba, 0x25, 0xa8, 0xe6, 0x6d, 0xf6, 0x72, 0x14, 0xc7, 0x55,
                0x02, 0x93
            ]
        );
        assert_eq!(
            hash(&[0]),
            [
                0xda, 0x87, 0xc1, 0xd8, 0x6b, 0x99, 0xaf, 0x44, 0x34, 0x76, 0x59, 0x11, 0x9b, 0x22,
                0xfc, 0x45
            ]
        );
    }

    #[test]
    fn topic_sender_and_key_are_told_apart() {
        let hash = |topic, sender, key| KeyHash::new(HashSecret([7; 16]), topic, sender, key);
        assert_ne!(hash("a", None, "bc"), hash("ab", None, "c"));
        assert_ne!(hash("a", Some("b"), "c"), hash("a", None, "bc"));
        assert_ne!(hash("a", Some("b"), "c"), hash("a", Some("x"), "c"));
        assert_ne!(hash("a", Some("b"), "c"), hash("ab", None, "c"));
        let other = HashSecret([8; 16]);
        assert_ne!(hash("a", None, "b"), KeyHash::new(other, "a", None, "b"));
    }
}
