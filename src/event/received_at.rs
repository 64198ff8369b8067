//! `received_at`: the forms that callers may use, and the form that the API gets.
//!
//! The API documents one form, `YYYY-MM-DD HH:MM:SS`, and no time zone. A time in that form is sent
//! unchanged, whatever `utc_offset` is. A time with an offset (RFC 3339) and the current time are
//! converted to the configured offset. A time with a `T` but without an offset is ambiguous, and
//! refused. The calendar is that of the crate jiff.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use jiff::SignedDuration;
use jiff::civil::{Date, DateTime};

use crate::error::{Error, ErrorKind};
use crate::spelling::quoted;

use super::invalid::not_utf8;

const LAST_SECOND_OF_DAY: i64 = 86_399;
const SECONDS_PER_DAY: i64 = 86_400;
/// From 0000-01-01 on.
const DAYS_BEFORE_1970: i64 = 719_528;

/// A fixed distance from UTC, from -18:00 to +18:00 in whole minutes; UTC by default.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct UtcOffset {
    minutes: i16,
}

impl UtcOffset {
    /// UTC itself.
    pub const UTC: Self = Self { minutes: 0 };

    /// The offset in `text`, `+HH:MM` or `-HH:MM`; `None` for another form, or more than 18 hours.
    pub fn parse(text: &str) -> Option<Self> {
        let seconds = offset_seconds(text.as_bytes())?;
        let minutes = i16::try_from(seconds / 60).ok()?;
        (minutes.abs() <= 18 * 60).then_some(Self { minutes })
    }

    /// The distance from UTC in seconds, positive in the east.
    pub fn seconds(self) -> i64 {
        i64::from(self.minutes) * 60
    }
}

impl fmt::Display for UtcOffset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.minutes < 0 { '-' } else { '+' };
        let minutes = self.minutes.unsigned_abs();
        write!(f, "{sign}{:02}:{:02}", minutes / 60, minutes % 60)
    }
}

/// Appends the time in `text` in the form of the API, converted to `offset` if it has an offset of
/// its own.
pub(super) fn push(text: &[u8], offset: UtcOffset, out: &mut Vec<u8>) -> Result<(), Error> {
    match GivenTime::parse(text) {
        Ok(GivenTime::Plain) => {
            out.extend_from_slice(text);
            Ok(())
        }
        Ok(GivenTime::WithOffset { local, seconds }) => {
            let moved = SignedDuration::from_secs(offset.seconds() - seconds);
            match local.checked_add(moved) {
                Ok(time) if time.year() >= 0 => {
                    push_time(time, out);
                    Ok(())
                }
                _ => Err(refused(
                    text,
                    format_args!("is outside the years 0000 to 9999 when converted to {offset}"),
                )),
            }
        }
        Err(fault) => Err(refused(text, fault.message())),
    }
}

fn refused(text: &[u8], why: impl fmt::Display) -> Error {
    match std::str::from_utf8(text) {
        Ok(text) => invalid(format!("{} {why}", quoted(text))),
        Err(cause) => not_utf8("received_at", cause.valid_up_to()),
    }
}

/// Appends the wall time `now_wall_ms` in the form of the API, at `offset`.
pub(super) fn push_now(
    now_wall_ms: i64,
    offset: UtcOffset,
    out: &mut Vec<u8>,
) -> Result<(), Error> {
    let local = now_wall_ms.div_euclid(1_000) + offset.seconds();
    let second = local.rem_euclid(SECONDS_PER_DAY) as u32;
    match date_of(local.div_euclid(SECONDS_PER_DAY)) {
        Some([century, year, month, day]) => {
            let [hour, minute, second] = [second / 3_600, second / 60 % 60, second % 60];
            let [hour, minute, second] = [hour, minute, second].map(|number| number as u8);
            push_pairs([century, year, month, day, hour, minute, second], out);
            Ok(())
        }
        // The event is right, and may be enqueued once the clock is.
        None => Err(Error::new(
            ErrorKind::Io,
            "the clock of this host is outside the years 0000 to 9999; nothing was queued; set the clock, or pass received_at",
        )),
    }
}

/// Century, year of it, month and day of a day since 1970-01-01; `None` outside the years 0000 to 9999.
///
/// Most events are of the day of the event before, so that day is kept.
fn date_of(day: i64) -> Option<[u8; 4]> {
    /// The day in the lower half, its date in the upper one.
    static LAST: AtomicU64 = AtomicU64::new(packed(DAYS_BEFORE_1970 as u32, [19, 70, 1, 1]));
    const fn packed(day: u32, date: [u8; 4]) -> u64 {
        (u32::from_le_bytes(date) as u64) << 32 | day as u64
    }
    let day = u32::try_from(day + DAYS_BEFORE_1970).ok()?;
    let last = LAST.load(Ordering::Relaxed);
    if last as u32 == day {
        return Some(((last >> 32) as u32).to_le_bytes());
    }
    let since_1970 = SignedDuration::from_hours((i64::from(day) - DAYS_BEFORE_1970) * 24);
    let date = Date::new(1970, 1, 1).ok()?.checked_add(since_1970).ok()?;
    let date = date_pairs(date);
    LAST.store(packed(day, date), Ordering::Relaxed);
    Some(date)
}

fn invalid(what: impl fmt::Display) -> Error {
    Error::new(ErrorKind::InvalidEvent, format!("received_at: {what}"))
}

/// A time as the caller wrote it.
enum GivenTime {
    /// `YYYY-MM-DD HH:MM:SS`, on the calendar.
    Plain,
    /// RFC 3339: the local time, and its distance from UTC in seconds, positive in the east.
    WithOffset { local: DateTime, seconds: i64 },
}

