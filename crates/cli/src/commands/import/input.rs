//! The bytes of an input: read in blocks, used in place, and hashed as they are consumed.
//!
//! By the hash an interrupted import recognises its input. It covers all bytes from the first one
//! on, so a copy, a moved file or a repeated pipe is recognised, whatever its name and its times
//! are. Of what gzip has compressed it covers the text, so packed and unpacked it is the same input.

use std::fs::File;
use std::io::{self, BufReader, Cursor, ErrorKind, Read, Seek};
use std::os::unix::fs::FileExt;
use std::path::Path;

use flate2::read::MultiGzDecoder;
use ring::digest::{Context, SHA256};

const BLOCK_BYTES: usize = 256 * 1024;
/// The beginning of the input has a hash of its own. An input that cannot be read twice is
/// recognised by that while the whole beginning is still in the buffer.
const HEAD_BYTES: usize = 64 * 1024;
/// The first bytes of what gzip has compressed.
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// An input that is being read.
pub struct Input {
    source: Source,
    /// The number of bytes, if it is known.
    total: Option<u64>,
    buffer: Vec<u8>,
    /// The bytes of the buffer up to here are consumed.
    consumed: usize,
    ended: bool,
    offset: u64,
    /// The number of the line with the next byte, counted from 1.
    line: u64,
    /// The hash of all consumed bytes.
    hash: Context,
    /// The hash of the first [`HEAD_BYTES`] of them.
    head: Context,
    /// Where the hash is to be noted.
    note_at: Option<u64>,
    /// What it was there.
    noted: Option<String>,
    is_gzip: bool,
}

/// A position in an input, and the hashes of the bytes before it.
#[derive(Clone)]
pub struct Mark {
    pub offset: u64,
    hash: Context,
    head: Context,
}

impl Mark {
    /// The hash of all bytes before it.
    pub fn hash(&self) -> String {
        finish(&self.hash)
    }

    /// The hash of the first of them, at most [`HEAD_BYTES`].
    pub fn head_hash(&self) -> String {
        finish(&self.head)
    }
}

enum Source {
    /// A regular file, which can be read again.
    File(File),
    /// A regular file that gzip has compressed.
    GzipFile(Box<MultiGzDecoder<BufReader<File>>>),
    /// A pipe, a terminal or the like.
    Stream(Box<dyn Read>),
}

impl Input {
    /// Opens `path`; `-` is standard input.
    pub fn open(path: &Path) -> io::Result<Self> {
        let (source, total, is_gzip) = match path == Path::new("-") {
            true => stream(Box::new(io::stdin()))?,
            false => {
                let file = File::open(path)?;
                let metadata = file.metadata()?;
                if metadata.is_dir() {
                    return Err(ErrorKind::IsADirectory.into());
                }
                let mut first = [0; GZIP.len()];
                if !metadata.is_file() {
                    stream(Box::new(file))?
                } else if file.read_at(&mut first, 0)? == first.len() && first == GZIP {
                    let unpacked = MultiGzDecoder::new(BufReader::new(file));
                    (Source::GzipFile(Box::new(unpacked)), None, true)
                } else {
                    (Source::File(file), Some(metadata.len()), false)
                }
            }
        };
        Ok(Self {
            source,
            total,
            buffer: Vec::new(),
            consumed: 0,
            ended: false,
            offset: 0,
            line: 1,
            hash: Context::new(&SHA256),
            head: Context::new(&SHA256),
            note_at: None,
            noted: None,
            is_gzip,
        })
    }

    /// Whether gzip has compressed the input.
    pub fn is_gzip(&self) -> bool {
        self.is_gzip
    }

    /// Whether the input is a file, which has an end whoever writes it.
    pub fn is_file(&self) -> bool {
        !matches!(self.source, Source::Stream(_))
    }

    /// The number of bytes of the input; `None` if that is not known.
    pub fn total(&self) -> Option<u64> {
        self.total
    }

    /// How many bytes are consumed.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// The number of the line with the next byte, counted from 1.
    pub fn line(&self) -> u64 {
        self.line
    }

    /// The bytes that were read and are not consumed yet.
    pub fn buffered(&self) -> &[u8] {
        &self.buffer[self.consumed..]
    }

    /// Whether [`buffered`](Self::buffered) holds the last bytes of the input.
    pub fn has_ended(&self) -> bool {
        self.ended
    }

    /// Reads another block.
    pub fn read_more(&mut self) -> io::Result<()> {
        if self.consumed > 0 {
            self.buffer.drain(..self.consumed);
            self.consumed = 0;
        }
        let length = self.buffer.len();
        self.buffer.resize(length + BLOCK_BYTES, 0);
        let read = loop {
            let block = &mut self.buffer[length..];
            let read = match &mut self.source {
                Source::File(file) => file.read(block),
                Source::GzipFile(unpacked) => unpacked.read(block),
                Source::Stream(stream) => stream.read(block),
            };
            match read {
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                read => break read,
            }
        };
        self.buffer
            .truncate(length + read.as_ref().map_or(0, |read| *read));
        self.ended = read? == 0;
        Ok(())
    }

