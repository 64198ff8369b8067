//! Structs that grow at their end: a caller may have an older or a newer header, and no byte is
//! written beyond the size that the caller set.

use crate::client::Report;
use crate::error::{Error, ErrorKind, PauseReason};

use super::super::cursor::meditopia_row;
use super::super::erasure::meditopia_erasure;
use super::super::growing::{Growing, GrowingOutput, read_growing};
use super::super::log::meditopia_log_record;
use super::super::receipts::meditopia_receipt;
use super::super::rejected::meditopia_filter;
use super::super::report::meditopia_report;
use super::super::stats::meditopia_stats;

/// A report of a newer header, which has more fields.
#[repr(C)]
struct NewerReport {
    report: meditopia_report,
    later: [u64; 2],
}

fn filled(struct_size: usize) -> Result<NewerReport, Error> {
    let full = Report {
        pause: Some(PauseReason::Hold),
        delivered: 1,
        rejected: 2,
        expired: 3,
        pending: 4,
        in_doubt: 5,
        paused_since_ms: Some(6),
        next_probe_ms: Some(7),
    };
    let mut newer = NewerReport {
        report: meditopia_report {
            struct_size: struct_size as u32,
            in_doubt: 99,
            ..meditopia_report::BLANK
        },
        later: [99; 2],
    };
    // SAFETY: no test sets a size beyond that of the struct.
    let mut output =
        unsafe { GrowingOutput::new("report", (&raw mut newer).cast::<meditopia_report>()) }?;
    output.fill(&(&full).into());
    Ok(newer)
}

#[test]
fn a_longer_struct_gets_the_fields_that_this_version_knows_and_keeps_the_others() {
    let newer = filled(size_of::<NewerReport>()).expect("a longer struct is allowed");
    assert_eq!(newer.report.struct_size as usize, size_of::<NewerReport>());
    assert_eq!(newer.report.pause_reason, 7);
    let NewerReport { report, later } = newer;
    let counts = [
        report.delivered,
        report.rejected,
        report.expired,
        report.pending,
    ];
    assert_eq!(counts, [1, 2, 3, 4]);
    assert_eq!(report.in_doubt, 5);
    assert_eq!((report.paused_since_ms, report.next_probe_ms), (6, 7));
    assert_eq!(later, [99; 2]);
}

#[test]
fn a_struct_size_below_the_first_version_is_an_error_that_says_what_to_set() {
    for size in [0, 4, 47] {
        let error = filled(size).err().expect("too small");
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
        let expected = format!(
            "report.struct_size is {size}; set it to sizeof(meditopia_report), at least 48, before the call"
        );
        assert_eq!(error.message(), expected);
    }
}

/// A filter of a newer header, which has one more field.
#[repr(C)]
struct NewerFilter {
    filter: meditopia_filter,
    later: u64,
}

#[test]
fn a_filter_field_that_this_version_does_not_know_is_an_error_unless_it_is_zero() {
    let read_with = |later| {
        let newer = NewerFilter {
            filter: meditopia_filter {
                struct_size: size_of::<NewerFilter>() as u32,
                after_id: 7,
                ..meditopia_filter::BLANK
            },
            later,
        };
        // SAFETY: its struct_size is its size.
        unsafe { read_growing::<meditopia_filter>("filter", (&raw const newer).cast()) }
    };
    assert_eq!(read_with(0).map(|filter| filter.after_id), Ok(7));
    let error = read_with(1).err().expect("an unknown condition");
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    assert!(error.message().contains("does not know"), "{error}");
}

#[test]
fn a_filter_without_a_struct_size_is_an_error_that_says_what_to_set() {
    let filter = meditopia_filter::BLANK;
    // SAFETY: a filter.
    let error = unsafe { read_growing("filter", &raw const filter) }.err();
    let expected = format!(
        "filter.struct_size is 0; set it to sizeof(meditopia_filter), at least {}, before the call",
        size_of::<meditopia_filter>()
    );
    assert_eq!(error.expect("too small").message(), expected);
}

/// A struct that got its last field in the second version of the header.
#[derive(Clone, Copy)]
#[repr(C)]
struct Second {
    struct_size: u32,
    first: i32,
    second: u64,
}

// SAFETY: repr(C), starts with `struct_size`, no padding.
unsafe impl Growing for Second {
    const NAME: &'static str = "Second";
    const FIRST_SIZE: usize = 8;
    const BLANK: Self = Self {
        struct_size: 0,
        first: 0,
        second: 0,
    };
}

#[test]
fn a_struct_of_an_older_header_is_not_written_beyond_its_size() {
    let mut old = Second {
        struct_size: 8,
        first: 99,
        second: 99,
    };
    // SAFETY: the struct is longer than its struct_size.
    let mut output = unsafe { GrowingOutput::new("old", &raw mut old) }.expect("the first version");
    output.fill(&Second {
        struct_size: 0,
        first: 1,
        second: 2,
    });
    assert_eq!((old.struct_size, old.first, old.second), (8, 1, 99));
}

/// Checks that a size that was never set is refused before anything behind it is read or written.
fn refuse_huge_size<T: Growing>() {
    for size in [4097, 1 << 20, u32::MAX] {
        let mut blank = T::BLANK;
        // SAFETY: it starts with its size.
        unsafe { (&raw mut blank).cast::<u32>().write(size) };
        // SAFETY: neither reads nor writes the struct, as the test checks.
        let errors = unsafe {
            [
                read_growing("it", &raw const blank).err(),
                GrowingOutput::new("it", &raw mut blank).err(),
            ]
        };
        for error in errors {
            let error = error.unwrap_or_else(|| panic!("{} of {size} bytes", T::NAME));
            assert_eq!(error.kind(), ErrorKind::InvalidArgument);
            let expected = format!(
                "it.struct_size is {size}; set it to sizeof({}), at least {}, before the call",
                T::NAME,
                T::FIRST_SIZE
            );
            assert_eq!(error.message(), expected);
        }
    }
}

#[test]
fn a_struct_size_that_was_never_set_is_refused_for_every_struct() {
    refuse_huge_size::<meditopia_report>();
    refuse_huge_size::<meditopia_filter>();
    refuse_huge_size::<meditopia_log_record>();
    refuse_huge_size::<meditopia_row>();
    refuse_huge_size::<meditopia_stats>();
    refuse_huge_size::<meditopia_receipt>();
    refuse_huge_size::<meditopia_erasure>();
    let known = include_str!("../../../include/meditopia_ffi.h")
        .matches("uint32_t struct_size;")
        .count();
    assert_eq!(known, 7, "a struct is missing here");
}
