//! A checksum for every row, because SQLite does not notice a flipped bit inside one.
//!
//! A wrong offset would skip events, a wrong count of settled ones too, and a wrong body would go to
//! the API. So each row that delivery relies on carries the CRC-32C of its columns, verified
//! whenever the row is read; one that does not match is what SQLite calls a corrupt database.

use rusqlite::ffi;

/// The checksum of some columns, in their order.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Checksum(u32);

impl Checksum {
    pub(super) fn number(self, number: i64) -> Self {
        Self(crc32c::crc32c_append(self.0, &number.to_le_bytes()))
    }

    pub(super) fn numbers(self, numbers: impl IntoIterator<Item = i64>) -> Self {
        numbers.into_iter().fold(self, Self::number)
    }

    /// A number that may be missing.
    pub(super) fn maybe(self, number: Option<i64>) -> Self {
        self.number(i64::from(number.is_some()))
            .number(number.unwrap_or_default())
    }

    pub(super) fn bytes(self, bytes: &[u8]) -> Self {
        let with_length = self.number(bytes.len() as i64);
        Self(crc32c::crc32c_append(with_length.0, bytes))
    }

    /// As a column holds it.
    pub(super) fn column(self) -> i64 {
        i64::from(self.0)
    }

    /// Checks it against what the row says of itself.
    pub(super) fn verify(self, column: i64, row: impl std::fmt::Display) -> rusqlite::Result<()> {
        if self.column() == column {
            Ok(())
        } else {
            Err(corrupt(format!("{row} does not match its checksum")))
        }
    }
}

/// As if SQLite had noticed it.
pub(super) fn corrupt(what: String) -> rusqlite::Error {
    rusqlite::Error::SqliteFailure(ffi::Error::new(ffi::SQLITE_CORRUPT), Some(what))
}
