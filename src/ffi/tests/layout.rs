//! The structs have the same layout in C and in Rust: every size and offset is compared with those
//! that a compiled C program prints.

use std::mem::offset_of;
use std::path::Path;
use std::process::Command;

use super::super::cursor::meditopia_row;
use super::super::erasure::meditopia_erasure;
use super::super::error::meditopia_error;
use super::super::growing::Growing;
use super::super::log::meditopia_log_record;
use super::super::receipts::meditopia_receipt;
use super::super::rejected::meditopia_filter;
use super::super::report::meditopia_report;
use super::super::stats::{meditopia_histogram, meditopia_stats};

/// The layout of one struct in Rust.
struct Layout {
    name: &'static str,
    size: usize,
    /// Name, offset and size.
    fields: Vec<(&'static str, usize, usize)>,
}

fn size_of_field<S, F>(_: fn(&S) -> &F) -> usize {
    size_of::<F>()
}

macro_rules! layout {
    ($name:ident { $($field:ident)* }) => {
        Layout {
            name: stringify!($name),
            size: size_of::<$name>(),
            fields: vec![$((
                stringify!($field),
                offset_of!($name, $field),
                size_of_field(|it: &$name| &it.$field),
            )),*],
        }
    };
}

fn layouts() -> Vec<Layout> {
    vec![
        layout!(meditopia_error {
            status http_status retryable pause_reason event_index api_code message reserved
        }),
        layout!(meditopia_report {
            struct_size pause_reason delivered rejected expired pending in_doubt paused_since_ms
            next_probe_ms
        }),
        layout!(meditopia_row {
            struct_size http_status id first_ms last_ms attempts reason event_json event_json_len
            api_code message
        }),
        layout!(meditopia_receipt {
            struct_size http_status id time_ms attempts events register_events signin_events
            audio_events video_events content_events users users_json users_json_len
        }),
        layout!(meditopia_filter {
            struct_size reason partner_user_id api_code from_ms until_ms after_id
        }),
        layout!(meditopia_log_record { struct_size level time_ms message }),
        layout!(meditopia_stats {
            struct_size pause_reason enqueued delivered rejected expired pending in_doubt requests
            retried_requests refused_requests isolation_requests paused_since_ms next_probe_ms
            journal_bytes segments damaged_records oldest_pending_ms sender_seen_ms sender_pid
            torn_tails lost delivered_requests too_large_requests postponed_requests
            in_doubt_requests pausing_requests sent_bytes pauses enqueue request delivery answered_ms accepted_ms
            store_unreadable damage_unacknowledged
        }),
        layout!(meditopia_histogram { count sum_us buckets }),
        layout!(meditopia_erasure {
            struct_size is_complete pending rejected receipts in_flight files_left
        }),
    ]
}

/// The layouts that a C program built with this header prints.
fn layouts_in_c(header: &str, layouts: &[Layout]) -> String {
    let mut program = format!(
        "#include <stddef.h>\n#include <stdint.h>\n#include <stdio.h>\n#include <{header}>\n"
    );
    program.push_str("int main(void) {\n");
    for Layout { name, fields, .. } in layouts {
        program.push_str(&format!(
            "  printf(\"{name} %zu\\n\", sizeof(struct {name}));\n"
        ));
        for (field, ..) in fields {
            program.push_str(&format!(
                "  printf(\"{name}.{field} %zu %zu\\n\", offsetof({name}, {field}), \
                 sizeof((({name} *)0)->{field}));\n"
            ));
        }
    }
    program.push_str("  return 0;\n}\n");

    let dir = tempfile::tempdir().expect("a temporary directory");
    let (source, built) = (dir.path().join("layout.c"), dir.path().join("layout"));
    std::fs::write(&source, program).expect("the program can be written");
    let compiled = Command::new("gcc")
        .args(["-std=c99", "-Wall", "-Wextra", "-Werror", "-I"])
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("include"))
        .arg("-o")
        .args([&built, &source])
        .output()
        .expect("gcc runs");
    assert!(
        compiled.status.success(),
        "{}",
        String::from_utf8_lossy(&compiled.stderr)
    );
    let ran = Command::new(&built).output().expect("the program runs");
    String::from_utf8(ran.stdout).expect("UTF-8")
}

fn layouts_in_rust(layouts: &[Layout]) -> String {
    let mut all = String::new();
    for Layout { name, size, fields } in layouts {
        all.push_str(&format!("{name} {size}\n"));
        for (field, offset, size) in fields {
            all.push_str(&format!("{name}.{field} {offset} {size}\n"));
        }
    }
    all
}

#[test]
fn every_size_and_offset_is_the_same_in_c_and_in_rust() {
    for header in ["meditopia.h", "meditopia_ffi.h"] {
        assert_eq!(
            layouts_in_c(header, &layouts()),
            layouts_in_rust(&layouts()),
            "{header}"
        );
    }
}

#[test]
fn the_fields_listed_above_fill_each_struct_without_padding() {
    for Layout { name, size, fields } in layouts() {
        let filled: usize = fields.iter().map(|(_, _, size)| size).sum();
        assert_eq!(filled, size, "{name}");
    }
}

#[test]
fn the_error_struct_is_frozen_and_the_other_structs_keep_their_first_size() {
    assert_eq!(size_of::<meditopia_error>(), 640);
    assert_eq!(offset_of!(meditopia_error, message), 56);
    // When one of these structs grows, its FIRST_SIZE stays, and its line here has to change.
    assert_eq!(size_of::<meditopia_filter>(), meditopia_filter::FIRST_SIZE);
    assert_eq!(meditopia_report::FIRST_SIZE, 48);
    assert_eq!(size_of::<meditopia_row>(), meditopia_row::FIRST_SIZE);
    assert_eq!(
        size_of::<meditopia_receipt>(),
        meditopia_receipt::FIRST_SIZE
    );
    assert_eq!(
        size_of::<meditopia_erasure>(),
        meditopia_erasure::FIRST_SIZE
    );
    assert_eq!(
        size_of::<meditopia_log_record>(),
        meditopia_log_record::FIRST_SIZE
    );
    assert_eq!(meditopia_stats::FIRST_SIZE, 168);
    assert_eq!(offset_of!(meditopia_stats, delivered_requests), 168);
}
