//! Whether a spool is forwarded: its events go to a database, from which the relays of a fleet send.

use super::open::Spool;
use crate::error::{Error, ErrorKind, Result};
use crate::spelling::shell_word;

/// The file that only a forwarded spool has.
pub(crate) const FORWARDING: &str = "forward.json";

impl Spool {
    /// Refuses to send from a spool that is forwarded: its events would be delivered twice, and out of order.
    ///
    /// Errors: [`ErrorKind::SpoolMismatch`].
    pub(crate) fn refuse_forwarded(&self) -> Result<()> {
        let dir = self.held_dir()?;
        let size = dir.size(FORWARDING).map_err(|e| dir.error(FORWARDING, e))?;
        if size.is_none() {
            return Ok(());
        }
        Err(Error::new(
            ErrorKind::SpoolMismatch,
            format!(
                "{}: is forwarded to a database, from which relays send; nothing is sent from here: run meditopia forward {}",
                self.name(),
                shell_word(&self.dir().display().to_string())
            ),
        ))
    }
}
