use super::*;
use proptest::prelude::*;

fn converted(offset: &str, text: &str) -> Result<String, String> {
    let offset = UtcOffset::parse(offset).expect("a valid offset");
    let mut out = Vec::new();
    push(text.as_bytes(), offset, &mut out).map_err(|error| error.message().to_owned())?;
    Ok(String::from_utf8(out).expect("ASCII"))
}

fn now(offset: &str, wall_ms: i64) -> Result<String, String> {
    let offset = UtcOffset::parse(offset).expect("a valid offset");
    let mut out = Vec::new();
    push_now(wall_ms, offset, &mut out).map_err(|error| error.message().to_owned())?;
    Ok(String::from_utf8(out).expect("ASCII"))
}

#[test]
fn a_time_in_the_form_of_the_api_is_sent_unchanged_whatever_the_offset() {
    for time in [
        "2024-08-06 15:04:05",
        "0000-02-29 00:00:00",
        "9999-12-31 23:59:59",
        "2000-02-29 12:00:00",
    ] {
        assert_eq!(converted("+05:30", time), Ok(time.to_owned()));
    }
}

#[test]
fn a_time_in_rfc_3339_is_converted_to_the_offset_without_its_fraction() {
    for (offset, written, sent) in [
        ("+00:00", "2024-08-06T15:04:05Z", "2024-08-06 15:04:05"),
        ("+00:00", "2024-08-06t15:04:05z", "2024-08-06 15:04:05"),
        ("+03:00", "2024-08-06T15:04:05Z", "2024-08-06 18:04:05"),
        ("+03:00", "2024-08-06 15:04:05+03:00", "2024-08-06 15:04:05"),
        ("-18:00", "2024-03-01T00:00:00Z", "2024-02-29 06:00:00"),
        ("+18:00", "2023-12-31T18:00:00-00:30", "2024-01-01 12:30:00"),
        (
            "+00:00",
            "2024-08-06T15:04:05.999999999999Z",
            "2024-08-06 15:04:05",
        ),
        ("+00:00", "9999-12-31T23:59:59Z", "9999-12-31 23:59:59"),
        ("+00:00", "0000-01-01T00:00:00Z", "0000-01-01 00:00:00"),
    ] {
        assert_eq!(converted(offset, written), Ok(sent.to_owned()), "{written}");
    }
}

#[test]
fn a_leap_second_becomes_the_second_before_it() {
    assert_eq!(
        converted("+00:00", "2016-12-31T23:59:60Z"),
        Ok("2016-12-31 23:59:59".to_owned())
    );
    assert_eq!(
        converted("+00:00", "2017-01-01T05:29:60.5+05:30"),
        Ok("2016-12-31 23:59:59".to_owned())
    );
    let elsewhere = converted("+00:00", "2016-12-31T12:00:60Z").expect_err("not a leap second");
    assert!(elsewhere.contains("is not a time of day"), "{elsewhere}");
    let plain = converted("+00:00", "2016-12-31 23:59:60").expect_err("no offset to judge it by");
    assert!(plain.contains("is not a time of day"), "{plain}");
}

#[test]
fn the_error_about_a_bad_time_says_what_is_wrong_with_it() {
    for (text, words) in [
        ("2024-02-30 10:00:00", "is not a date on the calendar"),
        ("2023-02-29T10:00:00Z", "is not a date on the calendar"),
        ("2024-13-01 10:00:00", "is not a date on the calendar"),
        ("2024-01-00 10:00:00", "is not a date on the calendar"),
        ("1900-02-29 10:00:00", "is not a date on the calendar"),
        ("2024-01-01 24:00:00", "is not a time of day"),
        ("2024-01-01 10:60:00", "is not a time of day"),
        ("2024-01-01T10:00:00", "has no UTC offset"),
        ("2024-01-01T10:00:00.25", "has no UTC offset"),
        ("2024-01-01 10:00:00.25", "has no UTC offset"),
        ("", "is neither"),
        ("2024-01-01", "is neither"),
        ("1722956645", "is neither"),
        ("2024-01-01 10:00:00 ", "is neither"),
        ("2024-01-01 10:00:00.", "is neither"),
        ("2024-01-01 10:00:00.Z", "is neither"),
        ("2024-01-01 10:00:00 Z", "is neither"),
        ("2024-01-01T10:00:00+0300", "is neither"),
        ("2024-01-01T10:00:00+24:00", "is neither"),
        ("2024-01-01T10:00:00+03:60", "is neither"),
        ("2024/01/01 10:00:00", "is neither"),
        ("2024-1-01 10:00:000", "is neither"),
        ("+024-01-01 10:00:00", "is neither"),
        ("2024-01-01_10:00:00", "is neither"),
        ("\u{0662}024-01-01 10:00:00", "is neither"),
    ] {
        let error = converted("+00:00", text).expect_err(text);
        assert!(error.contains(words), "{error}");
        assert!(
            error.starts_with(&format!("received_at: {text:?} ")),
            "{error}"
        );
    }
}

