//! Enqueues the good records of an input, with a checkpoint at each commit.

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use meditopia::{Client, Error, ErrorKind, Import, ImportEnd};

use super::Options;
use super::bad_records::{BadRecords, file_length};
use super::checkpoint::{Checkpoint, Start, find_start};
use super::input::Input;
use super::reader::{NextRecord, RecordReader};
use super::splitter::Format;
use crate::failure::{Failure, NOTHING_QUEUED, SOME_BAD, STOPPED};
use crate::output::{print_error, print_line};

/// The interval in which `--wait` retries while the spool is full.
const RETRY_EVERY: Duration = Duration::from_millis(200);

/// Enqueues the good records of `input`.
pub fn enqueue(
    options: &Options,
    mut input: Input,
    format: Format,
    client: &Client,
) -> Result<ExitCode, Failure> {
    let mut import = client.import(&options.name())?;
    if let Some(bytes) = options.commit_bytes {
        import.commit_every(bytes);
    }
    let has_ended_before = import.ended_ms().is_some();
    let (last, bad_records) = start(options, &import, &mut input, format)?;
    let (queued_before, bad_before) = last.as_ref().map_or((0, 0), |last| (last.queued, last.bad));
    if let Some(first) = first_checkpoint(
        options,
        format,
        &mut input,
        last.as_deref(),
        has_ended_before,
        &bad_records,
    )? {
        // After a crash, the next run recognises the file of bad records as its own by this commit.
        import.commit(&first.to_json()?, ImportEnd::More)?;
    }
    let mut reader = RecordReader::new(options, format, input, last.as_deref(), bad_records)?;
    let broken = read_all(options, &mut import, &mut reader)?;
    reader.finish_progress();

    let new_bad = reader.bad() - bad_before;
    if options.all_or_nothing && (new_bad > 0 || broken.is_some()) {
        reader.bad_records().sync()?;
        import.discard();
        if last.is_none() {
            let path = reader.bad_file();
            let none = Checkpoint::at_start(format, options.delimiter, path);
            import.commit(&none.to_json()?, ImportEnd::Ended)?;
        }
        print_result(&reader, 0)?;
        let why =
            broken.unwrap_or_else(|| format!("{new_bad} of {} records are bad", reader.records()));
        return Err(Failure::new(
            NOTHING_QUEUED,
            format!("{why}; nothing is queued; fix the input and run the command again"),
        ));
    }
    if let Some(why) = broken {
        if reader.is_between_records() {
            commit(options, &mut import, &mut reader, ImportEnd::More)?;
        }
        return Err(Failure::new(
            STOPPED,
            format!(
                "{why}; {}; fix the input from there on, then run the same command again",
                committed_so_far(&import)
            ),
        ));
    }
    commit(options, &mut import, &mut reader, ImportEnd::Ended)?;
    let queued = reader.queued() - queued_before;
    print_result(&reader, queued)?;
    Ok(ExitCode::from(if reader.bad() > 0 { SOME_BAD } else { 0 }))
}

/// Finds the checkpoint to continue from, if any, and opens the file of bad records.
fn start(
    options: &Options,
    import: &Import,
    input: &mut Input,
    format: Format,
) -> Result<(Option<Box<Checkpoint>>, BadRecords), Failure> {
    let bad_file = options.bad_file()?;
    let (last, own_bytes) = match find_start(import, input, options, format, &bad_file)? {
        Start::AtFirstRecord { own_bad_file } => (None, own_bad_file.then_some(0)),
        Start::After(last) => {
            let bytes = last.bad_bytes;
            // After the end of an import its file may have been moved away and replaced by another
            // one.
            let is_own = Path::new(&last.bad_file) == bad_file
                && (import.ended_ms().is_none() || file_length(&bad_file) == Some(bytes));
            (Some(last), is_own.then_some(bytes))
        }
    };
    Ok((last, BadRecords::new(Some(bad_file), own_bytes)?))
}

