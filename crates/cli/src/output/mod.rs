//! What commands write: lines for people or JSON for programs, with or without colours.
//!
//! A command whose reader closes the pipe ends silently, as command line tools do.

pub mod event_rows;
pub mod failures;
pub mod figures;
pub mod fleet;
pub mod forwarding;
pub mod log;
pub mod metrics;
pub mod pauses;

use std::ffi::OsString;
use std::fmt::Display;
use std::io::{self, BufWriter, ErrorKind, IsTerminal, Stdout, Write};

use clap::builder::styling::{AnsiColor, Style};
use meditopia::internals::spelling::{escape_unprintable, is_unprintable};

use crate::failure::{FAILED, Failure};

/// When output is coloured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Colour {
    /// On a terminal, unless NO_COLOR is set.
    Auto,
    /// On a terminal, into a pipe and into a file.
    Always,
    /// Never.
    Never,
}

/// The options that say how a command prints.
#[derive(Debug, clap::Args)]
pub struct OutputOptions {
    /// Print one JSON object per line, for jq and other programs
    #[arg(long)]
    pub json: bool,
    /// Print and read times in UTC instead of this host's time zone
    #[arg(long)]
    pub utc: bool,
    /// When to use colours; auto means on a terminal, unless NO_COLOR is set
    #[arg(long, value_enum, value_name = "WHEN", default_value_t = Colour::Auto)]
    pub color: Colour,
}

/// What a text means to the reader, which decides its colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    /// All is well.
    Good,
    /// An operator should look.
    Warning,
    /// An operator has to act.
    Bad,
    /// The name of a field or column.
    Label,
}

/// Standard output, buffered.
pub struct Output {
    out: BufWriter<Stdout>,
    coloured: bool,
    json: bool,
}

/// Begins a change of colour.
const ESCAPE: char = '\u{1b}';

impl OutputOptions {
    /// The options of a command that can only print JSON.
    pub fn plain_json() -> Self {
        Self {
            json: true,
            utc: false,
            color: Colour::Never,
        }
    }

    /// Standard output, set up for these options.
    pub fn open(&self) -> Output {
        let out = io::stdout();
        let coloured = match self.color {
            Colour::Always => true,
            Colour::Never => false,
            Colour::Auto => out.is_terminal() && wants_colour(),
        };
        Output {
            out: BufWriter::new(out),
            coloured,
            json: self.json,
        }
    }
}

fn wants_colour() -> bool {
    let is_set = |value: Option<OsString>| value.is_some_and(|value| !value.is_empty());
    let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    !is_set(std::env::var_os("NO_COLOR")) && !dumb
}

impl Output {
    /// Writes a line.
    pub fn line(&mut self, text: impl AsRef<str>) -> Result<(), Failure> {
        let text = match (self.json, self.coloured) {
            (true, _) => shown_json(text.as_ref()),
            (false, true) => shown(text.as_ref(), &['\n', ESCAPE]),
            (false, false) => shown(text.as_ref(), &['\n']),
        };
        let written = writeln!(self.out, "{text}");
        check_written(written)
    }

    /// Writes lines that move the cursor. What is foreign in them has to be sanitized.
    pub fn draw(&mut self, lines: &str) -> Result<(), Failure> {
        let written = writeln!(self.out, "{}", shown(lines, &['\n', ESCAPE]));
        check_written(written)
    }

    /// Returns `text` in the colour of `tone`, if the output is coloured.
    pub fn paint(&self, tone: Tone, text: &str) -> String {
        if !self.coloured || text.is_empty() {
            return text.to_owned();
        }
        let colour = |colour: AnsiColor| Style::new().fg_color(Some(colour.into()));
        let style = match tone {
            Tone::Good => colour(AnsiColor::Green),
            Tone::Warning => colour(AnsiColor::Yellow),
            Tone::Bad => colour(AnsiColor::Red).bold(),
            Tone::Label => Style::new().bold(),
        };
        format!("{style}{text}{style:#}")
    }

    /// Passes on everything that is buffered.
    pub fn flush(&mut self) -> Result<(), Failure> {
        let flushed = self.out.flush();
        check_written(flushed)
    }
}

fn check_written(outcome: io::Result<()>) -> Result<(), Failure> {
    outcome.map_err(|e| match e.kind() {
        ErrorKind::BrokenPipe => Failure::reader_gone(),
        _ => Failure::new(
            FAILED,
            format!("standard output: {e}; the output is incomplete"),
        ),
    })
}

/// Prints what a command has done or found.
///
/// If the reader has closed the pipe the command goes on, because what it does is wanted all the
/// same.
pub fn print_line(text: impl Display) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    let text = shown(&text.to_string(), &['\n']);
    let written = writeln!(out, "{text}").and_then(|()| out.flush());
    match written {
        Err(e) if e.kind() != ErrorKind::BrokenPipe => Err(Failure::new(
            FAILED,
            format!(
                "standard output: {e}; what was done stays done, but the report of it is incomplete; write it elsewhere"
            ),
        )),
        _ => Ok(()),
    }
}

/// Prints a message to standard error. If that fails there is no other place to report it.
pub fn print_error(text: impl Display) {
    let text = shown(&text.to_string(), &['\n']);
    let _ = writeln!(io::stderr(), "{text}");
}

/// A foreign text with the characters escaped that cannot be seen, control a terminal or reverse its direction.
pub fn sanitize(text: &str) -> String {
    escape_unprintable(text)
}

/// What is written to a terminal or a file: nothing in it is hidden, wherever a text in it is from. `kept` are
/// characters of this command's own, such as colours and the ends of lines.
pub fn shown(text: &str, kept: &[char]) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        match is_unprintable(c) && !kept.contains(&c) {
            true => shown.extend(c.escape_default()),
            false => shown.push(c),
        }
    }
    shown
}

/// JSON of the same meaning, with such characters escaped as JSON does it.
pub fn shown_json(json: &str) -> String {
    let mut shown = String::with_capacity(json.len());
    for c in json.chars() {
        match is_unprintable(c) {
            true => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    shown.push_str(&format!("\\u{unit:04x}"));
                }
            }
            false => shown.push(c),
        }
    }
    shown
}

/// A number with its digits in groups of three: `12,480`.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `1 event`, `12,480 events`.
pub fn event_count(number: u64) -> String {
    let s = if number == 1 { "" } else { "s" };
    format!("{} event{s}", grouped(number))
}

/// A number of bytes in a fitting unit: `512 bytes`, `1.5 MiB`.
pub fn byte_size(number: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    let mut value = number as f64;
    let mut unit = "bytes";
    for larger in UNITS {
        if value < 1024.0 {
            break;
        }
        value /= 1024.0;
        unit = larger;
    }
    match unit {
        "bytes" => format!("{number} bytes"),
        unit => format!("{value:.1} {unit}"),
    }
}
