//! The blocks of a page, with what the comments above them tell the test.
//!
//! A comment that stands right above a block, which no reader sees, says what is not to be guessed:
//!
//! | comment | meaning |
//! |---|---|
//! | `file: NAME` | the block is a file of that name, for blocks that follow |
//! | `as root` | root types the block; one with `sudo` in it, too |
//! | `before: COMMAND` | what the page takes for granted here |
//! | `begins with: CODE`, `ends with: CODE` | lines around a part of a program |
//! | `runs until: COMMAND` | the block goes on until it gets SIGTERM, here as soon as this command succeeds |
//! | `install` | the block installs files of a release: `make dist-check` runs it |
//! | `run by: FILE` | a test of its own runs the block |
//! | `not run: REASON` | no test can run the block |
//! | `test: NAME` | the page's story in `bindings/pages` runs the block by this name |
//!
//! Anywhere in a page, `sandbox: OPTIONS` gives options to the sandbox that its blocks run in.

use std::path::Path;

#[derive(Debug, Clone)]
pub enum Mark {
    File(String),
    AsRoot,
    Before(String),
    Begins(String),
    Ends(String),
    RunsUntil(String),
    Install,
    RunBy(String),
    NotRun,
    Test,
}

#[derive(Debug)]
pub struct Block {
    /// The file and the line of the block's first fence.
    pub place: String,
    pub language: String,
    pub text: String,
    pub marks: Vec<Mark>,
}

pub struct Page {
    /// The path from the root of the repository.
    pub name: String,
    pub blocks: Vec<Block>,
    pub sandbox: Vec<String>,
}

fn mark(comment: &str) -> Option<Mark> {
    let (kind, what) = comment.split_once(": ").unwrap_or((comment, ""));
    let what = what.to_owned();
    Some(match kind {
        "file" => Mark::File(what),
        "as root" => Mark::AsRoot,
        "before" => Mark::Before(what),
        "begins with" => Mark::Begins(what),
        "ends with" => Mark::Ends(what),
        "runs until" => Mark::RunsUntil(what),
        "install" => Mark::Install,
        "run by" => Mark::RunBy(what),
        "not run" => Mark::NotRun,
        "test" => Mark::Test,
        _ => return None,
    })
}

/// The text of a comment that is a line of its own.
fn comment(line: &str) -> Option<&str> {
    line.trim().strip_prefix("<!-- ")?.strip_suffix(" -->")
}

impl Page {
    pub fn read(root: &Path, name: &str) -> Self {
        let text = std::fs::read_to_string(root.join(name)).unwrap();
        let mut page = Page {
            name: name.to_owned(),
            blocks: Vec::new(),
            sandbox: Vec::new(),
        };
        let mut marks = Vec::new();
        let mut open: Option<Block> = None;
        for (number, line) in text.lines().enumerate() {
            let fence = line.trim_start().strip_prefix("```");
            match (&mut open, fence) {
                (None, Some(language)) => {
                    open = Some(Block {
                        place: format!("{name}:{}", number + 1),
                        language: language.to_owned(),
                        text: String::new(),
                        marks: std::mem::take(&mut marks),
                    });
                }
                (Some(_), Some(_)) => page.blocks.extend(open.take()),
                (Some(block), None) => {
                    block.text.push_str(line);
                    block.text.push('\n');
                }
                (None, None) => match comment(line) {
                    Some(said) => {
                        if let Some(options) = said.strip_prefix("sandbox: ") {
                            let options = options.split_whitespace().map(str::to_owned);
                            page.sandbox.extend(options);
                        }
                        marks.extend(mark(said));
                    }
                    None => marks.clear(),
                },
            }
        }
        assert!(open.is_none(), "{name}: the last block has no end");
        page
    }
}

impl Block {
    /// Whether a reader copies the block to a shell, a file or a program. Others are what something prints.
    pub fn is_for_pasting(&self) -> bool {
        !self.marks.is_empty() || !matches!(&*self.language, "" | "text" | "json")
    }

    pub fn is_by_root(&self) -> bool {
        let is_marked = self.marks.iter().any(|mark| matches!(mark, Mark::AsRoot));
        is_marked || self.text.contains("sudo ")
    }
}
