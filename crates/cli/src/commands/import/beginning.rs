//! What the first bytes of an input tell: what it is, by which separator its fields are read, and whether
//! another input may be the same.

use std::io;

use ring::digest::{SHA256, digest};

use super::input::{Input, hex};
use super::splitter::Format;

pub const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();
/// A beginning without line breaks has at most so many bytes. It is short, so that slow input is not held up.
const BYTES_MAX: usize = 4 * 1024;
/// How many bytes show that every second one of them is NUL.
const UTF_16_SAMPLE: usize = 64;

/// What other files are known by, and what has to be done to get text.
const NO_TEXT: [(&[u8], &str, &str); 6] = [
    (b"\xff\xfe", "UTF-16", "iconv -f UTF-16 -t UTF-8"),
    (b"\xfe\xff", "UTF-16", "iconv -f UTF-16 -t UTF-8"),
    (
        b"PK\x03\x04",
        "a ZIP file or a spreadsheet",
        "unzip -p, or export it as CSV",
    ),
    (b"\x28\xb5\x2f\xfd", "compressed by zstd", "zstdcat"),
    (b"\xfd7zXZ", "compressed by xz", "xzcat"),
    (b"BZh", "compressed by bzip2", "bzcat"),
];

/// The first record of an input, in CSV with the header before it.
pub struct Beginning(Vec<u8>);

impl Beginning {
    /// Reads the beginning; nothing is consumed.
    pub fn read(input: &mut Input, format: Format) -> io::Result<Self> {
        let lines = match format {
            Format::Ndjson => 1,
            Format::Json | Format::Csv => 2,
        };
        loop {
            let buffered = input.buffered();
            let length = match end_of_lines(buffered, lines) {
                Some(length) => length.min(BYTES_MAX),
                None if buffered.len() >= BYTES_MAX => BYTES_MAX,
                None if input.has_ended() => buffered.len(),
                None => {
                    input.read_more()?;
                    continue;
                }
            };
            return Ok(Self(buffered[..length].to_vec()));
        }
    }

    pub fn bytes(&self) -> &[u8] {
        let bytes = &self.0;
        bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(bytes)
    }

    /// Inputs with the same records begin with the same hash, whatever their line breaks and byte order
    /// mark are. Many other inputs may begin with it, too.
    pub fn sha256(&self) -> String {
        let kept = self.bytes().iter().filter(|byte| **byte != b'\r').copied();
        let kept: Vec<u8> = kept.collect();
        hex(digest(&SHA256, kept.trim_ascii()).as_ref())
    }

    /// Why the input is no text in UTF-8, and what to do about it.
    pub fn no_text(&self) -> Option<String> {
        let starts = |(magic, ..): &&(&[u8], _, _)| self.0.starts_with(magic);
        if let Some((_, what, remedy)) = NO_TEXT.iter().find(starts) {
            return Some(format!(
                "this is no text in UTF-8, but {what}; convert it first: {remedy}"
            ));
        }
        let sample = &self.0[..self.0.len().min(UTF_16_SAMPLE)];
        let all_nul = |from: usize| sample.iter().skip(from).step_by(2).all(|byte| *byte == 0);
        let is_utf_16 = sample.len() >= 4 && all_nul(0) != all_nul(1);
        is_utf_16.then(|| {
            "this looks like UTF-16; convert it to UTF-8 first: iconv -f UTF-16LE -t UTF-8"
                .to_owned()
        })
    }
}

/// Where the first `lines` lines with anything in them end.
fn end_of_lines(buffered: &[u8], lines: usize) -> Option<usize> {
    let mut start = 0;
    let mut found = 0;
    for (at, _) in buffered
        .iter()
        .enumerate()
        .filter(|(_, byte)| **byte == b'\n')
    {
        if !buffered[start..at].trim_ascii().is_empty() {
            found += 1;
        }
        if found == lines {
            return Some(at + 1);
        }
        start = at + 1;
    }
    None
}
