//! Numbers and bytes as the records of the store hold them: integers of variable length, and byte
//! strings with their length before them.

/// Appends `number`, seven bits a byte, the lowest first.
pub(super) fn put(buffer: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        buffer.push(number as u8 | 0x80);
        number >>= 7;
    }
    buffer.push(number as u8);
}

/// Appends a number that may be negative; small ones of either sign are short.
pub(super) fn put_signed(buffer: &mut Vec<u8>, number: i64) {
    put(buffer, ((number << 1) ^ (number >> 63)).cast_unsigned());
}

/// Appends a number that may be missing.
pub(super) fn put_optional(buffer: &mut Vec<u8>, number: Option<i64>) {
    buffer.push(u8::from(number.is_some()));
    if let Some(number) = number {
        put_signed(buffer, number);
    }
}

/// Appends `bytes` behind their length.
pub(super) fn put_bytes(buffer: &mut Vec<u8>, bytes: &[u8]) {
    put(buffer, bytes.len() as u64);
    buffer.extend_from_slice(bytes);
}

/// Reads what the functions above have written. Every method returns `None` where the bytes are not
/// what it reads.
#[derive(Debug, Clone, Copy)]
pub(super) struct Decoder<'a>(pub(super) &'a [u8]);

impl<'a> Decoder<'a> {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn byte(&mut self) -> Option<u8> {
        let (&byte, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(byte)
    }

    pub(super) fn number(&mut self) -> Option<u64> {
        let mut number = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7F);
            if shift == 63 && bits > 1 {
                return None;
            }
            number |= bits << shift;
            if byte < 0x80 {
                return Some(number);
            }
        }
        None
    }

    pub(super) fn signed(&mut self) -> Option<i64> {
        let number = self.number()?;
        Some((number >> 1).cast_signed() ^ -((number & 1).cast_signed()))
    }

    pub(super) fn small<T: TryFrom<u64>>(&mut self) -> Option<T> {
        T::try_from(self.number()?).ok()
    }

    pub(super) fn flag(&mut self) -> Option<bool> {
        match self.byte()? {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        }
    }

    pub(super) fn optional(&mut self) -> Option<Option<i64>> {
        Some(match self.flag()? {
            true => Some(self.signed()?),
            false => None,
        })
    }

    pub(super) fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (bytes, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(bytes)
    }

    pub(super) fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = self.small()?;
        self.take(length)
    }

    pub(super) fn text(&mut self) -> Option<&'a str> {
        std::str::from_utf8(self.bytes()?).ok()
    }

    pub(super) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_and_every_text_is_read_back_as_it_was_written() {
        let signed = [0, 1, -1, 63, -64, 64, i64::MAX, i64::MIN];
        let unsigned = [0, 1, 0x7F, 0x80, u64::from(u32::MAX), u64::MAX];
        let mut bytes = Vec::new();
        signed
            .iter()
            .for_each(|&number| put_signed(&mut bytes, number));
        unsigned.iter().for_each(|&number| put(&mut bytes, number));
        put_optional(&mut bytes, None);
        put_optional(&mut bytes, Some(-7));
        put_bytes(&mut bytes, b"text");
        let mut decoder = Decoder(&bytes);
        for number in signed {
            assert_eq!(decoder.signed(), Some(number));
        }
        for number in unsigned {
            assert_eq!(decoder.number(), Some(number));
        }
        assert_eq!(decoder.optional(), Some(None));
        assert_eq!(decoder.optional(), Some(Some(-7)));
        assert_eq!(decoder.text(), Some("text"));
        assert!(decoder.is_empty());
    }

    #[test]
    fn a_number_that_is_cut_short_or_too_long_is_refused() {
        assert_eq!(Decoder(&[]).number(), None);
        assert_eq!(Decoder(&[0x80]).number(), None);
        assert_eq!(Decoder(&[0xFF; 10]).number(), None);
        assert_eq!(Decoder(&[5, 1]).bytes(), None);
    }
}
