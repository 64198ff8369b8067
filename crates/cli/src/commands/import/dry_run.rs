//! `meditopia import --dry-run`: checks the records and enqueues nothing.

use std::process::ExitCode;

use meditopia::internals::event::Rules;

use super::Options;
use super::bad_records::BadRecords;
use super::input::Input;
use super::reader::{NextRecord, RecordReader};
use super::splitter::Format;
use crate::failure::{Failure, NOTHING_QUEUED};
use crate::output::print_line;

/// Checks every record of `input` and prints how many are good.
pub fn check(
    options: &Options,
    input: Input,
    format: Format,
    rules: &Rules,
) -> Result<ExitCode, Failure> {
    // Without --bad nothing is written: a dry run must not leave a file that the import refuses
    // later.
    let bad_file = options
        .bad
        .as_ref()
        .map(|_| options.bad_file())
        .transpose()?;
    let bad_records = BadRecords::new(bad_file, None)?;
    let mut reader = RecordReader::new(options, format, input, None, bad_records)?;
    let broken = loop {
        match reader.next(rules)? {
            NextRecord::Good | NextRecord::Bad => {}
            NextRecord::End => break None,
            NextRecord::Broken(why) => break Some(why),
        }
    };
    reader.finish_progress();
    reader.bad_records().sync()?;
    let (records, bad) = (reader.records(), reader.bad());
    print_line(format_args!(
        "checked {records} records: {} good, {bad} bad; nothing was queued",
        records - bad
    ))?;
    match broken {
        Some(why) => Err(Failure::new(NOTHING_QUEUED, why)),
        None => Ok(ExitCode::from(if bad > 0 { NOTHING_QUEUED } else { 0 })),
    }
}
