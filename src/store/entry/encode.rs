//! The bytes of an entry.

use super::{Entry, Point};
use crate::store::codec::{put, put_bytes, put_optional, put_signed};
use crate::store::{PauseState, Place};

impl Entry<'_> {
    fn tag(&self) -> u8 {
        match self {
            Self::Snapshot { .. } => 1,
            Self::Elected { .. } => 2,
            Self::Queue { .. } => 3,
            Self::QueueFiles { .. } => 4,
            Self::Marks { .. } => 5,
            Self::Isolation { .. } => 6,
            Self::InDoubt { .. } => 7,
            Self::Rest { .. } => 8,
            Self::Segment { .. } => 9,
            Self::Taken { .. } => 10,
            Self::Gone { .. } => 11,
            Self::Suspect(_) => 12,
            Self::Cleared { .. } => 13,
            Self::RefusedInARow { .. } => 14,
            Self::AcceptedSince => 15,
            Self::Pause(_) => 16,
            Self::Lanes(_) => 17,
            Self::Totals(_) => 18,
            Self::RejectedFile(_) => 19,
            Self::RejectedTail { .. } => 20,
            Self::Forgotten(_) => 21,
            Self::RejectedGone { .. } => 22,
            Self::Receipt { .. } => 23,
            Self::ReceiptsForgotten { .. } => 24,
            Self::Numbers(_) => 25,
            Self::RejectedCount { .. } => 26,
            Self::Answered { .. } => 28,
        }
    }

    /// Appends the entry to the payload of a record.
    pub(in crate::store) fn encode(&self, out: &mut Vec<u8>) {
        // The value is written first, behind room for a short length, and moved where that does not do.
        out.extend_from_slice(&[self.tag(), 0]);
        let start = out.len();
        self.encode_value(out);
        let length = out.len() - start;
        if length < 0x80 {
            out[start - 1] = length as u8;
            return;
        }
        let mut prefix = Vec::new();
        put(&mut prefix, length as u64);
        out.splice(start - 1..start, prefix);
    }

    fn encode_value(&self, out: &mut Vec<u8>) {
        match self {
            Self::Snapshot { part, of } => {
                put(out, u64::from(*part));
                put(out, u64::from(*of));
            }
            Self::Elected {
                pid,
                wall_ms,
                session,
            } => {
                put(out, u64::from(*pid));
                put_signed(out, *wall_ms);
                put(out, u64::from(*session));
            }
            Self::Queue { place, position } => {
                put_place(out, *place);
                put_signed(out, position.passed);
                put_point(out, position.head);
                put(out, position.tail);
                put_signed(out, position.last_run);
                put(out, position.events);
                put(out, position.bytes);
            }
            Self::QueueFiles { place, files } => {
                put_place(out, *place);
                for file in files {
                    put(out, file.number);
                    put(out, file.end);
                }
            }
            Self::Marks { place, run, marks } => {
                put_place(out, *place);
                put_signed(out, *run);
                out.extend_from_slice(&marks.to_le_bytes());
            }
            Self::Isolation { place, isolation } => {
                put_place(out, *place);
                put(out, u64::from(isolation.group));
                put(out, u64::from(isolation.doubtful));
                for weight in &isolation.belief {
                    out.extend_from_slice(&weight.to_le_bytes());
                }
            }
            Self::InDoubt { lane, in_doubt } => {
                out.push(*lane);
                if let Some(batch) = in_doubt {
                    out.push(batch.queue);
                    put(out, u64::from(batch.events));
                    put(out, u64::from(batch.attempts));
                    put_signed(out, batch.first_ms);
                    put_signed(out, batch.last_ms);
                }
            }
            Self::Answered { lane, status } => {
                out.push(*lane);
                put(out, u64::from(*status));
            }
            Self::Rest { lane, rest } => {
                out.push(*lane);
                put_signed(out, rest.drawn_ms);
                put_signed(out, rest.wait_ms);
                put_optional(out, rest.until_ms);
                out.push(u8::from(rest.connection_lost));
                put(out, u64::from(rest.server_errors));
            }
            Self::Segment { number, name } => {
                put(out, *number);
                out.extend_from_slice(name.as_bytes());
            }
            Self::Taken { number, upto } => {
                put(out, *number);
                put(out, *upto);
            }
            Self::Gone { number } | Self::RejectedGone { number } => put(out, *number),
            Self::Suspect(suspect) => {
                out.push(suspect.lane);
                out.push(u8::from(suspect.accepted));
                put(out, suspect.waiting);
                out.extend_from_slice(&suspect.user);
            }
            Self::Cleared { user } => out.extend_from_slice(user),
            Self::RefusedInARow { user } => out.extend_from_slice(user.as_bytes()),
            Self::AcceptedSince => {}
            Self::Pause(pause) => {
                if let Some(pause) = pause {
                    put_pause(out, pause);
                }
            }
            Self::Lanes(lanes) => out.push(*lanes),
            Self::Totals(changed) => {
                for (place, value) in changed {
                    out.push(*place);
                    put(out, *value);
                }
            }
            Self::RejectedFile(file) => {
                put(out, file.number);
                put_signed(out, file.first_id);
                put_signed(out, file.next_id);
                put(out, file.end);
                out.extend_from_slice(&file.forgotten);
            }
            Self::RejectedTail {
                number,
                first_id,
                next_id,
                end,
            } => {
                put(out, *number);
                put_signed(out, *first_id);
                put_signed(out, *next_id);
                put(out, *end);
            }
            Self::Forgotten(ids) => {
                let mut last = 0;
                for id in ids {
                    put_signed(out, id.wrapping_sub(last));
                    last = *id;
                }
            }
            Self::Receipt { id, bytes } => {
                put_signed(out, *id);
                out.extend_from_slice(bytes);
            }
            Self::ReceiptsForgotten { below } => put_signed(out, *below),
            Self::Numbers(numbers) => {
                put_signed(out, numbers.run);
                put_signed(out, numbers.receipt);
                put(out, numbers.segment);
                put(out, numbers.queue_file);
                put_signed(out, numbers.rejected);
                put(out, numbers.rejected_file);
                put_signed(out, numbers.receipts_from);
                put(out, u64::from(numbers.session));
            }
            Self::RejectedCount {
                reason,
                api_code,
                events,
            } => {
                out.push(*reason as u8);
                put(out, *events);
                out.extend_from_slice(api_code.as_bytes());
            }
        }
    }
}

fn put_place(out: &mut Vec<u8>, place: Place) {
    out.extend_from_slice(&[place.lane, place.queue]);
}

fn put_point(out: &mut Vec<u8>, point: Point) {
    put(out, point.file);
    put(out, point.offset);
}

fn put_pause(out: &mut Vec<u8>, pause: &PauseState) {
    put_bytes(out, pause.reason.name().as_bytes());
    put_signed(out, pause.since_ms);
    put_optional(out, pause.probe_ms);
    put_signed(out, pause.probe_wait_ms);
    put_optional(out, pause.http_status.map(i64::from));
    put_bytes(out, pause.message.as_bytes());
    for maybe in [
        pause.api_code.as_ref().map(String::as_bytes),
        pause.fingerprint.as_deref(),
    ] {
        out.push(u8::from(maybe.is_some()));
        if let Some(bytes) = maybe {
            put_bytes(out, bytes);
        }
    }
}
