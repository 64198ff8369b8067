//! Which import of the spool an input belongs to, and where a run starts according to that.
//!
//! The rule is the same for a file and for a pipe: an import is identified by the bytes that it has
//! read, wherever they lie. An input that begins with them continues the import; any other input is a new
//! one. So the name of an import is the hash of the first record, and a number where several inputs begin
//! with the same one. Two processes that import the same bytes meet at the lock of that name.
//!
//! `--again` drops the checkpoint of an import that has ended. Of a pipe, which cannot be read twice, only the first
//! 64 KiB can be compared before that; if the rest then differs, the checkpoint is put back under another number,
//! so that its input is still known. With the same input an interrupted import
//! continues even with `--again`, so that repeating the interrupted command finishes it.

use std::collections::BTreeSet;
use std::io;

use meditopia::{Client, ErrorKind, Import, ImportEnd, KnownImport};

use super::checkpoint::Checkpoint;
use super::input::Input;
use super::splitter::Layout;
use super::{Options, note};
use crate::failure::Failure;

/// The import of an input.
pub struct Recognised {
    pub import: Import,
    pub start: Start,
}

/// Where a run starts.
pub enum Start {
    /// At the first record. The checkpoint is that of a run that was killed before its first commit.
    AtFirstRecord(Option<Box<Checkpoint>>),
    /// After what an earlier run has queued.
    After(Box<Checkpoint>),
}

/// What a run looks for.
pub struct Wanted<'a> {
    pub options: &'a Options,
    pub layout: &'a Layout,
    pub first_sha256: &'a str,
}

/// What an import of the spool is to an input.
enum Relation {
    Own(Start),
    /// It is another input's; its checkpoint.
    Other(Option<Box<Checkpoint>>),
}

/// Finds the import of the input, and decides where the run starts. On success the input stands there.
pub fn recognise(
    client: &Client,
    input: &mut Input,
    wanted: &Wanted<'_>,
) -> Result<Recognised, Failure> {
    let known = client.imports().map_err(|e| {
        Failure::from(format!(
            "{e}; if its input will not come again, remove the directory of this file"
        ))
    })?;
    let mut others = Vec::new();
    let mut seen = BTreeSet::new();
    let numbered = (0..).map(|number| format!("{} {number}", wanted.first_sha256));
    for name in promising(&known, wanted).into_iter().chain(numbered) {
        if !seen.insert(name.clone()) {
            continue;
        }
        let import = open(client, &name, wanted.options)?;
        match wanted.relation(&import, input)? {
            Relation::Own(start) => {
                if matches!(start, Start::AtFirstRecord(_))
                    && let Err(refused) = wanted.tell_about_others(&known, &others)
                {
                    if import.checkpoint().is_none() {
                        import.forget()?;
                    }
                    return Err(refused);
                }
                return Ok(Recognised { import, start });
            }
            Relation::Other(last) => {
                let interrupted = last.filter(|_| import.ended_ms().is_none());
                others.extend(interrupted);
            }
        }
    }
    Err(Failure::from("no number is left for an import".to_owned()))
}

/// Keeps in mind what an import had read whose name another input has taken.
pub fn remember(client: &Client, last: &Checkpoint, first_sha256: &str) -> Result<(), Failure> {
    for number in 0_u64.. {
        match client.import(&format!("{first_sha256} {number}")) {
            Ok(mut import) if import.checkpoint().is_none() => {
                return Ok(import.commit(&last.to_json()?, ImportEnd::Ended)?);
            }
            Ok(_) => {}
            // That of this run, or of another process.
            Err(e) if e.kind() == ErrorKind::Timeout => {}
            Err(e) => return Err(e.into()),
        }
    }
    Ok(())
}

/// The names of the imports that may be of this input, those that have come farthest first; with `--again`, before
/// them those that were interrupted, because it continues them.
fn promising(known: &[KnownImport], wanted: &Wanted<'_>) -> Vec<String> {
    let mut found: Vec<(bool, u64, String)> = known
        .iter()
        .filter_map(|one| {
            let last: Checkpoint = serde_json::from_str(&one.checkpoint).ok()?;
            let may_be = last.offset > 0
                && (last.first_sha256.is_empty() || last.first_sha256 == wanted.first_sha256);
            let continues = wanted.options.again && one.ended_ms.is_none();
            may_be.then(|| (continues, last.offset, one.name.clone()))
        })
        .collect();
    found.sort_by(|a, b| b.cmp(a));
    found.into_iter().map(|(.., name)| name).collect()
}