    /// Consumes the next `bytes`.
    pub fn consume(&mut self, bytes: usize) {
        let consumed = &self.buffer[self.consumed..self.consumed + bytes];
        let until_note = self.note_at.and_then(|at| at.checked_sub(self.offset));
        let until_note = until_note.and_then(|left| usize::try_from(left).ok());
        match until_note.filter(|left| *left <= bytes) {
            Some(left) => {
                self.hash.update(&consumed[..left]);
                self.noted = Some(finish(&self.hash));
                self.note_at = None;
                self.hash.update(&consumed[left..]);
            }
            None => self.hash.update(consumed),
        }
        let of_head = HEAD_BYTES.saturating_sub(usize::try_from(self.offset).unwrap_or(HEAD_BYTES));
        self.head.update(&consumed[..of_head.min(bytes)]);
        self.line += consumed.iter().filter(|&&byte| byte == b'\n').count() as u64;
        self.offset += bytes as u64;
        self.consumed += bytes;
    }

    /// The hash of all consumed bytes.
    pub fn hash(&self) -> String {
        finish(&self.hash)
    }

    /// Has the hash noted of the first `offset` bytes, once they are consumed.
    pub fn note_hash_at(&mut self, offset: u64) {
        self.note_at = Some(offset);
    }

    /// The hash that was noted, if the input has come so far.
    pub fn noted_hash(&self) -> Option<&str> {
        self.noted.as_deref()
    }

    /// The present position.
    pub fn mark(&self) -> Mark {
        Mark {
            offset: self.offset,
            hash: self.hash.clone(),
            head: self.head.clone(),
        }
    }

    /// What [`Mark::head_hash`] will be once `offset` bytes are consumed. Call this
    /// before any are.
    pub fn head_hash_at(&mut self, offset: u64) -> io::Result<String> {
        let wanted = HEAD_BYTES.min(usize::try_from(offset).unwrap_or(HEAD_BYTES));
        self.fill(wanted)?;
        let mut head = Context::new(&SHA256);
        head.update(&self.buffered()[..wanted.min(self.buffered().len())]);
        Ok(finish(&head))
    }

    /// Reads until at least `bytes` are buffered, or the input has ended.
    pub fn fill(&mut self, bytes: usize) -> io::Result<()> {
        while self.buffered().len() < bytes && !self.ended {
            self.read_more()?;
        }
        Ok(())
    }

    /// Consumes the input up to `offset`. Returns whether it is that long.
    pub fn consume_until(&mut self, offset: u64) -> io::Result<bool> {
        while self.offset < offset {
            let left = usize::try_from(offset - self.offset).unwrap_or(usize::MAX);
            let step = self.buffered().len().min(left);
            if step > 0 {
                self.consume(step);
            } else if self.ended {
                return Ok(false);
            } else {
                self.read_more()?;
            }
        }
        Ok(true)
    }

    /// Returns to the first byte, if that is possible: any input while nothing is consumed, else
    /// only a file.
    pub fn rewind(&mut self) -> io::Result<bool> {
        if self.offset == 0 {
            return Ok(true);
        }
        match &mut self.source {
            Source::File(file) => file.rewind()?,
            Source::GzipFile(unpacked) => {
                let mut file = unpacked.get_ref().get_ref().try_clone()?;
                file.rewind()?;
                **unpacked = MultiGzDecoder::new(BufReader::new(file));
            }
            Source::Stream(_) => return Ok(false),
        }
        self.buffer.clear();
        (self.consumed, self.ended, self.offset, self.line) = (0, false, 0, 1);
        self.hash = Context::new(&SHA256);
        self.head = Context::new(&SHA256);
        Ok(true)
    }
}

/// A stream, unpacked if gzip has compressed it: its length is not known.
fn stream(mut bytes: Box<dyn Read>) -> io::Result<(Source, Option<u64>, bool)> {
    let mut first = Vec::new();
    (&mut bytes)
        .take(GZIP.len() as u64)
        .read_to_end(&mut first)?;
    let is_gzip = first == GZIP;
    let whole = Cursor::new(first).chain(bytes);
    let bytes: Box<dyn Read> = match is_gzip {
        true => Box::new(MultiGzDecoder::new(BufReader::new(whole))),
        false => Box::new(whole),
    };
    Ok((Source::Stream(bytes), None, is_gzip))
}

fn finish(hash: &Context) -> String {
    hex(hash.clone().finish().as_ref())
}

/// Bytes as people read them.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
