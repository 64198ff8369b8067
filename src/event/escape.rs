//! JSON strings: one canonical way to escape, so that equal texts are equal bytes.
//!
//! The store finds a user by the escaped bytes in fragments and never decodes them. That works
//! because every text is escaped here, even if it arrived as JSON with other escapes: a character
//! that needs no escape is never escaped, and one that has a short escape never takes the long one.

/// For each byte: 0 if it is not escaped, the letter of its short escape, or `u` for `\u00XX`.
static ESCAPES: [u8; 256] = {
    let mut table = [0; 256];
    let mut control = 0;
    while control < 0x20 {
        table[control] = b'u';
        control += 1;
    }
    table[0x08] = b'b';
    table[0x09] = b't';
    table[0x0A] = b'n';
    table[0x0C] = b'f';
    table[0x0D] = b'r';
    table[b'"' as usize] = b'"';
    table[b'\\' as usize] = b'\\';
    table
};

/// A text is not UTF-8.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NotUtf8 {
    pub(super) valid_up_to: usize,
}

/// Appends `text` as it is written between the quotes of a JSON string. If `text` is not UTF-8,
/// `out` then ends with a part of it.
#[inline]
pub(super) fn push(text: &[u8], out: &mut Vec<u8>) -> Result<(), NotUtf8> {
    // ASCII needs no check of UTF-8.
    if plain_len(text, HIGH_BITS) == text.len() {
        out.extend_from_slice(text);
        return Ok(());
    }
    push_parts(text, out)
}

/// The same of a text that may have escapes, and characters beyond ASCII.
#[inline(never)]
fn push_parts(text: &[u8], out: &mut Vec<u8>) -> Result<(), NotUtf8> {
    // The first byte beyond ASCII has the whole rest checked at once.
    let mut unchecked = HIGH_BITS;
    let mut rest = text;
    loop {
        let plain = plain_len(rest, unchecked);
        out.extend_from_slice(&rest[..plain]);
        rest = &rest[plain..];
        let Some(&byte) = rest.first() else {
            return Ok(());
        };
        if byte.is_ascii() {
            push_escape(byte, out);
            rest = &rest[1..];
        } else {
            std::str::from_utf8(rest).map_err(|cause| NotUtf8 {
                valid_up_to: text.len() - rest.len() + cause.valid_up_to(),
            })?;
            unchecked = 0;
        }
    }
}

fn push_escape(byte: u8, out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let escape = ESCAPES[usize::from(byte)];
    out.extend_from_slice(&[b'\\', escape]);
    if escape == b'u' {
        let (high, low) = (usize::from(byte >> 4), usize::from(byte & 0xF));
        out.extend_from_slice(&[b'0', b'0', HEX[high], HEX[low]]);
    }
}

const WORD: usize = size_of::<u64>();
const ONES: u64 = u64::MAX / 0xFF;
const HIGH_BITS: u64 = ONES * 0x80;
const SPACES: u64 = ONES * b' ' as u64;

/// The number of bytes at the start of `text` that need no escape and have none of the bits of
/// `unchecked`.
fn plain_len(text: &[u8], unchecked: u64) -> usize {
    let (words, tail) = text.as_chunks::<WORD>();
    for (at, word) in words.iter().enumerate() {
        let marks = marks(u64::from_le_bytes(*word), unchecked);
        if marks != 0 {
            return at * WORD + marks.trailing_zeros() as usize / 8;
        }
    }
    if tail.is_empty() {
        return text.len();
    }
    // The last word is filled up with bytes that need no escape.
    let last = match text.last_chunk::<WORD>() {
        Some(last) => {
            let before = 8 * (WORD - tail.len());
            u64::from_le_bytes(*last) >> before | SPACES << (64 - before)
        }
        None => {
            let mut last = [b' '; WORD];
            last[..tail.len()].copy_from_slice(tail);
            u64::from_le_bytes(last)
        }
    };
    let plain = (marks(last, unchecked).trailing_zeros() as usize / 8).min(tail.len());
    words.len() * WORD + plain
}