/// The checkpoint to commit before the first record is read; `None` if there is nothing to note.
fn first_checkpoint(
    options: &Options,
    format: Format,
    input: &mut Input,
    last: Option<&Checkpoint>,
    has_ended_before: bool,
    bad_records: &BadRecords,
) -> Result<Option<Checkpoint>, Failure> {
    let Some(last) = last else {
        let path = bad_records.path();
        return Ok(Some(Checkpoint::at_start(format, options.delimiter, path)));
    };
    let until = match has_ended_before {
        true => "; everything up to there was imported before",
        false => ", where it was interrupted",
    };
    print_error(format_args!(
        "import: continues after record {}{until}",
        last.records
    ));
    input.fill(1).map_err(|e| options.unreadable(&e))?;
    let has_more = !input.buffered().is_empty() && !options.all_or_nothing;
    Ok(has_more.then(|| last.with_bad_file(bad_records.path(), bad_records.bytes())))
}

/// Adds all good records to the import, with commits on the way. Returns why the input cannot be
/// read to its end, if so.
fn read_all(
    options: &Options,
    import: &mut Import,
    reader: &mut RecordReader<'_>,
) -> Result<Option<String>, Failure> {
    let rules = *import.rules();
    loop {
        match reader.next(&rules)? {
            NextRecord::Good => {
                if let Err(e) = import.push(reader.batch()) {
                    return Err(stopped(options, import, &e));
                }
                reader.count_queued();
            }
            NextRecord::Bad => {}
            NextRecord::End => return Ok(None),
            NextRecord::Broken(why) => return Ok(Some(why)),
        }
        if import.is_due() && !options.all_or_nothing {
            commit(options, import, reader, ImportEnd::More)?;
        }
    }
}

/// Publishes the events gathered so far, together with the checkpoint.
fn commit(
    options: &Options,
    import: &mut Import,
    reader: &mut RecordReader<'_>,
    end: ImportEnd,
) -> Result<(), Failure> {
    reader.bad_records().sync()?;
    let checkpoint = reader.checkpoint().to_json()?;
    loop {
        match import.commit(&checkpoint, end) {
            Ok(()) => return Ok(()),
            Err(e) if e.kind() == ErrorKind::SpoolFull && options.wait => {
                std::thread::sleep(RETRY_EVERY);
            }
            Err(e) => return Err(stopped(options, import, &e)),
        }
    }
}

/// Prints how many records this run has queued, and how many are bad.
fn print_result(reader: &RecordReader<'_>, queued_now: u64) -> Result<(), Failure> {
    let (records, bad) = (reader.records(), reader.bad());
    let listed = match reader.bad_file() {
        Some(path) if bad > 0 => format!(", listed in {}", path.display()),
        _ => String::new(),
    };
    print_line(format_args!(
        "queued {queued_now} of {records} records; {bad} bad{listed}"
    ))?;
    if queued_now == 0 && bad == 0 && reader.queued() > 0 {
        print_line("everything was queued by an earlier import; use --again to queue it again")?;
    }
    Ok(())
}

fn stopped(options: &Options, import: &Import, error: &Error) -> Failure {
    let so_far = committed_so_far(import);
    if error.kind() == ErrorKind::SpoolFull {
        return Failure::new(
            STOPPED,
            format!("{error}; then run the command again to continue; {so_far}"),
        );
    }
    // The failed commit may have been the last one and complete on the disk all the same. Then
    // --again would queue everything a second time.
    let without = match options.again {
        true => " without --again",
        false => "",
    };
    Failure::from(format!(
        "{error}; {so_far}; run the command again{without} to continue"
    ))
}

/// What the last commit says about the events before.
fn committed_so_far(import: &Import) -> String {
    let last = import
        .checkpoint()
        .and_then(|text| serde_json::from_str::<Checkpoint>(text).ok());
    match last {
        Some(last) if last.queued > 0 => format!("{} events before it are queued", last.queued),
        _ => "nothing is queued yet".to_owned(),
    }
}
