//! Cuts the bearer token and the proxy's password out of every text that comes from outside.
//!
//! A server or a proxy may repeat what it was sent, in a message, a code, or a certificate's name, and such texts
//! reach the store, the log and the lists. So they are cut here, before they leave the transport. A secret
//! is found as it is, in base64 and in hex, each also escaped as in JSON, URLs and HTML, in any case, and broken
//! into lines. A server that wants to publish the token finds another way to write it; this is about servers
//! that quote.
//!
//! Secrets are known here by keyed hashes of 61 bits, so that earlier tokens are cut too, and are still wiped from
//! memory: a search of memory does not find them. But the key lies beside the hashes, and whoever has both can
//! compute candidates for a token.

use std::sync::Mutex;

use secrecy::zeroize::Zeroizing;

use crate::mutex::lock;
use crate::process::random_u64;

/// What stands in place of a secret.
const CUT: &[u8] = b"***";
/// A shorter secret is not looked for: it would be found in ordinary words.
const MIN_BYTES: usize = 4;
/// A secret that stands in here is not looked for either: without these words no answer is understood.
const API_WORDS: &str =
    r#"{"success":false,"errors":[{"code":"a_1000","message":true,null,a_1001,a_1002,a_1004"#;
/// A longer secret is also known by its first bytes, for servers that shorten what they repeat.
const HEAD_BYTES: usize = 16;
const MIN_BYTES_WITH_HEAD: usize = 24;
/// How many secrets are known: the password, the token, and the tokens before it.
const SECRETS: usize = 5;
/// How often escapes are undone: JSON in a string of JSON that is part of a URL.
const LAYERS: usize = 4;

const PRIME: u64 = (1 << 61) - 1;

/// The secrets of one transport.
pub(super) struct Secrets(Mutex<State>);

#[derive(Default)]
struct State {
    /// The key of the hashes; 0 until the first secret is known.
    base: u64,
    /// The last one first.
    known: Vec<Secret>,
}

struct Secret {
    /// Of the secret as it is, to know it again at the next request.
    hash: u64,
    /// Every way to write it.
    forms: Vec<Form>,
}

/// One way to write a secret.
struct Form {
    bytes: usize,
    hash: u64,
    /// Only the beginning of it.
    is_head: bool,
}

impl Secrets {
    pub(super) fn new() -> Self {
        Self(Mutex::default())
    }

    /// From now on `secret` is cut, and so are the last ones before it.
    pub(super) fn remember(&self, secret: &str) {
        let mut state = lock(&self.0);
        if state.base == 0 {
            state.base = random_u64() % (PRIME - 512) + 256;
        }
        let hash = state.hash(secret.bytes());
        if let Some(at) = state.known.iter().position(|known| known.hash == hash) {
            // What is still in use is not the next to be forgotten.
            state.known[..=at].rotate_right(1);
            return;
        }
        let forms = state.forms(secret);
        state.known.truncate(SECRETS - 1);
        state.known.insert(0, Secret { hash, forms });
    }

    /// `text` without the secrets.
    pub(super) fn cut_text(&self, text: String) -> String {
        String::from_utf8_lossy(&self.cut(text.into_bytes())).into_owned()
    }

    /// `text` without the secrets. JSON stays JSON, because an escape is cut as a whole.
    pub(super) fn cut(&self, text: Vec<u8>) -> Vec<u8> {
        if text.is_empty() {
            return text;
        }
        let state = lock(&self.0);
        let mut is_secret = vec![false; text.len()];
        let mut layer = Layer::of(&text);
        for _ in 0..=LAYERS {
            layer.find(&state, &text, &mut is_secret);
            match layer.undo_escapes() {
                Some(next) => layer = next,
                None => break,
            }
        }
        if !is_secret.contains(&true) {
            return text;
        }
        for (start, end) in Layer::of(&text).undo_escapes().unwrap_or(layer).from {
            let escape = &mut is_secret[start as usize..end as usize];
            if escape.contains(&true) {
                escape.fill(true);
            }
        }
        let text = Zeroizing::new(text);
        let mut cut = Vec::with_capacity(text.len());
        for (at, &byte) in text.iter().enumerate() {
            match is_secret[at] {
                false => cut.push(byte),
                true if at == 0 || !is_secret[at - 1] => cut.extend_from_slice(CUT),
                true => {}
            }
        }
        cut
    }
}

impl State {
    /// Every way to write `secret` that is looked for.
    fn forms(&self, secret: &str) -> Vec<Form> {
        let mut forms = Vec::new();
        let lower = Zeroizing::new(secret.to_ascii_lowercase());
        // At least one byte long, as windows have to be.
        let mut words = API_WORDS.as_bytes().windows(lower.len().max(1));
        if secret.len() < MIN_BYTES || words.any(|word| word == lower.as_bytes()) {
            return forms;
        }
        // As it is, in hex, and in base64 behind any number of other bytes.
        for (bits, first) in [(8, 0), (4, 0), (6, 0), (6, 4), (6, 2)] {
            let written = write(secret.as_bytes(), bits, first);
            self.add_form(&written, false, &mut forms);
            if written.len() >= MIN_BYTES_WITH_HEAD {
                self.add_form(&written[..HEAD_BYTES], true, &mut forms);
            }
        }
        forms
    }

    #[inline(never)]
    fn add_form(&self, written: &[u8], is_head: bool, forms: &mut Vec<Form>) {
        forms.push(Form {
            bytes: written.len(),
            hash: self.hash(written.iter().copied().map(fold)),
            is_head,
        });
    }

    fn hash(&self, bytes: impl Iterator<Item = u8>) -> u64 {
        bytes.fold(0, |hash, byte| push(hash, self.base, byte))
    }
}

