//! Several encoded events, which become one record of the journal.

use crate::error::{Error, ErrorKind};

use super::encode::{Value, push_fragment};
use super::fields::{Fields, RawFields, Rules};

/// The fragments of several events in one buffer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Batch {
    fragments: Vec<u8>,
    ends: Vec<u32>,
}

impl Batch {
    /// A batch without events.
    pub fn new() -> Self {
        Self::default()
    }

    /// The number of events.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether the batch has no event.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Removes the events and keeps the memory.
    pub fn clear(&mut self) {
        self.fragments.clear();
        self.ends.clear();
    }

    /// The fragments, in the order of their events.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let mut start = 0;
        self.ends.iter().map(move |&end| {
            let end = end as usize;
            let fragment = &self.fragments[start..end];
            start = end;
            fragment
        })
    }

    /// Checks the fields of one more event and appends its fragment, as [`encode`](super::encode())
    /// does.
    ///
    /// # Errors
    /// As [`encode`](super::encode()); also if the batch would take more than 4 GiB. The batch is
    /// then as before.
    pub fn push(
        &mut self,
        fields: &Fields<'_>,
        rules: &Rules,
        now_wall_ms: i64,
    ) -> Result<(), Error> {
        let fields = RawFields::from(fields);
        let value = fields.event_value.map_or(Value::Null, Value::Text);
        self.push_with(&fields, value, rules, now_wall_ms)
    }

    pub(super) fn push_with(
        &mut self,
        fields: &RawFields<'_>,
        value: Value<'_>,
        rules: &Rules,
        now_wall_ms: i64,
    ) -> Result<(), Error> {
        let start = self.fragments.len();
        push_fragment(fields, value, rules, now_wall_ms, &mut self.fragments)?;
        match u32::try_from(self.fragments.len()) {
            Ok(end) => self.ends.push(end),
            Err(_) => {
                self.fragments.truncate(start);
                return Err(Error::new(
                    ErrorKind::InvalidArgument,
                    "json: the events of one call take more than 4 GiB; split them",
                ));
            }
        }
        Ok(())
    }

    pub(super) fn truncate(&mut self, events: usize) {
        self.ends.truncate(events);
        let end = self.ends.last().map_or(0, |&end| end as usize);
        self.fragments.truncate(end);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_722_956_645_000;
    const EVENT: &str = r#"{"token":"t","partner_user_id":"u","event":"video","event_value":null,"received_at":"2024-08-06 15:04:05"}"#;

    #[test]
    fn a_batch_grows_by_a_single_event_and_not_by_a_refused_one() {
        let mut out = Batch::new();
        crate::event::encode_json(EVENT.as_bytes(), &Rules::default(), NOW, &mut out).unwrap();
        let fields = Fields {
            token: "t",
            partner_user_id: "u",
            event: "video",
            event_value: None,
            received_at: None,
        };
        out.push(&fields, &Rules::default(), NOW).unwrap();
        let bad = Fields {
            event: "x",
            ..fields
        };
        out.push(&bad, &Rules::default(), NOW).unwrap_err();
        assert_eq!(out.iter().collect::<Vec<_>>(), [EVENT.as_bytes(); 2]);
        assert_eq!(out.fragments.len(), *out.ends.last().unwrap() as usize);
    }
}
