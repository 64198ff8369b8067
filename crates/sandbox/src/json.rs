//! What several of the control API's documents need beyond serde.

use serde::{Deserialize, Deserializer};

/// Deserializes a member that may be `null`, so that `null` (`Some(None)`) differs from a missing
/// member (`None`, by `#[serde(default)]`).
pub(crate) fn double_option<'de, D, T>(deserializer: D) -> Result<Option<Option<T>>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    Option::deserialize(deserializer).map(Some)
}
