//! The bytes of an input: read in blocks, looked at where they stand, hashed as they are done with.
//!
//! The hash is what tells an interrupted import that it is given the same input again. It covers what
//! was read from the first byte on, so that a copy, a moved file or a repeated pipe is recognised, and
//! nothing hangs on names or times.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use ring::digest::{Context, SHA256};

const BLOCK_BYTES: usize = 256 * 1024;
/// How much of the beginning has a hash of its own: an input that cannot be read twice is told from
/// another one by that, while all of it is still at hand.
const HEAD_BYTES: usize = 64 * 1024;

/// An input that is being read.
pub struct Input {
    source: Source,
    /// How many bytes there are, where that is known.
    total: Option<u64>,
    buffer: Vec<u8>,
    /// Up to here the buffer is done with.
    at: usize,
    ended: bool,
    offset: u64,
    /// Of the line that is next, counted from 1.
    line: u64,
    hash: Context,
    /// Of the first [`HEAD_BYTES`] of what is done with.
    head: Context,
}

enum Source {
    /// A regular file, which can be read again.
    File(File),
    /// A pipe, a terminal or the like.
    Stream(Box<dyn Read>),
}

impl Input {
    /// Opens `path`; `-` is standard input.
    pub fn open(path: &Path) -> io::Result<Self> {
        let source = if path == Path::new("-") {
            Source::Stream(Box::new(io::stdin()))
        } else {
            let file = File::open(path)?;
            let about = file.metadata()?;
            if about.is_dir() {
                return Err(io::ErrorKind::IsADirectory.into());
            }
            if about.is_file() {
                Source::File(file)
            } else {
                Source::Stream(Box::new(file))
            }
        };
        let total = match &source {
            Source::File(file) => Some(file.metadata()?.len()),
            Source::Stream(_) => None,
        };
        Ok(Self {
            source,
            total,
            buffer: Vec::new(),
            at: 0,
            ended: false,
            offset: 0,
            line: 1,
            hash: Context::new(&SHA256),
            head: Context::new(&SHA256),
        })
    }

    /// How many bytes there are in all; `None` for what is no file.
    pub fn total(&self) -> Option<u64> {
        self.total
    }

    /// How many bytes are done with.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// The number of the line that the next byte stands in, from 1 on.
    pub fn line(&self) -> u64 {
        self.line
    }

    /// What was read and is not done with.
    pub fn ahead(&self) -> &[u8] {
        &self.buffer[self.at..]
    }

    /// Whether nothing comes behind [`ahead`](Self::ahead).
    pub fn has_ended(&self) -> bool {
        self.ended
    }

    /// Reads more.
    pub fn read_more(&mut self) -> io::Result<()> {
        if self.at > 0 {
            self.buffer.drain(..self.at);
            self.at = 0;
        }
        let known = self.buffer.len();
        self.buffer.resize(known + BLOCK_BYTES, 0);
        let read = loop {
            let room = &mut self.buffer[known..];
            let read = match &mut self.source {
                Source::File(file) => file.read(room),
                Source::Stream(stream) => stream.read(room),
            };
            match read {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                read => break read,
            }
        };
        self.buffer
            .truncate(known + read.as_ref().map_or(0, |read| *read));
        self.ended = read? == 0;
        Ok(())
    }

    /// The next `bytes` are done with.
    pub fn consume(&mut self, bytes: usize) {
        let done = &self.buffer[self.at..self.at + bytes];
        self.hash.update(done);
        let of_head = HEAD_BYTES.saturating_sub(usize::try_from(self.offset).unwrap_or(HEAD_BYTES));
        self.head.update(&done[..of_head.min(bytes)]);
        self.line += done.iter().filter(|&&byte| byte == b'\n').count() as u64;
        self.offset += bytes as u64;
        self.at += bytes;
    }

    /// The hash of all that is done with.
    pub fn hash(&self) -> String {
        hex(self.hash.clone())
    }

    /// The hash of the first bytes that are done with, at most [`HEAD_BYTES`].
    pub fn head_hash(&self) -> String {
        hex(self.head.clone())
    }

    /// What [`head_hash`](Self::head_hash) will be once `offset` bytes are done with; before any are.
    pub fn head_hash_at(&mut self, offset: u64) -> io::Result<String> {
        let wanted = HEAD_BYTES.min(usize::try_from(offset).unwrap_or(HEAD_BYTES));
        self.look_at(wanted)?;
        let mut head = Context::new(&SHA256);
        head.update(&self.ahead()[..wanted.min(self.ahead().len())]);
        Ok(hex(head))
    }

    /// Reads until so many bytes are at hand, or there are no more.
    pub fn look_at(&mut self, bytes: usize) -> io::Result<()> {
        while self.ahead().len() < bytes && !self.ended {
            self.read_more()?;
        }
        Ok(())
    }

    /// Is done with the first `upto` bytes, a block at a time; says whether there were so many.
    pub fn pass(&mut self, upto: u64, mut told: impl FnMut(u64)) -> io::Result<bool> {
        while self.offset < upto {
            let left = usize::try_from(upto - self.offset).unwrap_or(usize::MAX);
            let step = self.ahead().len().min(left);
            if step > 0 {
                self.consume(step);
                told(self.offset);
            } else if self.ended {
                return Ok(false);
            } else {
                self.read_more()?;
            }
        }
        Ok(true)
    }

    /// Begins anew, if that is possible: with what is no file only while nothing was consumed.
    pub fn rewind(&mut self) -> io::Result<bool> {
        if self.offset == 0 {
            return Ok(true);
        }
        let Source::File(file) = &mut self.source else {
            return Ok(false);
        };
        file.seek(SeekFrom::Start(0))?;
        self.buffer.clear();
        (self.at, self.ended, self.offset, self.line) = (0, false, 0, 1);
        self.hash = Context::new(&SHA256);
        self.head = Context::new(&SHA256);
        Ok(true)
    }
}

fn hex(hash: Context) -> String {
    let digest = hash.finish();
    digest
        .as_ref()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}
