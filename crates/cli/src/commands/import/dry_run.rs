//! `meditopia import --dry-run`: checks the records and enqueues nothing.

use std::process::ExitCode;

use meditopia::internals::event::Rules;

use super::Options;
use super::bad_records::BadRecords;
use super::beginning::Beginning;
use super::input::Input;
use super::reader::{NextRecord, RecordReader};
use super::splitter::Layout;
use crate::failure::{Failure, NOTHING_QUEUED, STOPPED};
use crate::output::print_line;

/// Checks every record of `input` and prints how many are good.
pub fn check(
    options: &Options,
    input: Input,
    layout: &Layout,
    beginning: &Beginning,
    rules: &Rules,
) -> Result<ExitCode, Failure> {
    // Without --bad nothing is written.
    let place = options.bad.as_ref().map(|_| options.bad_place());
    let bad_records = BadRecords::new(place.transpose()?)?;
    let mut reader = RecordReader::new(options, layout, beginning, input, None, bad_records)?;
    let broken = loop {
        match reader.next(rules)? {
            NextRecord::Good | NextRecord::Bad => {}
            NextRecord::End => break None,
            NextRecord::Broken(why) => break Some(why),
            NextRecord::Interrupted => return Err(Failure::new(STOPPED, "interrupted")),
        }
    };
    reader.finish_progress();
    reader.bad_records().sync()?;
    let (records, bad, bad_file) = (reader.records(), reader.bad(), reader.bad_listed_in());
    let good = records - bad;
    let is_empty = records == 0 && broken.is_none() && !options.allow_empty;
    let status = if bad > 0 || broken.is_some() || is_empty {
        NOTHING_QUEUED
    } else {
        0
    };
    if options.json {
        let checked = serde_json::json!({
            "outcome": "checked", "records": records, "good": good, "bad": bad,
            "end_reached": broken.is_none(), "bad_file": bad_file, "message": broken,
        });
        print_line(checked)?;
    } else if !(options.quiet && status == 0) {
        let listed = bad_file.map_or_else(String::new, |file| format!(" (listed in {file})"));
        print_line(format_args!(
            "checked {records} records: {good} good, {bad} bad{listed}; nothing was queued"
        ))?;
    }
    match broken {
        Some(why) => Err(Failure::new(status, why)),
        None if is_empty => Err(Failure::new(
            status,
            format!("{}: the input has no record", options.source()),
        )),
        None => Ok(ExitCode::from(status)),
    }
}
