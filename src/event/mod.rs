//! An event: its five fields checked, and encoded once to the JSON that the wire will carry.
//!
//! The encoded form, a *fragment*, is what the journal stores, what the store packs into runs and
//! what a request concatenates; nothing is ever parsed and serialised again:
//!
//! ```json
//! {"token":"t","partner_user_id":"u","event":"video","event_value":null,"received_at":"2024-08-06 15:04:05"}
//! ```
//!
//! Its members always stand in this order without spaces, and a text has only one way to be
//! escaped. So [`user_of`] finds the user of a fragment by scanning, and compares users as bytes.
//! No error ever quotes a `token`: it is a user's secret.

mod batch;
mod encode;

mod escape;
mod fields;
mod fragment;
mod invalid;
mod json;
mod kind;
mod received_at;

pub use batch::Batch;
pub use encode::encode;
pub(crate) use encode::encode_raw;
pub(crate) use fields::RawFields;
pub use fields::{Fields, Rules};
pub(crate) use fragment::user_and_kind;
pub use fragment::{escaped_user, user_of, user_text};
pub use invalid::field_of;
pub use json::{encode_json, encode_json_event};
pub use kind::EventKind;
pub use received_at::UtcOffset;

#[cfg(test)]
mod tests;
