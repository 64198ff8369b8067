//! What the first bytes of an input tell: what it is, by which separator its fields are read, and whether
//! another input may be the same.

use std::ffi::OsStr;
use std::io;
use std::path::Path;

use meditopia::internals::spelling::shell_word;
use ring::digest::{SHA256, digest};

use super::input::{Input, hex};
use super::splitter::Format;

pub const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();
/// A beginning without line breaks has at most so many bytes. It is short, so that slow input is not held up.
const BYTES_MAX: usize = 4 * 1024;
/// How many bytes show that every second one of them is NUL.
const UTF_16_SAMPLE: usize = 64;

/// What other files are known by, and the program that makes text of them.
const NO_TEXT: [(&[u8], &str, &str); 5] = [
    (b"\xff\xfe", "UTF-16", FROM_UTF_16),
    (b"\xfe\xff", "UTF-16", FROM_UTF_16),
    (b"\x28\xb5\x2f\xfd", "compressed by zstd", "zstdcat"),
    (b"\xfd7zXZ", "compressed by xz", "xzcat"),
    (b"BZh", "compressed by bzip2", "bzcat"),
];
const FROM_UTF_16: &str = "iconv -f UTF-16 -t UTF-8";
const ZIP: &[u8] = b"PK\x03\x04";
/// What the names of packed files end in.
const PACKED: [&str; 4] = ["gz", "zst", "xz", "bz2"];

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

    /// Why the input is no text in UTF-8, and what to do about it. `file`: the input, unless it is standard input.
    pub fn no_text(&self, file: Option<&Path>, is_gzip: bool) -> Option<String> {
        let starts = |(magic, ..): &&(&[u8], _, _)| self.0.starts_with(magic);
        if self.0.starts_with(ZIP) {
            return Some(
                "this is no text in UTF-8, but a ZIP file or a spreadsheet; unpack it with unzip, or export it as CSV"
                    .to_owned(),
            );
        }
        let remedy = |program: &str| match file {
            Some(file) => format!("convert it: {}", conversion(program, file, is_gzip)),
            None => format!("have it go through {program} first"),
        };
        if let Some((_, what, program)) = NO_TEXT.iter().find(starts) {
            return Some(format!(
                "this is no text in UTF-8, but {what}; {}",
                remedy(program)
            ));
        }
        let sample = &self.0[..self.0.len().min(UTF_16_SAMPLE)];
        let all_nul = |from: usize| sample.iter().skip(from).step_by(2).all(|byte| *byte == 0);
        let is_utf_16 = sample.len() >= 4 && all_nul(0) != all_nul(1);
        // The first character is ASCII.
        let program = match all_nul(1) {
            true => "iconv -f UTF-16LE -t UTF-8",
            false => "iconv -f UTF-16BE -t UTF-8",
        };
        is_utf_16.then(|| {
            format!(
                "this looks like UTF-16, and has to be UTF-8; {}",
                remedy(program)
            )
        })
    }
}

/// The command that makes a file beside this one, of which the name says that it is text.
fn conversion(program: &str, file: &Path, is_gzip: bool) -> String {
    let is_packed = |name: &OsStr| PACKED.iter().any(|packed| name == *packed);
    let name = match file.extension().is_some_and(is_packed) {
        true => file.file_stem(),
        false => file.file_name(),
    };
    let name = format!("utf-8-{}", name.unwrap_or_default().display());
    let (file, to) = [file, &file.with_file_name(name)]
        .map(|path| shell_word(&path.display().to_string()))
        .into();
    match is_gzip {
        true => format!("zcat {file} | {program} > {to}"),
        false => format!("{program} {file} > {to}"),
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
