//! Checks of single members in raw JSON: strings, and the `event_value` that is kept byte for byte.

use std::borrow::Cow;

use super::walk::not_json;
use crate::error::Error;
use crate::event::invalid::invalid;

/// How deep arrays and objects of an `event_value` may nest. Common JSON parsers stop at 128.
pub(super) const MAX_DEPTH: usize = 100;

/// The text of a member that must be a string.
pub(super) fn string_member<'a>(member: &str, raw: Option<&'a str>) -> Result<Cow<'a, str>, Error> {
    let raw = raw.ok_or_else(|| invalid(format!("{member}: is missing")))?;
    let inside = raw.strip_prefix('"').and_then(|raw| raw.strip_suffix('"'));
    match inside {
        Some(inside) if !inside.as_bytes().contains(&b'\\') => Ok(Cow::Borrowed(inside)),
        Some(_) => match serde_json::from_str(raw) {
            Ok(text) => Ok(Cow::Owned(text)),
            Err(_) => Err(invalid(format!("{member}: {LONE_SURROGATE}"))),
        },
        None if member == "token" => Err(invalid("token: is not a string")),
        None => Err(invalid(format!(
            "{member}: {} is not a string",
            shortened(raw)
        ))),
    }
}

/// Raw JSON for a message, cut as by [`quoted`](crate::spelling::quoted) but without more quotes.
fn shortened(raw: &str) -> Cow<'_, str> {
    match raw.char_indices().nth(40) {
        Some((cut, _)) => Cow::Owned(format!("{}...", &raw[..cut])),
        None => Cow::Borrowed(raw),
    }
}

const LONE_SURROGATE: &str = r"holds half a character (a lone \uD800 to \uDFFF)";

/// Refuses JSON that follows the grammar but that many parsers cannot read, because it would make a
/// whole request fail.
pub(super) fn check_event_value(raw: &str) -> Result<(), Error> {
    let is_text = raw.starts_with('"');
    if is_text && !raw.as_bytes().contains(&b'\\') {
        return Ok(());
    }
    let mut rest = raw.as_bytes();
    let mut depth = 0_usize;
    let mut in_string = false;
    while let Some((&byte, after)) = rest.split_first() {
        match byte {
            b'-' | b'0'..=b'9' if !in_string => {
                rest = check_number(rest)?;
                continue;
            }
            _ => rest = after,
        }
        match byte {
            b'\\' => {
                rest = check_escape(rest)
                    .ok_or_else(|| invalid(format!("event_value: {LONE_SURROGATE}")))?;
            }
            b'"' => in_string = !in_string,
            b'[' | b'{' if !in_string => depth += 1,
            b']' | b'}' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > MAX_DEPTH {
            return Err(invalid(format!(
                "event_value: nests deeper than {MAX_DEPTH} levels"
            )));
        }
    }
    Ok(())
}

/// What follows a number, which must be one that a double can hold: many parsers refuse a whole request because
/// of 1e400, and make 0 of 1e-400.
fn check_number(raw: &[u8]) -> Result<&[u8], Error> {
    /// A double has 308 digits before the point at most. A shorter number without an exponent needs no check.
    const SAFE_DIGITS: usize = 300;
    let mut length = 0;
    let mut has_exponent = false;
    while let Some(b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E') = raw.get(length) {
        has_exponent |= raw[length] | 0x20 == b'e';
        length += 1;
    }
    let (number, rest) = raw.split_at(length);
    if has_exponent || length > SAFE_DIGITS {
        check_range(number)?;
    }
    Ok(rest)
}

#[cold]
fn check_range(number: &[u8]) -> Result<(), Error> {
    let text = std::str::from_utf8(number).unwrap_or_default();
    let double = text.parse().unwrap_or(f64::NAN);
    let digits = number.split(|&byte| byte | 0x20 == b'e').next();
    let is_zero =
        digits.is_none_or(|digits| !digits.iter().any(|digit| (b'1'..=b'9').contains(digit)));
    if double.is_finite() && (double != 0.0 || is_zero) {
        return Ok(());
    }
    let shown = shortened(text);
    Err(invalid(format!(
        "event_value: {shown} is a number that no double holds; send it as a string"
    )))
}

/// Refuses a long text that nests too deep before anything of it is read: the parser would read all of it first.
pub(super) fn check_depth(text: &str) -> Result<(), Error> {
    /// A shorter text is read in no time, however deep it nests.
    const LONG_BYTES: usize = 1 << 20;
    /// What the parser would refuse, too. Below that, the event is refused by its number.
    const PARSER_DEPTH: usize = 128;
    if text.len() < LONG_BYTES {
        return Ok(());
    }
    let mut depth = 0_usize;
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'[' | b'{' if depth == PARSER_DEPTH => {
                return Err(not_json(format!("nests deeper than {MAX_DEPTH} levels")));
            }
            b'[' | b'{' => depth += 1,
            b']' | b'}' => depth = depth.saturating_sub(1),
            b'"' => loop {
                match bytes.next() {
                    Some(b'\\') => drop(bytes.next()),
                    Some(b'"') | None => break,
                    Some(_) => {}
                }
            },
            _ => {}
        }
    }
    Ok(())
}

/// What follows an escape whose backslash was read; `None` if the escape is half a character.
fn check_escape(escape: &[u8]) -> Option<&[u8]> {
    let Some(unit) = utf16_unit(escape) else {
        return escape.get(1..);
    };
    match unit {
        0xD800..=0xDBFF => {
            let second = escape.get(5..)?.strip_prefix(b"\\")?;
            matches!(utf16_unit(second), Some(0xDC00..=0xDFFF)).then(|| &second[5..])
        }
        0xDC00..=0xDFFF => None,
        _ => escape.get(5..),
    }
}

/// The number in `uXXXX`.
fn utf16_unit(escape: &[u8]) -> Option<u16> {
    let digits = escape.strip_prefix(b"u")?.get(..4)?;
    u16::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}
