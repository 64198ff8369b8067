//! JSON strings: one canonical way to escape, so that equal texts are equal bytes.
//!
//! The store looks a user up by the escaped bytes inside fragments and never decodes them. That
//! only works because every text is escaped here, also one that arrived as JSON with other
//! escapes: what needs no escape is never escaped, and what has a short escape never takes the long.

/// For each byte: 0 if it stands for itself, the letter of its short escape, or `u` for `\u00XX`.
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

/// Appends `text` as it stands between the quotes of a JSON string.
pub(super) fn push(text: &str, out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let bytes = text.as_bytes();
    let mut copied = 0;
    for (at, &byte) in bytes.iter().enumerate() {
        let escape = ESCAPES[usize::from(byte)];
        if escape == 0 {
            continue;
        }
        out.extend_from_slice(&bytes[copied..at]);
        out.extend_from_slice(&[b'\\', escape]);
        if escape == b'u' {
            let (high, low) = (usize::from(byte >> 4), usize::from(byte & 0xF));
            out.extend_from_slice(&[b'0', b'0', HEX[high], HEX[low]]);
        }
        copied = at + 1;
    }
    out.extend_from_slice(&bytes[copied..]);
}

/// The part of `bytes` before the quote that ends a JSON string, or nothing if none does.
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

/// The text that `escaped` stands for, or nothing if it is not the inside of a JSON string.
pub(super) fn text(escaped: &[u8]) -> Option<String> {
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
        push(text, &mut out);
        out
    }

    #[test]
    fn each_character_has_one_spelling() {
        assert_eq!(
            escaped("a\"\\/\u{8}\t\n\u{c}\r\0\u{1f}\u{7f}\u{20ac}"),
            "a\\\"\\\\/\\b\\t\\n\\f\\r\\u0000\\u001f\u{7f}\u{20ac}".as_bytes()
        );
    }

    proptest! {
        #[test]
        fn every_text_comes_back(original: String) {
            prop_assert_eq!(text(&escaped(&original)), Some(original));
        }

        #[test]
        fn the_end_of_a_string_is_found_behind_any_text(original: String, rest: String) {
            let inside = escaped(&original);
            let bytes = [&inside, b"\"".as_slice(), rest.as_bytes()].concat();
            prop_assert_eq!(until_quote(&bytes), Some(inside.as_slice()));
        }
    }
}
