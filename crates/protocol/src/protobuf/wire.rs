//! The wire format of Protobuf, as far as it is read and written by hand: varints, keys, and
//! values that are skipped.

/// Bytes that are not of the wire format, or end in the middle of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Malformed;

const VARINT: u64 = 0;
const FIXED_64: u64 = 1;
const BYTES: u64 = 2;
const FIXED_32: u64 = 5;

/// A field's value as far as the wire format shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WireValue<'a> {
    Varint(u64),
    Bytes(&'a [u8]),
    /// Fixed 32 or 64 bits; the schema has none.
    Fixed,
}

/// Takes a field, its number first. Groups, which proto3 does not have, are malformed.
pub(super) fn take_field<'a>(input: &mut &'a [u8]) -> Result<(u64, WireValue<'a>), Malformed> {
    let key = take_varint(input)?;
    let value = match key & 7 {
        VARINT => WireValue::Varint(take_varint(input)?),
        BYTES => WireValue::Bytes(take_bytes(input)?),
        FIXED_64 => take(input, 8).map(|_| WireValue::Fixed)?,
        FIXED_32 => take(input, 4).map(|_| WireValue::Fixed)?,
        _ => return Err(Malformed),
    };
    Ok((key >> 3, value))
}

/// Takes bytes with their length in front.
pub(super) fn take_bytes<'a>(input: &mut &'a [u8]) -> Result<&'a [u8], Malformed> {
    let len = usize::try_from(take_varint(input)?).map_err(|_| Malformed)?;
    take(input, len)
}

fn take<'a>(input: &mut &'a [u8], len: usize) -> Result<&'a [u8], Malformed> {
    let (taken, rest) = input.split_at_checked(len).ok_or(Malformed)?;
    *input = rest;
    Ok(taken)
}

fn take_varint(input: &mut &[u8]) -> Result<u64, Malformed> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = input.split_first().ok_or(Malformed)?;
        *input = rest;
        let bits = u64::from(byte & 0x7F);
        if shift == 63 && bits > 1 {
            return Err(Malformed);
        }
        value |= bits << shift;
        if byte & 0x80 == 0 {
            return Ok(value);
        }
    }
    Err(Malformed)
}

pub(super) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// How many bytes [`put_varint`] writes.
pub(super) const fn varint_len(value: u64) -> usize {
    let bits = 64 - (value | 1).leading_zeros() as usize;
    bits.div_ceil(7)
}

/// Writes a field of bytes. Its number is at most 15, so that its key is one byte.
pub(super) fn put_bytes(out: &mut Vec<u8>, number: u8, bytes: &[u8]) {
    put_key(out, number, BYTES);
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Writes the start of a field of bytes of which `len` follow.
pub(super) fn put_bytes_start(out: &mut Vec<u8>, number: u8, len: usize) {
    put_key(out, number, BYTES);
    put_varint(out, len as u64);
}

/// Writes a field with a number, unless it is 0.
pub(super) fn put_number(out: &mut Vec<u8>, number: u8, value: u64) {
    if value != 0 {
        put_key(out, number, VARINT);
        put_varint(out, value);
    }
}

/// How many bytes [`put_bytes`] writes.
pub(super) const fn bytes_len(len: usize) -> usize {
    1 + varint_len(len as u64) + len
}

/// How many bytes [`put_number`] writes.
pub(super) const fn number_len(value: u64) -> usize {
    if value == 0 { 0 } else { 1 + varint_len(value) }
}

fn put_key(out: &mut Vec<u8>, number: u8, wire_type: u64) {
    debug_assert!(number <= 15, "the key of field {number} has more than one byte");
    out.push(number << 3 | wire_type as u8);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_varint_reads_back_and_has_the_length_foretold() {
        for value in (0..64).flat_map(|bit| [(1u64 << bit) - 1, 1 << bit]).chain([u64::MAX]) {
            let mut bytes = Vec::new();
            put_varint(&mut bytes, value);
            assert_eq!(bytes.len(), varint_len(value), "{value}");
            let mut input = &bytes[..];
            assert_eq!(take_varint(&mut input), Ok(value));
            assert!(input.is_empty());
        }
    }

    #[test]
    fn refuses_what_is_cut_off_or_too_long() {
        for bytes in [
            &b""[..],
            &[0x80],
            &[0xFF; 11],
            &[0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 2],
        ] {
            assert_eq!(take_varint(&mut &*bytes), Err(Malformed), "{bytes:?}");
        }
        assert_eq!(take_bytes(&mut &[5, 1, 2][..]), Err(Malformed));
        // A group, and a wire type that does not exist.
        assert_eq!(take_field(&mut &[0x0B, 0x0C][..]), Err(Malformed));
        assert_eq!(take_field(&mut &[0x0F][..]), Err(Malformed));
    }
}