/// Marks the first byte of `word` that needs an escape or has a bit of `unchecked`, in the highest
/// bit of that byte. Marks of later bytes may be wrong.
fn marks(word: u64, unchecked: u64) -> u64 {
    // Subtracting `limit` from a smaller byte sets the highest bit of that byte, unless it was set
    // before.
    let below = |word: u64, limit: u64| word.wrapping_sub(ONES * limit) & !word;
    let equals = |byte: u8| below(word ^ (ONES * u64::from(byte)), 1);
    let escaped = below(word, 0x20) | equals(b'"') | equals(b'\\');
    (escaped | (word & unchecked)) & HIGH_BITS
}

/// The part of `bytes` before the quote that ends a JSON string; `None` if there is no such quote.
pub(super) fn until_quote(bytes: &[u8]) -> Option<&[u8]> {
    let mut at = 0;
    loop {
        match bytes.get(at)? {
            b'"' => return Some(&bytes[..at]),
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
}

/// The text that `escaped` encodes; `None` if it is not the inside of a JSON string.
pub(super) fn unescape(escaped: &[u8]) -> Option<String> {
    let mut json = Vec::with_capacity(escaped.len() + 2);
    json.push(b'"');
    json.extend_from_slice(escaped);
    json.push(b'"');
    serde_json::from_slice(&json).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn escaped(text: &str) -> Vec<u8> {
        let mut out = Vec::new();
        push(text.as_bytes(), &mut out).unwrap();
        out
    }

    /// By the JSON standard, one character at a time.
    fn escaped_slowly(text: &str) -> String {
        text.chars()
            .map(|character| match character {
                '"' | '\\' => format!("\\{character}"),
                '\u{8}' => "\\b".to_owned(),
                '\t' => "\\t".to_owned(),
                '\n' => "\\n".to_owned(),
                '\u{c}' => "\\f".to_owned(),
                '\r' => "\\r".to_owned(),
                '\0'..='\u{1f}' => format!("\\u{:04x}", u32::from(character)),
                _ => character.to_string(),
            })
            .collect()
    }

    #[test]
    fn each_character_is_escaped_in_one_way() {
        assert_eq!(
            escaped("a\"\\/\u{8}\t\n\u{c}\r\0\u{1f}\u{7f}\u{20ac}"),
            "a\\\"\\\\/\\b\\t\\n\\f\\r\\u0000\\u001f\u{7f}\u{20ac}".as_bytes()
        );
    }

    #[test]
    fn every_ascii_byte_is_escaped_correctly_at_every_place_of_a_word() {
        for byte in 0..=0x7F_u8 {
            for place in 0..20 {
                let mut text = [b'x'; 20];
                text[place] = byte;
                let text = std::str::from_utf8(&text).unwrap();
                let found = escaped(text);
                assert_eq!(
                    found,
                    escaped_slowly(text).into_bytes(),
                    "{byte} at {place}"
                );
            }
        }
    }

    proptest! {
        #[test]
        fn every_text_is_escaped_as_the_json_standard_says(text in "([a-z]{0,9}[\\x00-\\x22\\x5c\u{7e}-\u{20ac}]{0,3}){0,6}") {
            prop_assert_eq!(escaped(&text), escaped_slowly(&text).into_bytes());
        }

        #[test]
        fn the_first_byte_that_is_not_utf_8_is_found(
            text in "[a-z\"\u{e4}]{0,30}", foreign in proptest::collection::vec(0x80..=0xFF_u8, 1..4), rest: String,
        ) {
            let bytes = [text.as_bytes(), &foreign, rest.as_bytes()].concat();
            let expected = std::str::from_utf8(&bytes).map(drop).map_err(|cause| NotUtf8 {
                valid_up_to: cause.valid_up_to(),
            });
            prop_assert_eq!(push(&bytes, &mut Vec::new()), expected);
        }

        #[test]
        fn every_text_is_the_same_after_escape_and_unescape(original: String) {
            prop_assert_eq!(unescape(&escaped(&original)), Some(original));
        }

        #[test]
        fn the_end_of_a_json_string_is_found_after_any_text(original: String, rest: String) {
            let inside = escaped(&original);
            let bytes = [&inside, b"\"".as_slice(), rest.as_bytes()].concat();
            prop_assert_eq!(until_quote(&bytes), Some(inside.as_slice()));
        }
    }
}
