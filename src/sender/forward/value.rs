//! How far each segment is forwarded, as the one value that the database keeps of a spool.
//!
//! ```text
//! value     version u8 | nonce u64 | for each segment, by name: length of the name u8 | name | offset u64
//! ```
//!
//! The nonce is a random number of the statement that wrote the value: it tells a forwarder whether the
//! statement was its own. There is an entry for each segment that still is in the journal, and the window
//! (`window`) keeps a limited number of those whose writers have ended.

use crate::journal::round::Offsets;

const VERSION: u8 = 1;

/// What a value says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Value {
    pub(super) nonce: u64,
    pub(super) offsets: Offsets,
}

/// How a value begins that the statement of `nonce` has written; none was, if that is 0.
pub(super) fn mark(nonce: u64) -> Vec<u8> {
    match nonce {
        0 => Vec::new(),
        nonce => [&[VERSION][..], &nonce.to_le_bytes()].concat(),
    }
}

impl Value {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![VERSION];
        bytes.extend_from_slice(&self.nonce.to_le_bytes());
        // In order, so that names that begin alike stand together: the database compresses the value.
        let mut entries: Vec<_> = self.offsets.iter().collect();
        entries.sort_unstable();
        for (name, offset) in entries {
            let Ok(length) = u8::try_from(name.len()) else {
                // No writer gives a segment such a name.
                continue;
            };
            bytes.push(length);
            bytes.extend_from_slice(name.as_bytes());
            bytes.extend_from_slice(&offset.to_le_bytes());
        }
        bytes
    }

    /// `None`: a newer version has written it, or it is none.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let (version, rest) = bytes.split_first()?;
        if *version != VERSION {
            return None;
        }
        let (nonce, mut rest) = rest.split_first_chunk()?;
        let mut value = Self {
            nonce: u64::from_le_bytes(*nonce),
            ..Self::default()
        };
        while let Some((length, entry)) = rest.split_first() {
            let (name, behind) = entry.split_at_checked(usize::from(*length))?;
            let (offset, behind) = behind.split_first_chunk()?;
            let name = std::str::from_utf8(name).ok()?;
            value
                .offsets
                .insert(name.to_owned(), u64::from_le_bytes(*offset));
            rest = behind;
        }
        Some(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_read_back_as_it_was_written_and_no_part_of_it_is() {
        let value = Value {
            nonce: u64::MAX - 1,
            offsets: (0..40)
                .map(|number| (format!("{number:08}-1-2-3.segment"), number << 33))
                .collect(),
        };
        let bytes = value.encode();
        assert_eq!(Value::decode(&bytes).as_ref(), Some(&value));
        for length in 0..bytes.len() {
            assert_ne!(Value::decode(&bytes[..length]).as_ref(), Some(&value));
        }
        let newer = [&[VERSION + 1], &bytes[1..]].concat();
        assert_eq!(Value::decode(&newer), None);
    }
}
