//! Times as operators write and read them: a date, a date with a time, `2h ago`; a span such as
//! `15m`.
//!
//! They are read and printed in this host's time zone, or in UTC with `--utc`. A time with an
//! offset of its own is read in that offset.

use std::time::Duration;

use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use jiff::{Span, SpanRelativeTo, Timestamp, Unit, Zoned};

use crate::failure::{Failure, USAGE};

/// The forms of a time on the command line, for error messages.
const TIME_FORMS: &str =
    "a time is 2026-11-20, 2026-11-20 14:00, 2026-11-20T14:00:00+01:00, or '2h ago', '3 days ago'";

/// The options that limit a list to a period of time.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct Period {
    /// At this time or later: 2026-11-20, 2026-11-20T14:00:00Z, '2h ago'
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Before this time
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
}

impl Period {
    /// Whether neither option is given.
    pub fn is_empty(&self) -> bool {
        self.since.is_none() && self.until.is_none()
    }

    /// The first millisecond of the period, and the first one after it, in wall time.
    pub fn read(&self, zone: &Zone) -> Result<(Option<i64>, Option<i64>), Failure> {
        Ok((
            zone.parse_optional("--since", self.since.as_deref())?,
            zone.parse_optional("--until", self.until.as_deref())?,
        ))
    }
}

/// The time zone for printing times, and for reading those without an offset.
pub struct Zone(TimeZone);

impl Zone {
    /// UTC if `utc` is set, otherwise this host's time zone.
    pub fn new(utc: bool) -> Self {
        Self(if utc {
            TimeZone::UTC
        } else {
            TimeZone::system()
        })
    }

    /// Reads a time on the command line, in milliseconds of wall time; `option` names it in the
    /// error.
    pub fn parse(&self, option: &str, text: &str) -> Result<i64, Failure> {
        self.read(text, &Timestamp::now().to_zoned(self.0.clone()))
            .ok_or_else(|| {
                let message = format!("{option}: \"{text}\" is not a time; {TIME_FORMS}");
                Failure::new(USAGE, message)
            })
    }

    /// Reads the time of an option that may be absent.
    fn parse_optional(&self, option: &str, text: Option<&str>) -> Result<Option<i64>, Failure> {
        text.map(|text| self.parse(option, text)).transpose()
    }

    fn read(&self, text: &str, now: &Zoned) -> Option<i64> {
        let text = text.trim();
        if let Ok(moment) = text.parse::<Timestamp>() {
            return Some(moment.as_millisecond());
        }
        if text.ends_with(" ago") {
            let back: Span = text.parse().ok()?;
            return Some(now.checked_add(back).ok()?.timestamp().as_millisecond());
        }
        // A date without dashes is too easily confused with another number.
        if !text.contains('-') {
            return None;
        }
        let local = match text.parse::<Date>() {
            Ok(date) if text.len() == "2026-11-20".len() => {
                date.to_datetime(jiff::civil::Time::midnight())
            }
            _ => text.parse::<DateTime>().ok()?,
        };
        Some(
            local
                .to_zoned(self.0.clone())
                .ok()?
                .timestamp()
                .as_millisecond(),
        )
    }

    /// `2026-11-24 14:02:11 +01:00`, or with a Z.
    pub fn show(&self, wall_ms: i64) -> String {
        let Ok(moment) = Timestamp::from_millisecond(wall_ms) else {
            return format!("{wall_ms} ms");
        };
        let zoned = moment.to_zoned(self.0.clone());
        if self.0 == TimeZone::UTC {
            return zoned.strftime("%Y-%m-%d %H:%M:%SZ").to_string();
        }
        zoned.strftime("%Y-%m-%d %H:%M:%S %:z").to_string()
    }
}

/// Reads a span on the command line such as `15m`, `1h30m` or `2 days`; clap adds the option to the
/// error.
pub fn parse_span(text: &str) -> Result<Duration, String> {
    let invalid = || format!("\"{text}\" is not a span of time; write 90s, 15m, 1h30m or 2 days");
    let span: Span = text.trim().parse().map_err(|_| invalid())?;
    let seconds = span
        .total((Unit::Second, SpanRelativeTo::days_are_24_hours()))
        .map_err(|_| invalid())?;
    Duration::try_from_secs_f64(seconds).map_err(|_| invalid())
}

/// A span as an operator reads it: `0.2 s`, `45 s`, `3 min`, `2 h 5 min`, `3 d 4 h`.
pub fn show_span(ms: i64) -> String {
    let ms = ms.max(0);
    let s = ms / 1_000;
    match s {
        0..10 => format!("{}.{} s", s, ms % 1_000 / 100),
        10..60 => format!("{s} s"),
        60..3_600 => format!("{} min", s / 60),
        3_600..86_400 => format!("{} h {} min", s / 3_600, s % 3_600 / 60),
        _ => format!("{} d {} h", s / 86_400, s % 86_400 / 3_600),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn read(text: &str) -> Option<String> {
        let zone = Zone(TimeZone::fixed(jiff::tz::offset(1)));
        let now = "2026-11-24T12:00:00+01:00[+01:00]".parse().unwrap();
        zone.read(text, &now).map(|ms| zone.show(ms))
    }

    #[test]
    fn a_time_is_read_in_the_forms_that_operators_write() {
        for (text, expected) in [
            ("2026-11-20", "2026-11-20 00:00:00 +01:00"),
            ("2026-11-20 14:30", "2026-11-20 14:30:00 +01:00"),
            ("2026-11-20T14:30:05", "2026-11-20 14:30:05 +01:00"),
            ("2026-11-20T14:30:00Z", "2026-11-20 15:30:00 +01:00"),
            ("2026-11-20T14:30:00-05:00", "2026-11-20 20:30:00 +01:00"),
            ("2h ago", "2026-11-24 10:00:00 +01:00"),
            ("3 days ago", "2026-11-21 12:00:00 +01:00"),
            ("1 week 30m ago", "2026-11-17 11:30:00 +01:00"),
        ] {
            assert_eq!(read(text).as_deref(), Some(expected), "{text}");
        }
        for text in [
            "",
            "yesterday",
            "2h",
            "2026-02-30",
            "20261120",
            "ago",
            "-2h ago ago",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
    }

    #[test]
    fn a_span_of_time_is_read_in_the_forms_that_operators_write() {
        for (text, seconds) in [
            ("90s", 90),
            ("15m", 900),
            ("1h30m", 5_400),
            ("2 days", 172_800),
        ] {
            assert_eq!(parse_span(text).unwrap().as_secs(), seconds, "{text}");
        }
        for text in ["", "15", "-1h", "soon"] {
            assert!(parse_span(text).is_err(), "{text}");
        }
    }
}
