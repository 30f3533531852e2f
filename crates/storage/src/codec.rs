//! Bytes to values and back, little-endian. Reading checks every length before it is used.

/// The bytes are not what they should be although their checksum is right, or a length points
/// past the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

/// Reads values off the front of some bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub(crate) fn take(&mut self, count: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.rest.split_at_checked(count).ok_or(Malformed)?;
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (taken, rest) = self.rest.split_first_chunk().ok_or(Malformed)?;
        self.rest = rest;
        Ok(*taken)
    }

    pub(crate) fn u8(&mut self) -> Result<u8, Malformed> {
        self.array::<1>().map(|[byte]| byte)
    }

    pub(crate) fn u32(&mut self) -> Result<u32, Malformed> {
        self.array().map(u32::from_le_bytes)
    }

    pub(crate) fn u64(&mut self) -> Result<u64, Malformed> {
        self.array().map(u64::from_le_bytes)
    }

    pub(crate) fn u128(&mut self) -> Result<u128, Malformed> {
        self.array().map(u128::from_le_bytes)
    }

    /// A text of at most 255 bytes.
    pub(crate) fn short_text(&mut self) -> Result<&'a str, Malformed> {
        let length = self.u8()?;
        self.text(usize::from(length))
    }

    /// A text of at most 4 GiB.
    pub(crate) fn long_text(&mut self) -> Result<&'a str, Malformed> {
        let length = self.u32()?;
        self.text(usize::try_from(length).map_err(|_| Malformed)?)
    }

    fn text(&mut self, length: usize) -> Result<&'a str, Malformed> {
        std::str::from_utf8(self.take(length)?).map_err(|_| Malformed)
    }

    /// How many items of `item_bytes` follow, if the rest is long enough to hold them: so that
    /// nothing is allocated by an unchecked number.
    pub(crate) fn count(&mut self, item_bytes: usize) -> Result<usize, Malformed> {
        let count = self.u32()?;
        self.fitting(count, item_bytes)
    }

    /// The same for a number that was read already.
    pub(crate) fn fitting(&self, count: u32, item_bytes: usize) -> Result<usize, Malformed> {
        let count = usize::try_from(count).map_err(|_| Malformed)?;
        if count.checked_mul(item_bytes).is_none_or(|bytes| bytes > self.rest.len()) {
            return Err(Malformed);
        }
        Ok(count)
    }

    /// All that is left.
    pub(crate) const fn rest(&mut self) -> &'a [u8] {
        let rest = self.rest;
        self.rest = &[];
        rest
    }

    /// Whether everything was read.
    pub(crate) const fn is_at_end(&self) -> bool {
        self.rest.is_empty()
    }

    /// An error unless everything was read.
    pub(crate) const fn end(&self) -> Result<(), Malformed> {
        if self.is_at_end() { Ok(()) } else { Err(Malformed) }
    }
}

/// Appends values to bytes.
pub(crate) trait Put {
    fn put(&mut self, bytes: &[u8]);

    fn put_u8(&mut self, value: u8) {
        self.put(&[value]);
    }

    fn put_u32(&mut self, value: u32) {
        self.put(&value.to_le_bytes());
    }

    fn put_u64(&mut self, value: u64) {
        self.put(&value.to_le_bytes());
    }

    fn put_u128(&mut self, value: u128) {
        self.put(&value.to_le_bytes());
    }

    /// A text that its type bounds to 255 bytes.
    fn put_short_text(&mut self, text: &str) {
        self.put_u8(u8::try_from(text.len()).expect("names and ids are at most 255 bytes"));
        self.put(text.as_bytes());
    }

    /// A text whose length was checked against the largest record.
    fn put_long_text(&mut self, text: &str) {
        self.put_count(text.len());
        self.put(text.as_bytes());
    }

    /// A number of items that was checked against the largest record.
    fn put_count(&mut self, count: usize) {
        self.put_u32(u32::try_from(count).expect("records are far smaller than 4 GiB"));
    }
}

impl Put for Vec<u8> {
    fn put(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }
}
