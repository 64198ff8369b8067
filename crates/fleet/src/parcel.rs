//! A parcel: events of one host in their order, as one row of the database.
//!
//! The body is what a request will carry, the fragments joined by commas. Beside it stand slots, 12 bytes for each
//! event as PostgreSQL sends numbers: the length of its fragment (`int4`), the wall time of its enqueue in
//! milliseconds (`int8`). The checksum is the beginning of a SHA-256 and not the CRC-32C of the files of a store:
//! the database computes it itself, for what applications enqueue by SQL and to check what hosts hand in.

use meditopia::internals::store::{Run, Slot};
use ring::digest::{Context, SHA256};

/// The most events of a parcel: those of a request.
pub const PARCEL_EVENTS: usize = 100;
const SLOT_BYTES: usize = 12;
const CHECKSUM_BYTES: usize = 8;

/// The checksum of a parcel or a run.
pub type Checksum = [u8; CHECKSUM_BYTES];

/// The events of a parcel.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Parcel {
    run: Run,
}

impl From<Run> for Parcel {
    fn from(run: Run) -> Self {
        Self { run }
    }
}

impl Parcel {
    /// Adds an event at the end.
    pub fn push(&mut self, fragment: &[u8], enqueued_ms: i64) {
        self.run.push(fragment, enqueued_ms);
    }

    /// Its events as a run.
    pub fn into_run(self) -> Run {
        self.run
    }

    /// How many events it has.
    pub fn len(&self) -> usize {
        self.run.slots.len()
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.run.slots.is_empty()
    }

    /// Its fragments and the times of their enqueues.
    pub fn events(&self) -> impl Iterator<Item = (&[u8], i64)> {
        self.run.events()
    }

    /// The fragments, joined by commas.
    pub fn body(&self) -> &[u8] {
        &self.run.body
    }

    /// The slots as they stand in the database.
    pub fn slots(&self) -> Vec<u8> {
        encode_slots(&self.run.slots)
    }

    /// Reads a row; `None`: it is damaged.
    pub fn decode(body: Vec<u8>, slots: &[u8], checksum: &[u8]) -> Option<Self> {
        if self::checksum(&body, slots) != checksum {
            return None;
        }
        let run = Run {
            body,
            slots: decode_slots(slots)?,
        };
        let parts = run.slots.iter().map(|slot| u64::from(slot.length) + 1);
        let length: u64 = parts.sum();
        (!run.slots.is_empty() && length == run.body.len() as u64 + 1).then_some(Self { run })
    }
}

/// Slots as they stand in the database.
pub fn encode_slots(slots: &[Slot]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(slots.len() * SLOT_BYTES);
    for slot in slots {
        bytes.extend_from_slice(&slot.length.to_be_bytes());
        bytes.extend_from_slice(&slot.enqueued_ms.to_be_bytes());
    }
    bytes
}

/// Reads slots back; `None`: these are none.
pub fn decode_slots(bytes: &[u8]) -> Option<Vec<Slot>> {
    let (slots, rest) = bytes.as_chunks::<SLOT_BYTES>();
    let slot = |bytes: &[u8; SLOT_BYTES]| {
        let (length, enqueued_ms) = bytes.split_first_chunk()?;
        Some(Slot {
            length: u32::from_be_bytes(*length),
            enqueued_ms: i64::from_be_bytes(enqueued_ms.try_into().ok()?),
        })
    };
    match rest.is_empty() {
        true => slots.iter().map(slot).collect(),
        false => None,
    }
}

/// Computes the checksum of a parcel or a run.
pub fn checksum(body: &[u8], slots: &[u8]) -> Checksum {
    let mut context = Context::new(&SHA256);
    context.update(slots);
    context.update(body);
    let digest = context.finish();
    let mut checksum = [0; CHECKSUM_BYTES];
    checksum.copy_from_slice(&digest.as_ref()[..CHECKSUM_BYTES]);
    checksum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parcel_that_differs_in_one_bit_is_not_read() {
        let mut parcel = Parcel::default();
        parcel.push(b"{\"a\":1}", 1_722_956_645_000);
        parcel.push(b"{}", -1);
        let (body, slots) = (parcel.body().to_vec(), parcel.slots());
        let sum = checksum(&body, &slots);
        assert_eq!(Parcel::decode(body.clone(), &slots, &sum), Some(parcel));
        for bit in 0..body.len() * 8 {
            let mut damaged = body.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Parcel::decode(damaged, &slots, &sum), None);
        }
        for bit in 0..slots.len() * 8 {
            let mut damaged = slots.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Parcel::decode(body.clone(), &damaged, &sum), None);
        }
    }

    #[test]
    fn slots_that_do_not_fit_the_body_are_not_read_whatever_their_checksum() {
        let slots = encode_slots(&[Slot {
            length: 3,
            enqueued_ms: 0,
        }]);
        for (body, slots) in [(&b"{}"[..], &slots[..]), (b"{}", &slots[..11]), (b"", b"")] {
            let sum = checksum(body, slots);
            assert_eq!(Parcel::decode(body.to_vec(), slots, &sum), None);
        }
    }
}