enum Fault {
    Form,
    Date,
    TimeOfDay,
    Offset,
}

impl Fault {
    fn message(self) -> &'static str {
        match self {
            Self::Form => {
                "is neither YYYY-MM-DD HH:MM:SS nor RFC 3339 such as 2024-08-06T15:04:05Z"
            }
            Self::Date => "is not a date on the calendar",
            Self::TimeOfDay => "is not a time of day",
            Self::Offset => {
                "has no UTC offset; add Z or an offset such as +03:00, or write YYYY-MM-DD HH:MM:SS"
            }
        }
    }
}

impl GivenTime {
    fn parse(text: &[u8]) -> Result<Self, Fault> {
        let (time, rest) = text.split_at_checked(19).ok_or(Fault::Form)?;
        let separator = time[10];
        let punctuated = time[4] == b'-' && time[7] == b'-' && time[13] == b':' && time[16] == b':';
        if !punctuated || !matches!(separator, b' ' | b'T' | b't') {
            return Err(Fault::Form);
        }
        let pair = |at| two_digits(&time[at..]).ok_or(Fault::Form);
        let year = i16::from(pair(0)?) * 100 + i16::from(pair(2)?);
        let (month, day) = (pair(5)?, pair(8)?);
        let (hour, minute, second) = (pair(11)?, pair(14)?, pair(17)?);

        let zone = match skip_fraction(rest) {
            Some([]) if rest.is_empty() && separator == b' ' => None,
            Some([]) => return Err(Fault::Offset),
            Some(zone) => Some(offset_seconds(zone).ok_or(Fault::Form)?),
            None => return Err(Fault::Form),
        };
        let date = Date::new(year, month, day).map_err(|_| Fault::Date)?;
        if hour > 23 || minute > 59 || second > 60 || (second == 60 && zone.is_none()) {
            return Err(Fault::TimeOfDay);
        }
        let Some(seconds) = zone else {
            return Ok(Self::Plain);
        };
        // A leap second becomes the second before it, because the calendar has no leap seconds.
        let local = date.at(hour, minute, second.min(59), 0);
        if second == 60 && utc_second_of_day(local, seconds) != LAST_SECOND_OF_DAY {
            return Err(Fault::TimeOfDay);
        }
        Ok(Self::WithOffset { local, seconds })
    }
}

fn utc_second_of_day(local: DateTime, offset: i64) -> i64 {
    let (hour, minute) = (i64::from(local.hour()), i64::from(local.minute()));
    let local_second = hour * 3_600 + minute * 60 + i64::from(local.second());
    (local_second - offset).rem_euclid(SECONDS_PER_DAY)
}

/// What follows an optional fraction of a second; `None` if a point has no digits after it.
fn skip_fraction(rest: &[u8]) -> Option<&[u8]> {
    let Some(digits) = rest.strip_prefix(b".") else {
        return Some(rest);
    };
    let count = digits
        .iter()
        .take_while(|byte| byte.is_ascii_digit())
        .count();
    (count > 0).then(|| &digits[count..])
}

/// The seconds east of UTC that `Z`, `+HH:MM` or `-HH:MM` stands for.
fn offset_seconds(zone: &[u8]) -> Option<i64> {
    let (sign, time) = match zone {
        b"Z" | b"z" => return Some(0),
        [b'+', time @ ..] => (1, time),
        [b'-', time @ ..] => (-1, time),
        _ => return None,
    };
    if time.len() != 5 || time[2] != b':' {
        return None;
    }
    let (hours, minutes) = (two_digits(time)?, two_digits(&time[3..])?);
    let seconds = i64::from(hours) * 3_600 + i64::from(minutes) * 60;
    (hours <= 23 && minutes <= 59).then_some(sign * seconds)
}

fn two_digits(bytes: &[u8]) -> Option<i8> {
    match bytes {
        [tens @ b'0'..=b'9', ones @ b'0'..=b'9', ..] => {
            i8::try_from((tens - b'0') * 10 + (ones - b'0')).ok()
        }
        _ => None,
    }
}

/// Appends `YYYY-MM-DD HH:MM:SS`. The year must not be negative.
fn push_time(time: DateTime, out: &mut Vec<u8>) {
    let [century, year, month, day] = date_pairs(time.date());
    let [hour, minute, second] = [time.hour(), time.minute(), time.second()].map(i8::unsigned_abs);
    push_pairs([century, year, month, day, hour, minute, second], out);
}

/// The pairs of digits of a date whose year is not negative.
fn date_pairs(date: Date) -> [u8; 4] {
    let year = date.year().unsigned_abs();
    let [century, year] = [year / 100, year % 100].map(|pair| pair as u8);
    let [month, day] = [date.month(), date.day()].map(i8::unsigned_abs);
    [century, year, month, day]
}

/// Appends century, year of it, month, day, hour, minute and second.
fn push_pairs(pairs: [u8; 7], out: &mut Vec<u8>) {
    let mut text = *b"0000-00-00 00:00:00";
    for (at, pair) in [0, 2, 5, 8, 11, 14, 17].into_iter().zip(pairs) {
        text[at..at + 2].copy_from_slice(&DIGITS[usize::from(pair)]);
    }
    out.extend_from_slice(&text);
}

/// The two digits of each number; none is above 99.
static DIGITS: [[u8; 2]; 256] = {
    let mut digits = [*b"00"; 256];
    let mut number = 0;
    while number < 100 {
        digits[number] = [b'0' + number as u8 / 10, b'0' + number as u8 % 10];
        number += 1;
    }
    digits
};

#[cfg(test)]
mod tests;
