//! Standard output: in colours or not, for people or for programs, and gone without a word when the
//! reader of a pipe has seen enough.

pub mod event_rows;
pub mod log;
pub mod pauses;

use std::ffi::OsString;
use std::fmt::Display;
use std::io::{self, BufWriter, ErrorKind, IsTerminal, Stdout, Write};

use clap::builder::styling::{AnsiColor, Style};

use crate::failure::{FAILED, Failure};

/// When output is coloured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Colour {
    /// On a terminal, unless NO_COLOR is set.
    Auto,
    /// Also into a pipe or a file.
    Always,
    /// Never.
    Never,
}

/// How a command prints.
#[derive(Debug, clap::Args)]
pub struct OutputOptions {
    /// Print a JSON object a line, for jq and other programs
    #[arg(long)]
    pub json: bool,
    /// Print and read times in UTC instead of this host's time zone
    #[arg(long)]
    pub utc: bool,
    /// When to use colours; auto: on a terminal, unless NO_COLOR is set
    #[arg(long, value_enum, value_name = "WHEN", default_value_t = Colour::Auto)]
    pub color: Colour,
}

/// What a text is, and so how it looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    /// All is well.
    Good,
    /// Somebody should look.
    Warning,
    /// Somebody has to act.
    Bad,
    /// What names something else.
    Label,
}

/// Standard output, buffered.
pub struct Output {
    out: BufWriter<Stdout>,
    coloured: bool,
}

impl OutputOptions {
    /// For what is JSON anyway.
    pub fn plain_json() -> Self {
        Self {
            json: true,
            utc: false,
            color: Colour::Never,
        }
    }

    /// Standard output as these options want it.
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
        }
    }
}

fn wants_colour() -> bool {
    let is_set = |value: Option<OsString>| value.is_some_and(|value| !value.is_empty());
    let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    !is_set(std::env::var_os("NO_COLOR")) && !dumb
}

impl Output {
    /// A line.
    pub fn line(&mut self, text: impl AsRef<str>) -> Result<(), Failure> {
        let written = writeln!(self.out, "{}", text.as_ref());
        self.told(written)
    }

    /// `text` in the colour of its tone, where there are colours.
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

    /// Has the reader see all that was written.
    pub fn flush(&mut self) -> Result<(), Failure> {
        let flushed = self.out.flush();
        self.told(flushed)
    }

    fn told(&self, outcome: io::Result<()>) -> Result<(), Failure> {
        outcome.map_err(|e| match e.kind() {
            ErrorKind::BrokenPipe => Failure::quiet(),
            _ => Failure::new(
                FAILED,
                format!("standard output: {e}; what follows is missing there"),
            ),
        })
    }
}

/// Says on standard output what a command has done or found. Where its reader is gone the act is done
/// all the same, so that is no failure and the command goes on.
pub fn say(text: impl Display) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    let said = writeln!(out, "{text}").and_then(|()| out.flush());
    match said {
        Err(e) if e.kind() != ErrorKind::BrokenPipe => Err(Failure::new(
            FAILED,
            format!(
                "standard output: {e}; what was done stays done, but the words for it are missing there; let it write elsewhere"
            ),
        )),
        _ => Ok(()),
    }
}

/// Says on standard error what somebody should know. Where nobody can be told there is nothing to tell.
pub fn complain(text: impl Display) {
    let _ = writeln!(io::stderr(), "{text}");
}

/// Text from elsewhere, without what would steer a terminal.
pub fn plain(text: &str) -> String {
    let is_bidi = |c: char| matches!(c, '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}');
    text.chars()
        .map(|c| {
            if c.is_control() || is_bidi(c) {
                '\u{FFFD}'
            } else {
                c
            }
        })
        .collect()
}

/// A number as people read it: `12,480`.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `1 event`, `12,480 events`.
pub fn events(number: u64) -> String {
    let s = if number == 1 { "" } else { "s" };
    format!("{} event{s}", grouped(number))
}

/// Bytes in the unit that suits them.
pub fn bytes(number: u64) -> String {
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