/// Writes `secret` in digits of so many `bits`, from the first digit that depends on no byte before it.
#[inline(never)]
fn write(secret: &[u8], bits: usize, first: usize) -> Zeroizing<Vec<u8>> {
    const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut written = Zeroizing::new(Vec::with_capacity(secret.len() * 2));
    let mut at = first;
    while at + bits <= secret.len() * 8 {
        let mut digit = 0;
        for at in at..at + bits {
            digit = digit << 1 | (secret[at / 8] >> (7 - at % 8)) & 1;
        }
        written.push(match (bits, digit) {
            (8, byte) => byte,
            (4, 0..=9) => b'0' + digit,
            (4, _) => b'a' + digit - 10,
            (_, digit) => BASE64[usize::from(digit)],
        });
        at += bits;
    }
    written
}

/// A text with some of its escapes undone, and where in the original each byte is from.
struct Layer {
    bytes: Zeroizing<Vec<u8>>,
    from: Vec<(u32, u32)>,
}

impl Layer {
    fn of(text: &[u8]) -> Self {
        let from = (0..text.len() as u32).map(|at| (at, at + 1)).collect();
        Self {
            bytes: Zeroizing::new(text.to_vec()),
            from,
        }
    }

    /// Marks where a secret stands, whatever blanks and line breaks are in it.
    #[inline(never)]
    fn find(&self, state: &State, text: &[u8], is_secret: &mut [bool]) {
        let mut visible = Vec::with_capacity(self.bytes.len());
        // The hash of everything before each place. The hash of a piece follows from two of them.
        let mut before = vec![0];
        let mut hash = 0;
        for (&byte, &from) in self.bytes.iter().zip(&self.from) {
            if byte > b' ' && byte != 0x7F {
                hash = push(hash, state.base, fold(byte));
                before.push(hash);
                visible.push(from);
            }
        }
        for form in state.known.iter().flat_map(|known| &known.forms) {
            let mut power = 1;
            for _ in 0..form.bytes {
                power = multiply(power, state.base);
            }
            for (first, places) in visible.windows(form.bytes).enumerate() {
                let hash = add(
                    before[first + form.bytes],
                    PRIME - multiply(before[first], power),
                );
                let (start, mut end) = (places[0].0 as usize, places[form.bytes - 1].1 as usize);
                if hash != form.hash || is_secret[start] && is_secret[end - 1] {
                    continue;
                }
                while form.is_head && text.get(end).is_some_and(|&byte| is_of_token(byte)) {
                    end += 1;
                }
                is_secret[start..end].fill(true);
            }
        }
    }

    /// The text with its escapes undone once; `None` if there are none.
    #[inline(never)]
    fn undo_escapes(&self) -> Option<Self> {
        let mut next = Self {
            bytes: Zeroizing::new(Vec::with_capacity(self.bytes.len())),
            from: Vec::with_capacity(self.bytes.len()),
        };
        let mut at = 0;
        while at < self.bytes.len() {
            let (byte, length) = unescape(&self.bytes[at..]).unwrap_or((self.bytes[at], 1));
            next.bytes.push(byte);
            next.from
                .push((self.from[at].0, self.from[at + length - 1].1));
            at += length;
        }
        (next.bytes.len() < self.bytes.len()).then_some(next)
    }
}

/// The byte that an escape at the beginning of `text` stands for, and the length of the escape. What is not ASCII
/// becomes a 0, which is not looked at.
#[inline(never)]
fn unescape(text: &[u8]) -> Option<(u8, usize)> {
    // How the digits are introduced, their radix and number, and what ends them.
    let (before, radix, digits, after) = match *text {
        [b'\\', b'u', ..] => (2, 16, 4, 0),
        [b'\\', b'x', ..] => (2, 16, 2, 0),
        [b'%', ..] => (1, 16, 2, 0),
        [b'&', b'#', ref rest @ ..] => {
            let is_hex = matches!(rest, [b'x' | b'X', ..]);
            let end = text.iter().take(10).position(|&byte| byte == b';')?;
            let before = 2 + usize::from(is_hex);
            (
                before,
                if is_hex { 16 } else { 10 },
                end.checked_sub(before)?,
                1,
            )
        }
        [b'\\', b'n' | b'r' | b't' | b'b' | b'f', ..] => return Some((0, 2)),
        [b'\\', escaped, ..] => return Some((escaped, 2)),
        _ => return None,
    };
    let mut code = 0;
    for &digit in text.get(before..before + digits)? {
        code = code * radix + char::from(digit).to_digit(radix)?;
    }
    let byte = u8::try_from(code).ok().filter(u8::is_ascii).unwrap_or(0);
    Some((byte, before + digits + after))
}

/// One byte for all ways to write a character: in any case, in either alphabet of base64.
fn fold(byte: u8) -> u8 {
    match byte {
        b'-' => b'+',
        b'_' => b'/',
        byte => byte.to_ascii_lowercase(),
    }
}

fn is_of_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~+/=".contains(&byte)
}

/// The hash of a text that is one byte longer.
fn push(hash: u64, base: u64, byte: u8) -> u64 {
    add(multiply(hash, base), u64::from(byte) + 1)
}

/// Modulo [`PRIME`].
fn add(one: u64, other: u64) -> u64 {
    let sum = one + other;
    if sum >= PRIME { sum - PRIME } else { sum }
}

/// Modulo [`PRIME`].
fn multiply(one: u64, other: u64) -> u64 {
    let product = u128::from(one) * u128::from(other);
    add(product as u64 & PRIME, (product >> 61) as u64)
}

#[cfg(test)]
mod tests;
