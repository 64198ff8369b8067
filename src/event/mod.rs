//! An event: its five fields are checked, and encoded once to the JSON that a request will carry.
//!
//! The encoded form, a *fragment*, is what the journal stores, what the store packs into runs and
//! what a request concatenates. It is never parsed and serialised again:
//!
//! ```json
//! {"token":"t","partner_user_id":"u","event":"video","event_value":null,"received_at":"2024-08-06 15:04:05"}
//! ```
//!
//! The members of a fragment are always in this order, without spaces, and there is one way to
//! escape a text. So [`user_of`] finds the user of a fragment by a scan, and equal users are equal
//! bytes. No error ever quotes a `token`, because it is a secret of the user.

mod batch;
mod encode;

mod escape;
mod fields;
mod fragment;
mod invalid;
mod json;
mod kind;
mod naming;
mod received_at;

pub use batch::Batch;
pub use encode::encode;
pub(crate) use encode::encode_raw;
pub(crate) use fields::RawFields;
pub use fields::{Fields, Rules};
pub use fragment::mark_of_user;
pub use fragment::{escaped_user, user_of, user_text};
pub(crate) use fragment::{has_mark, user_and_kind};
pub use invalid::field_of;
pub use json::{encode_json, encode_json_event};
pub use kind::EventKind;
pub(crate) use naming::{leave_user_out, names_user};
pub use received_at::UtcOffset;

#[cfg(test)]
mod tests;
