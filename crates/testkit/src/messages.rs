//! The texts in the sources of the product: every string literal outside of tests.

use std::fs;
use std::path::{Path, PathBuf};

use crate::repository_path;

/// A string literal of a source file.
#[derive(Debug, Clone)]
pub struct Literal {
    /// The file and the line: `src/error.rs:195`.
    pub place: String,
    /// What it stands for; placeholders are as they are written.
    pub text: String,
    /// The code between the literal before and this one.
    pub code_before: String,
}

/// All literals of the Rust sources below a directory of the repository.
pub fn literals(below: &str) -> Vec<Literal> {
    let mut files = Vec::new();
    collect(&repository_path(below), &mut files);
    files.sort();
    files.iter().flat_map(|file| literals_of(file)).collect()
}

fn collect(dir: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        // What only tests use.
        let is_only_tested = ["conformance", "fuzz", "simulation"].contains(&&*name);
        if name.contains("test") || is_only_tested {
            continue;
        }
        if path.is_dir() {
            collect(&path, files);
        } else if name.ends_with(".rs") {
            files.push(path);
        }
    }
}

/// The literals of one source file.
pub fn literals_of(file: &Path) -> Vec<Literal> {
    let source = fs::read_to_string(file).unwrap();
    let (code, _) = source
        .split_once("#[cfg(test)]\nmod ")
        .filter(|(_, tests)| tests.lines().next().is_some_and(|line| line.ends_with('{')))
        .unwrap_or((&source, ""));
    let shown = file.strip_prefix(repository_path("")).unwrap_or(file);
    let mut found = Vec::new();
    let (mut at, mut before) = (0, String::new());
    while let Some(c) = code[at..].chars().next() {
        let rest = &code[at..];
        if rest.starts_with("//") {
            at += rest.find('\n').unwrap_or(rest.len());
        } else if let Some(length) = character(rest) {
            at += length;
        } else if let Some((length, text)) = string(rest) {
            found.push(Literal {
                place: format!(
                    "{}:{}",
                    shown.display(),
                    code[..at].matches('\n').count() + 1
                ),
                text,
                code_before: std::mem::take(&mut before),
            });
            at += length;
        } else {
            before.push(c);
            at += c.len_utf8();
        }
    }
    found
}

/// The length of the character literal that `code` begins with: it may be a quote.
fn character(code: &str) -> Option<usize> {
    let inner = code.strip_prefix('\'')?;
    match inner.strip_prefix('\\') {
        Some(escaped) => Some(3 + escaped[1..].find('\'')?),
        None => {
            let length = inner.chars().next()?.len_utf8();
            inner[length..].starts_with('\'').then_some(length + 2)
        }
    }
}

/// The length and the meaning of the string literal that `code` begins with.
fn string(code: &str) -> Option<(usize, String)> {
    if let Some(raw) = code.strip_prefix('r') {
        let hashes = raw.len() - raw.trim_start_matches('#').len();
        let inner = raw[hashes..].strip_prefix('"')?;
        let end = format!("\"{}", "#".repeat(hashes));
        let length = inner.find(&end)?;
        return Some((2 + hashes + length + end.len(), inner[..length].to_owned()));
    }
    let inner = code.strip_prefix('"')?;
    let (mut text, mut characters) = (String::new(), inner.char_indices());
    while let Some((at, c)) = characters.next() {
        match c {
            '"' => return Some((at + 2, text)),
            '\\' => match characters.next()?.1 {
                'n' => text.push('\n'),
                // A line that goes on.
                '\n' => {
                    let mut ahead = characters.clone();
                    while ahead.next().is_some_and(|(_, c)| c.is_whitespace()) {
                        characters.next();
                    }
                }
                other => text.push(other),
            },
            c => text.push(c),
        }
    }
    None
}

/// Whether a literal is help, which the reader types parts of with values of his own.
pub fn is_help(literal: &Literal) -> bool {
    ["Example", "Exit status", "Formats,"]
        .iter()
        .any(|mark| literal.text.contains(mark))
}