#[test]
fn a_time_that_conversion_moves_outside_the_years_of_four_digits_is_refused() {
    for (offset, text) in [
        ("+00:01", "9999-12-31T23:59:59Z"),
        ("-00:01", "0000-01-01T00:00:00Z"),
        ("+00:00", "0000-01-01T00:00:00+00:01"),
    ] {
        let error = converted(offset, text).expect_err(text);
        assert!(
            error.contains("is outside the years 0000 to 9999"),
            "{error}"
        );
    }
}

#[test]
fn the_current_time_is_written_at_the_offset_and_refused_beyond_four_digit_years() {
    assert_eq!(now("+00:00", 0), Ok("1970-01-01 00:00:00".to_owned()));
    assert_eq!(now("+00:00", -1), Ok("1969-12-31 23:59:59".to_owned()));
    assert_eq!(
        now("-03:30", 1_722_956_645_999),
        Ok("2024-08-06 11:34:05".to_owned())
    );
    for beyond in [i64::MIN, i64::MAX, 253_402_300_800_000, -62_167_219_200_001] {
        now("+00:00", beyond).expect_err("beyond four digits");
    }
}

#[test]
fn a_utc_offset_within_18_hours_reads_back_as_it_was_written() {
    for text in ["+00:00", "-18:00", "+18:00", "+05:45", "-00:30"] {
        let offset = UtcOffset::parse(text).expect(text);
        assert_eq!(offset.to_string(), text);
    }
    for text in [
        "", "03:00", "+3:00", "+18:01", "-18:01", "+00:60", "+0300", "UTC",
    ] {
        assert_eq!(UtcOffset::parse(text), None, "{text}");
    }
}

proptest! {
    #[test]
    fn a_received_at_is_valid_exactly_if_jiff_knows_that_date(
        year in 0..=9999_i16,
        month in 0..=13_u8,
        day in 0..=32_u8,
        hour in 0..=24_u8,
        minute in 0..=60_u8,
        second in 0..=59_u8,
    ) {
        let text = format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}");
        let jiffs = jiff::fmt::temporal::DateTimeParser::new().parse_datetime(&text);
        prop_assert_eq!(converted("+00:00", &text).is_ok(), jiffs.is_ok(), "{}", text);
    }

    #[test]
    fn a_received_at_is_converted_as_jiff_converts_it(
        seconds in -62_000_000_000..253_000_000_000_i64,
        from in -1_439..=1_439_i32,
        to in -1_080..=1_080_i32,
    ) {
        use jiff::tz::Offset;
        let zone = |minutes: i32| {
            let (sign, minutes) = (if minutes < 0 { '-' } else { '+' }, minutes.abs());
            format!("{sign}{:02}:{:02}", minutes / 60, minutes % 60)
        };
        let seen = |minutes: i32| {
            let timestamp = jiff::Timestamp::from_second(seconds).expect("in range");
            let offset = Offset::from_seconds(minutes * 60).expect("in range");
            offset.to_datetime(timestamp).strftime("%Y-%m-%d %H:%M:%S").to_string()
        };
        let written = format!("{}{}", seen(from), zone(from));
        prop_assert_eq!(converted(&zone(to), &written), Ok(seen(to)));
        // The second time by the date that the first one has kept.
        for _ in 0..2 {
            prop_assert_eq!(now(&zone(to), seconds * 1_000 + 999), Ok(seen(to)));
        }
    }

    #[test]
    fn no_text_makes_the_parser_of_received_at_panic(text: String, near in "[0-9]{4}-[0-9]{2}-[0-9]{2}[ T][0-9:.Z+é-]{0,14}") {
        let _ = converted("+18:00", &text);
        let _ = converted("-18:00", &near);
    }
}

#[test]
fn a_clock_outside_the_years_0000_to_9999_is_an_error_about_the_clock_and_not_about_the_event() {
    const YEAR_10000_MS: i64 = 253_402_300_800_000;
    const BEFORE_0000_MS: i64 = -62_167_219_200_001;
    for wrong in [YEAR_10000_MS, BEFORE_0000_MS, i64::MAX, i64::MIN] {
        let error = push_now(wrong, UtcOffset::UTC, &mut Vec::new()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Io, "{wrong}");
        assert!(error.is_retryable());
        assert!(
            error.message().starts_with("the clock of this host"),
            "{error}"
        );
    }
    for (right, text) in [
        // Up to the last day, which may be another year's elsewhere.
        (YEAR_10000_MS - 26 * 3_600_000, "9999-12-30 22:00:00"),
        (BEFORE_0000_MS + 1, "0000-01-01 00:00:00"),
        (-1, "1969-12-31 23:59:59"),
    ] {
        let mut out = Vec::new();
        push_now(right, UtcOffset::UTC, &mut out).unwrap();
        assert_eq!(std::str::from_utf8(&out), Ok(text));
    }
}
