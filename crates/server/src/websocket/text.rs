//! Text that comes in pieces, checked as it comes.

/// How far a growing text has been found to be UTF-8. Each byte is looked at about once.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct TextCheck {
    /// Bytes from the start that are whole characters.
    checked: usize,
}

/// No further bytes can make this UTF-8.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NotText;

impl TextCheck {
    /// Looks at what has been added to `bytes` since the last time.
    pub(super) fn advance(&mut self, bytes: &[u8]) -> Result<(), NotText> {
        match std::str::from_utf8(bytes.get(self.checked..).unwrap_or_default()) {
            Ok(_) => self.checked = bytes.len(),
            // A character that is cut off at the end may still become whole.
            Err(error) if error.error_len().is_none() => self.checked += error.valid_up_to(),
            Err(_) => return Err(NotText),
        }
        Ok(())
    }

    /// Whether the text may end here.
    pub(super) const fn is_whole(self, bytes: &[u8]) -> bool {
        self.checked == bytes.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agrees_with_the_standard_library_however_it_is_cut() {
        for bytes in ["κόσμε 🦀".as_bytes(), b"a\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xc3"]
        {
            let mut check = TextCheck::default();
            let ended = (0..=bytes.len()).try_for_each(|end| check.advance(&bytes[..end]));
            let valid = ended.is_ok() && check.is_whole(bytes);
            assert_eq!(valid, std::str::from_utf8(bytes).is_ok(), "{bytes:?}");
        }
    }
}
