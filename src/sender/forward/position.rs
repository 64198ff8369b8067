//! Where the spool is in the database: what a step that was read there means, and going on from it.

use super::Forwarding;
use super::record::Found;
use super::statement::Pending;
use super::value::Value;
use crate::error::{Error, ErrorKind, Result};
use crate::journal::round::Offsets;
use crate::journal::segment::HEADER_LEN;
use crate::spool::Safety;
use crate::store::HostStore;

impl Forwarding {
    /// Whether the database was not asked yet where the spool is.
    pub fn has_no_position(&self) -> bool {
        !self.is_positioned
    }

    /// The database has this spool at this step, with these offsets, which are empty where it was made just now.
    /// After that, [`next_handover`](Self::next_handover) goes on from there.
    ///
    /// Errors: [`ErrorKind::Conflict`] if another forwarder has taken the step since.
    pub fn found(&mut self, step: i64, offsets: &[u8]) -> Result<()> {
        let decoded = match offsets {
            [] => Some(Value::default()),
            _ => Value::decode(offsets),
        };
        let value = decoded.ok_or_else(|| {
            Error::new(
                ErrorKind::Store,
                format!(
                    "{}: a newer libmeditopia has forwarded it; forward with that version",
                    self.spool.name()
                ),
            )
        })?;
        self.is_positioned = true;
        let found = self
            .record
            .judge((step, value.nonce), self.spool.boot_count());
        match found {
            Found::New => {
                // What the ledger says is taken over was delivered by a sender of this host, or by a fleet. The
                // database does not know it, so the window does, before the spool has a position.
                let offsets = self.offsets.clone();
                self.window.start_at(&offsets);
                self.window.write(&self.spool, Safety::Power)?;
                let nonce = value.nonce;
                self.go_on_from(Value { offsets, nonce })?;
                self.settle(step, nonce);
            }
            Found::Unchanged if self.round.is_some() => {}
            // What was sent from this step may still be committed: its nonces stay known.
            Found::Unchanged => self.go_on_from(value)?,
            Found::Committed => {
                let is_pending = |pending: &mut Pending| pending.nonce == value.nonce;
                match self.pending.take_if(is_pending) {
                    Some(pending) => self.take_in(pending)?,
                    None => {
                        let nonce = value.nonce;
                        self.go_on_from(value)?;
                        self.settle(step, nonce);
                    }
                }
            }
            Found::Older => {
                self.set_back(step, &value.offsets)?;
                self.settle(step, value.nonce);
            }
            Found::Foreign => {
                return Err(Error::new(
                    ErrorKind::Conflict,
                    format!(
                        "{}: another forwarder has forwarded this spool since (step {step} in the database, {} here): it was copied, and the copy is forwarded as well; end one of the two for good; nothing was forwarded twice, and what waits here is kept",
                        self.spool.name(),
                        self.record.step
                    ),
                ));
            }
        }
        self.reached()
    }

    /// The database says itself how far the spool is.
    fn go_on_from(&mut self, value: Value) -> Result<()> {
        self.round = None;
        self.pending = None;
        // What is not in the value is not forwarded, but it may be freed, after a database was set back.
        let mut offsets = value.offsets;
        for (name, freed) in self.window.freed() {
            let offset = offsets.entry(name.clone()).or_default();
            *offset = (*offset).max(*freed);
        }
        let moved: Vec<(String, u64)> = offsets
            .iter()
            .filter(|(name, upto)| self.offsets.get(*name) != Some(upto))
            .map(|(name, upto)| (name.clone(), *upto))
            .collect();
        self.offsets = offsets;
        self.commit_taken(&moved, 0)
    }

    /// The database has lost what was forwarded since a step: it is forwarded again.
    #[cold]
    fn set_back(&mut self, step: i64, theirs: &Offsets) -> Result<()> {
        let name = self.spool.name();
        self.log.warn(format_args!(
            "{name}: the database is older than what was forwarded to it (step {step} instead of {}); what the journal keeps is forwarded again, and some of it may be delivered twice",
            self.record.step
        ));
        if step < self.window.freed_step() {
            self.log.error(format_args!(
                "{name}: events that were forwarded between the steps {step} and {} are not in the journal any more, and this database does not have them; see forward_keep_s and forward_keep_bytes",
                self.window.freed_step()
            ));
        }
        self.round = None;
        self.pending = None;
        self.offsets = self.window.set_back(step, theirs);
        self.window.write(&self.spool, Safety::Power)?;
        let moved: Vec<(String, u64)> = self
            .store
            .offsets()
            .into_keys()
            .map(|name| {
                let upto = self.offsets.get(&name).copied();
                (name, upto.unwrap_or(HEADER_LEN as u64))
            })
            .collect();
        self.commit_taken(&moved, 0)?;
        Ok(())
    }
}