fn open(client: &Client, name: &str, options: &Options) -> Result<Import, Failure> {
    client.import(name).map_err(|e| match e.kind() {
        ErrorKind::Timeout => Failure::from(format!(
            "{}: another process is importing this input, or one with the same first record; wait until it ends",
            options.source()
        )),
        _ => e.into(),
    })
}

impl Wanted<'_> {
    /// What `import` is to the input. If it is the input's, the input stands where it goes on, otherwise at
    /// its first byte.
    fn relation(&self, import: &Import, input: &mut Input) -> Result<Relation, Failure> {
        let options = self.options;
        let ended = import.ended_ms().is_some();
        let Some(text) = import.checkpoint() else {
            return Ok(Relation::Own(Start::AtFirstRecord(None)));
        };
        let last: Checkpoint = match serde_json::from_str(text) {
            Ok(last) => last,
            Err(_) if options.again => return Ok(Relation::Other(None)),
            Err(e) => {
                return Err(Failure::from(format!(
                    "the checkpoint of an earlier import of this input cannot be read: {e}; --again starts over, and queues again what that import has queued"
                )));
            }
        };
        let last = Box::new(last);
        if last.offset == 0 {
            let unfinished = (!ended).then_some(last);
            return Ok(Relation::Own(Start::AtFirstRecord(unfinished)));
        }
        let unreadable = |e| options.unreadable(&e);
        let has_same_layout = last.has_layout(self.layout);
        // With other options nothing was good in it, so it was not read as it has to be.
        let is_void = !has_same_layout && last.queued == 0;
        let starts_over = ended && (options.again || is_void);
        if starts_over && !input.is_file() {
            // It cannot be read twice, so what is in the buffer has to be enough. Whether the rest is the same, the
            // run finds out.
            let head = input.head_hash_at(last.offset).map_err(unreadable)?;
            return Ok(match head == last.head_sha256 {
                true => Relation::Own(Start::AtFirstRecord(None)),
                false => Relation::Other(Some(last)),
            });
        }
        if !begins_like(&last, input).map_err(unreadable)? {
            return match input.rewind().map_err(unreadable)? {
                true => Ok(Relation::Other(Some(last))),
                false => Err(Failure::from(format!(
                    "{}: begins like an earlier import and then differs, and cannot be read twice; import it from a file",
                    options.source()
                ))),
            };
        }
        if starts_over {
            input.rewind().map_err(unreadable)?;
            return Ok(Relation::Own(Start::AtFirstRecord(None)));
        }
        let stopped_by = |problem: &str| {
            Err(Failure::from(format!(
                "{}: an import of this input {} after record {} ({} are queued), and {problem}",
                options.source(),
                if ended { "ended" } else { "was interrupted" },
                last.records,
                last.queued
            )))
        };
        if !has_same_layout {
            return stopped_by(
                "it had another --format, --delimiter, --map or --ignore-extra; use those, or --again once it has ended",
            );
        }
        if !ended && options.all_or_nothing {
            return stopped_by("it was not all-or-nothing; finish it without --all-or-nothing");
        }
        Ok(Relation::Own(Start::After(last)))
    }

    /// Tells about interrupted imports that this one may be meant to continue. `others` begin with the same
    /// record.
    ///
    /// Error: the input has taken the place of such an input, so it may be the same with corrections.
    fn tell_about_others(
        &self,
        known: &[KnownImport],
        others: &[Box<Checkpoint>],
    ) -> Result<(), Failure> {
        let source = self.options.place();
        let corrected = others.iter().find(|last| last.source == source);
        if let Some(last) = corrected.filter(|_| !self.options.again) {
            return Err(Failure::from(format!(
                "{}: this is another input than that whose import was interrupted here after record {} ({} are queued), and begins with the same record; undo what was changed up to that record, or use --again, which queues again what both have in common",
                self.options.source(),
                last.records,
                last.queued
            )));
        }
        let interrupted = known.iter().filter(|one| one.ended_ms.is_none());
        for one in interrupted {
            let Ok(last) = serde_json::from_str::<Checkpoint>(&one.checkpoint) else {
                continue;
            };
            let is_replaced = last.source == source && last.first_sha256 != self.first_sha256;
            if is_replaced && last.records > 0 {
                note(
                    self.options,
                    format_args!(
                        "import: another input lay here whose import was interrupted after record {}; its other records are not queued, and will be if you import it again from anywhere",
                        last.records
                    ),
                );
            }
        }
        Ok(())
    }
}

/// Whether the input begins with the bytes that the import has read. If so, they are consumed.
fn begins_like(last: &Checkpoint, input: &mut Input) -> io::Result<bool> {
    Ok(input.head_hash_at(last.offset)? == last.head_sha256
        && input.consume_until(last.offset)?
        && input.hash() == last.sha256)
}
