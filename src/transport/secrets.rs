//! Cuts the bearer token and the proxy's password out of every text that comes from outside.
//!
//! A server or a proxy may repeat what it was sent, in a message, a code, or a certificate's name, and such texts
//! reach the store, the log and the lists. So they are cut here, before they leave the transport. A secret
//! is found as it is, in base64 and in hex, each also escaped as in JSON, URLs and HTML, in any case, and broken
//! into lines. A server that wants to publish the token finds another way to write it; this is about servers
//! that quote.
//!
//! Secrets are known here by keyed hashes of 61 bits, from which no token can be told. So earlier tokens are cut
//! too, and are still wiped from memory.

use std::collections::VecDeque;
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
/// How many tokens are known: the current one and those before it.
const TOKENS: usize = 4;
/// How often escapes are undone: JSON in a string of JSON that is part of a URL.
const LAYERS: usize = 4;

const PRIME: u64 = (1 << 61) - 1;

/// The secrets of one transport.
pub(super) struct Secrets(Mutex<State>);

#[derive(Default)]
struct State {
    /// The key of the hashes; 0 until the first secret is known.
    base: u64,
    password: Option<Vec<Form>>,
    tokens: VecDeque<Vec<Form>>,
}

/// One way to write a secret.
#[derive(PartialEq)]
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

    /// From now on `token` is cut, and so are the last ones before it.
    pub(super) fn remember_token(&self, token: &str) {
        let mut state = lock(&self.0);
        let forms = state.forms(token);
        if state.tokens.contains(&forms) {
            return;
        }
        state.tokens.truncate(TOKENS - 1);
        state.tokens.push_front(forms);
    }

    /// From now on `password` is cut.
    pub(super) fn remember_password(&self, password: Option<&str>) {
        let mut state = lock(&self.0);
        if state.password.is_none() {
            let forms = password.map(|password| state.forms(password));
            state.password = Some(forms.unwrap_or_default());
        }
    }

    /// `text` without the secrets.
    pub(super) fn cut_text(&self, text: String) -> String {
        let cut = self.cut(text.into_bytes());
        String::from_utf8(cut).unwrap_or_else(|e| String::from_utf8_lossy(e.as_bytes()).into())
    }

    /// `text` without the secrets. JSON stays JSON, because an escape is cut as a whole.
    pub(super) fn cut(&self, text: Vec<u8>) -> Vec<u8> {
        let state = lock(&self.0);
        let mut is_secret = vec![false; text.len()];
        let mut layer = Layer::of(&text);
        let mut escapes: Option<Layer> = None;
        for _ in 0..=LAYERS {
            let forms = state.password.iter().chain(&state.tokens).flatten();
            layer.find(forms, state.base, &text, &mut is_secret);
            let Some(next) = layer.undo_escapes() else {
                break;
            };
            layer = next;
            escapes.get_or_insert_with(|| layer.clone());
        }
        if !is_secret.contains(&true) {
            return text;
        }
        for range in escapes.iter().flat_map(|escapes| &escapes.from) {
            let range = range.0 as usize..range.1 as usize;
            if is_secret[range.clone()].contains(&true) {
                is_secret[range].fill(true);
            }
        }
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
    fn forms(&mut self, secret: &str) -> Vec<Form> {
        if self.base == 0 {
            self.base = random_u64() % (PRIME - 512) + 256;
        }
        let mut forms = Vec::new();
        if secret.len() < MIN_BYTES || API_WORDS.contains(&secret.to_ascii_lowercase()) {
            return forms;
        }
        let secret = secret.as_bytes();
        self.add_forms(secret, &mut forms);
        for skipped in 0..3 {
            self.add_forms(&base64_core(secret, skipped), &mut forms);
        }
        let hex = |byte: &u8| {
            [byte >> 4, byte & 0xF].map(|digit| b"0123456789abcdef"[usize::from(digit)])
        };
        let hex: Zeroizing<Vec<u8>> = Zeroizing::new(secret.iter().flat_map(hex).collect());
        self.add_forms(&hex, &mut forms);
        forms
    }

    fn add_forms(&self, written: &[u8], forms: &mut Vec<Form>) {
        let heads = (written.len() >= MIN_BYTES_WITH_HEAD).then_some(HEAD_BYTES);
        for bytes in std::iter::once(written.len()).chain(heads) {
            let folded = written[..bytes].iter().map(|&byte| fold(byte));
            let hash = folded.fold(0, |hash, byte| push(hash, self.base, byte));
            let is_head = bytes < written.len();
            forms.push(Form {
                bytes,
                hash,
                is_head,
            });
        }
    }
}

/// A text with some of its escapes undone, and where in the original each byte is from.
#[derive(Clone)]
struct Layer {
    bytes: Vec<u8>,
    from: Vec<(u32, u32)>,
}

impl Layer {
    fn of(text: &[u8]) -> Self {
        let from = (0..text.len() as u32).map(|at| (at, at + 1)).collect();
        Self {
            bytes: text.to_vec(),
            from,
        }
    }

    /// Marks where one of `forms` stands, whatever blanks and line breaks are in between.
    fn find<'f>(
        &self,
        forms: impl Iterator<Item = &'f Form>,
        base: u64,
        text: &[u8],
        is_secret: &mut [bool],
    ) {
        let is_looked_at = |at: &usize| is_visible(self.bytes[*at]);
        let visible: Vec<usize> = (0..self.bytes.len()).filter(is_looked_at).collect();
        // The hash of everything before each place. The hash of a piece follows from two of them.
        let mut before = vec![0];
        let mut hash = 0;
        for &at in &visible {
            hash = push(hash, base, fold(self.bytes[at]));
            before.push(hash);
        }
        for form in forms {
            let power = (0..form.bytes).fold(1, |power, _| multiply(power, base));
            for (first, ends) in before.windows(form.bytes + 1).enumerate() {
                let hash = add(ends[form.bytes], PRIME - multiply(ends[0], power));
                if hash != form.hash {
                    continue;
                }
                let start = self.from[visible[first]].0 as usize;
                let mut end = self.from[visible[first + form.bytes - 1]].1 as usize;
                if is_secret[start] && is_secret[end - 1] {
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
    fn undo_escapes(&self) -> Option<Self> {
        let mut next = Self {
            bytes: Vec::with_capacity(self.bytes.len()),
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
fn unescape(text: &[u8]) -> Option<(u8, usize)> {
    let number = |digits: &[u8], radix| {
        let digits = std::str::from_utf8(digits).ok()?;
        u32::from_str_radix(digits, radix).ok()
    };
    let ascii = |code: u32| u8::try_from(code).ok().filter(u8::is_ascii).unwrap_or(0);
    match *text {
        [b'\\', b'u', ref rest @ ..] => Some((ascii(number(rest.get(..4)?, 16)?), 6)),
        [b'\\', b'x', ref rest @ ..] => Some((ascii(number(rest.get(..2)?, 16)?), 4)),
        [b'\\', b'n' | b'r' | b't' | b'b' | b'f', ..] => Some((0, 2)),
        [b'\\', escaped, ..] => Some((escaped, 2)),
        [b'%', ref rest @ ..] => Some((ascii(number(rest.get(..2)?, 16)?), 3)),
        [b'&', ref rest @ ..] => {
            let end = rest.iter().take(8).position(|&byte| byte == b';')?;
            let byte = match &rest[..end] {
                [b'#', b'x' | b'X', digits @ ..] => ascii(number(digits, 16)?),
                [b'#', digits @ ..] => ascii(number(digits, 10)?),
                b"amp" => b'&',
                b"lt" => b'<',
                b"gt" => b'>',
                b"quot" => b'"',
                _ => return None,
            };
            Some((byte, end + 2))
        }
        _ => None,
    }
}

/// The characters of base64 that `secret` alone decides, behind `skipped` bytes of another text.
fn base64_core(secret: &[u8], skipped: usize) -> Zeroizing<Vec<u8>> {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let bit = |at: usize| (secret[at / 8] >> (7 - at % 8)) & 1;
    // The first character that has no bit of the bytes before.
    let first = (6 - skipped * 8 % 6) % 6;
    let count = (secret.len() * 8 - first) / 6;
    let core = (0..count).map(|character| {
        let at = first + character * 6;
        let digit = (at..at + 6).fold(0, |digit, at| digit << 1 | bit(at));
        DIGITS[usize::from(digit)]
    });
    Zeroizing::new(core.collect())
}

/// One byte for all ways to write a character: in any case, in either alphabet of base64.
fn fold(byte: u8) -> u8 {
    match byte {
        b'-' => b'+',
        b'_' => b'/',
        byte => byte.to_ascii_lowercase(),
    }
}

fn is_visible(byte: u8) -> bool {
    byte > b' ' && byte != 0x7F
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
