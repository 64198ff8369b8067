//! [`Client`]: open, enqueue, flush, close.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, OnceLock};
use std::time::{Duration, Instant};

use super::core::Core;
use super::import::{self, Import, KnownImport};
use super::registry;
use super::watchdog::SenderSeen;
use crate::clock;
use crate::config::{BearerToken, Config};
use crate::dispatch::Command;
use crate::error::{Error, ErrorKind, Result};
use crate::event::{self, Batch, Fields, RawFields};
use crate::journal::segment;
use crate::journal::usage;
use crate::log::{Callback, Log, Record};
use crate::mutex::{lock, wait};
use crate::process::{Owner, PerProcess};
use crate::sender::Report;
use crate::stats::Stats;

/// What an application opens on a spool. All methods may be called from any thread, also after
/// `fork`.
pub struct Client {
    attachment: PerProcess<Attachment>,
    closed: AtomicBool,
    /// The log of a closed client, which still holds the records of the close.
    log_after_close: OnceLock<Arc<Log>>,
    /// Unique among the clients of a process.
    id: u64,
}

/// Whether the caller of a close wants a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum CloseReport {
    Wanted,
    NotWanted,
}

static NEXT_ID: AtomicU64 = AtomicU64::new(1);

/// A client's share in the core of its process.
struct Attachment {
    core: Arc<Core>,
    attached: AtomicBool,
    /// A thread of this process is closing the client.
    closing: Mutex<bool>,
    close_ended: Condvar,
}

/// A close that this process has begun, until it has ended in whatever way.
struct Closing<'a>(&'a Attachment, Owner);

impl Drop for Closing<'_> {
    fn drop(&mut self) {
        // The log's callback may have forked, and return in the child.
        if self.1.is_current() {
            // Told under the lock: who waits for the end frees the client.
            let mut closing = lock(&self.0.closing);
            *closing = false;
            self.0.close_ended.notify_all();
        }
    }
}

impl Client {
    /// Opens the spool that `config` names, and creates it if it does not exist. Starts no thread.
    ///
    /// Errors: [`ErrorKind::Config`]; [`ErrorKind::Conflict`] if this process has the spool open
    /// with another value for a key; [`ErrorKind::SpoolMismatch`]; [`ErrorKind::Store`] if a newer
    /// version of the library wrote it; [`ErrorKind::Io`].
    ///
    /// ```
    /// # fn main() -> meditopia::Result<()> {
    /// use meditopia::{Client, Config, Fields};
    ///
    /// let mut config = Config::new();
    /// config.set("durability", "memory")?;
    /// config.set("role", "enqueue")?;
    /// let client = Client::open(&config)?;
    /// client.enqueue(&Fields {
    ///     token: "user-token-1",
    ///     partner_user_id: "user-1",
    ///     event: "video",
    ///     event_value: None,
    ///     received_at: None,
    /// })?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn open(config: &Config) -> Result<Self> {
        let settings = config.settings()?;
        let core = registry::open(settings)?;
        for warning in config.warnings() {
            core.log.warn(format_args!("{warning}"));
        }
        Ok(Self::from_core(core))
    }

    /// A client of `core`, which has counted the client already.
    pub(super) fn from_core(core: Arc<Core>) -> Self {
        Self {
            attachment: PerProcess::new(Attachment::new(core)),
            closed: AtomicBool::new(false),
            log_after_close: OnceLock::new(),
            id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
        }
    }

    /// Queues one event. Returns once the event is safe at the configured durability. Does no
    /// network I/O and does not wait for the sender.
    ///
    /// Errors: [`ErrorKind::InvalidEvent`] names the field, and nothing is queued;
    /// [`ErrorKind::SpoolFull`]; [`ErrorKind::Closed`]; [`ErrorKind::Io`]: the outcome is unknown,
    /// the event may still be delivered.
    pub fn enqueue(&self, fields: &Fields<'_>) -> Result<()> {
        self.enqueue_raw(&fields.into())
    }

    /// [`enqueue`](Self::enqueue) of bytes. Bytes that are not UTF-8 are an
    /// [`ErrorKind::InvalidArgument`].
    pub(crate) fn enqueue_raw(&self, fields: &RawFields<'_>) -> Result<()> {
        let core = self.core()?;
        let sample = core.begin_sample();
        let mut now_ns = 0;
        let changed = core.writer.append(|record, now| {
            now_ns = now.boot_ns;
            segment::push_fragment(record, |out| {
                event::encode_raw(fields, &core.rules, now.wall_ms, out)
            })?;
            Ok(1)
        })?;
        if let Some(begun) = sample {
            core.end_sample(begun);
        }
        core.report_changed(changed);
        core.after_enqueue(1, now_ns)
    }

    /// Queues the events in `json`, all or none: one object, an array, or `{"events": [...]}`.
    /// Returns their number.
    ///
    /// Errors: as [`enqueue`](Self::enqueue), with [`Error::event_index`] set; also
    /// [`ErrorKind::InvalidArgument`] if `json` is not JSON, or is more than one call takes.
    pub fn enqueue_json(&self, json: &[u8]) -> Result<usize> {
        let core = self.core()?;
        let mut batch = Batch::new();
        event::encode_json(json, &core.rules, clock::wall_ms(), &mut batch)?;
        if batch.is_empty() {
            return Ok(0);
        }
        let mut now_ns = 0;
        let changed = core.writer.append(|record, now| {
            now_ns = now.boot_ns;
            for fragment in batch.iter() {
                segment::push_fragment(record, |out| {
                    out.extend_from_slice(fragment);
                    Ok::<_, Error>(())
                })?;
            }
            Ok(batch.len() as u32)
        })?;
        core.report_changed(changed);
        core.after_enqueue(batch.len(), now_ns)?;
        Ok(batch.len())
    }

    /// Begins or continues the import called `name`: events in bulk, each queued once even if the
    /// importing process dies. What an earlier process committed and did not publish is published
    /// now.
    ///
    /// Errors: [`ErrorKind::Timeout`] while another process has an import of this name open;
    /// [`ErrorKind::Store`] if the progress of the import cannot be read; [`ErrorKind::Closed`];
    /// [`ErrorKind::SpoolFull`]; [`ErrorKind::Io`].
    pub fn import(&self, name: &str) -> Result<Import> {
        Import::open(self.core()?.clone(), name)
    }

    /// The imports that the spool remembers, at most 10,000.
    ///
    /// Errors: [`ErrorKind::Store`] if the progress of one cannot be read; [`ErrorKind::Closed`];
    /// [`ErrorKind::Io`].
    pub fn imports(&self) -> Result<Vec<KnownImport>> {
        import::known(self.core()?)
    }

    /// Waits, at most `timeout`, until every event that was enqueued on this spool before the call
    /// is delivered or rejected. Sends in this process if no other process does.
    ///
    /// The report counts from the start of the call, and is valid whatever the outcome. Errors:
    /// [`ErrorKind::Paused`] with the reason; [`ErrorKind::Timeout`]; [`ErrorKind::Closed`];
    /// [`ErrorKind::Store`]; [`ErrorKind::Config`] if no connection can be made with this configuration;
    /// [`ErrorKind::Io`].
    pub fn flush(&self, timeout: Duration) -> (Report, Result<()>) {
        match self.core() {
            Ok(core) => core.flush(deadline(timeout)),
            Err(error) => (Report::default(), Err(error)),
        }
    }

    /// Closes the client. With `role = both`, the last client of a spool flushes and stops the
    /// sender of this process first, within `timeout`; with `role = enqueue` nothing is sent.
    ///
    /// Closing again does nothing, but waits for a thread that is closing the client. The client is closed
    /// whatever the outcome, and the next sender delivers what is pending. Errors: as [`flush`](Self::flush).
    pub fn close(&self, timeout: Duration) -> Result<()> {
        self.close_within(timeout, CloseReport::NotWanted).1
    }

    /// [`close`](Self::close) with a report. The report costs a read of the store, and of the part
    /// of the journal that is not taken over yet.
    pub fn close_with_report(&self, timeout: Duration) -> (Report, Result<()>) {
        self.close_within(timeout, CloseReport::Wanted)
    }

    fn close_within(&self, timeout: Duration, report: CloseReport) -> (Report, Result<()>) {
        let deadline = deadline(timeout);
        let attachment = self.attachment();
        let core = &*attachment.core;
        let mut closing = lock(&attachment.closing);
        if self.closed.swap(true, Ordering::AcqRel) {
            drop(closing);
            return (Report::default(), self.wait_closed(deadline));
        }
        *closing = true;
        drop(closing);
        let _closing = Closing(attachment, Owner::current());
        let _ = self.log_after_close.set(core.log.clone());
        let before = (report == CloseReport::Wanted).then(|| core.totals(deadline));
        let last = attachment.detach();
        let outcome = if last {
            core.flush_and_stop(deadline)
        } else {
            Ok(())
        };
        core.log.unset_callback_of(self.id);
        let report = before.map_or_else(Report::default, |before| {
            core.report(before, deadline, &outcome)
        });
        if last {
            core.remove_temporary();
        }
        (report, outcome)
    }

    /// Waits for another thread that is closing the client; after `deadline` only for its callback. Within a
    /// callback there is nothing to wait for: the close waits for that.
    fn wait_closed(&self, deadline: Instant) -> Result<()> {
        let attachment = self.attachment();
        if attachment.core.log.is_in_callback() {
            return Ok(());
        }
        let mut closing = lock(&attachment.closing);
        while *closing {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                drop(closing);
                attachment.core.log.unset_callback_of(self.id);
                return Err(Error::new(
                    ErrorKind::Timeout,
                    "another thread is still closing this client; what waits is kept",
                ));
            }
            closing = wait(&attachment.close_ended, closing, left);
        }
        // A forked child is given a share at its first call, which may be this one.
        attachment.detach();
        Ok(())
    }

    /// Closes the client, with a timeout of 0, and waits for another thread that does, however long that takes.
    pub(crate) fn close_before_free(&self) {
        // A timeout is no loss: the events wait in the spool. There is nowhere to report it.
        let _ = self.close(Duration::ZERO);
        let _ = self.wait_closed(deadline(Duration::MAX));
    }

    /// Starts sending in the background, as the first enqueue of this process would. Does nothing
    /// with `role = enqueue`.
    ///
    /// Errors: [`ErrorKind::Closed`]; [`ErrorKind::Io`] if no thread can be started.
    pub fn start(&self) -> Result<()> {
        self.core()?.start()
    }

    /// Whether the sender of this process is alive, and what its standing on the spool is. Waits at
    /// most for the step that the sender is taking. Errors: [`ErrorKind::Closed`].
    #[cfg(feature = "internals")]
    pub fn vitals(&self) -> Result<crate::sender::Vitals> {
        Ok(self.core()?.sender.vitals())
    }

    /// Whether the spool is still at its path; `false`: another directory is, or none, and no sender of this
    /// process sends any more. Errors: [`ErrorKind::Closed`], [`ErrorKind::Io`].
    #[cfg(feature = "internals")]
    pub fn is_spool_at_path(&self) -> Result<bool> {
        self.core()?.spool.is_at_path()
    }

    /// Replaces the bearer token of this process's sender. Waits for nothing: the sender's next step
    /// ends a pause for a refused token.
    ///
    /// Errors: [`ErrorKind::Config`] if the token does not fit a header; [`ErrorKind::Closed`].
    pub fn set_bearer_token(&self, token: &str) -> Result<()> {
        let core = self.core()?;
        core.sender.replace_token(BearerToken::new(token)?);
        Ok(())
    }

    /// Stops sending from this spool until [`resume`](Self::resume); enqueue goes on. Waits up to 5
    /// s for the sender of another process to carry this out.
    ///
    /// Errors: [`ErrorKind::Timeout`], [`ErrorKind::Closed`], [`ErrorKind::Store`],
    /// [`ErrorKind::Io`].
    pub fn hold(&self) -> Result<()> {
        self.core()?.sender.command(&Command::Hold).map(drop)
    }

    /// Ends any pause of this spool, and any backoff. Errors: as [`hold`](Self::hold).
    pub fn resume(&self) -> Result<()> {
        self.core()?.sender.command(&Command::Resume).map(drop)
    }

    /// The statistics of this process and of the spool. Errors: [`ErrorKind::Closed`],
    /// [`ErrorKind::Store`], [`ErrorKind::Io`].
    pub fn stats(&self) -> Result<Stats> {
        self.core()?.stats()
    }

    /// When a sender was last at work on this spool, and whether events seem to be pending: for an
    /// application that only enqueues, and much cheaper than [`stats`](Self::stats). Errors:
    /// [`ErrorKind::Closed`], [`ErrorKind::Io`].
    pub fn sender_seen(&self) -> Result<SenderSeen> {
        SenderSeen::read(&self.core()?.spool)
    }

    /// Bytes that wait for delivery, as they count against `max_spool_bytes`. Approximate: the
    /// sender's part may be a second old. Errors: [`ErrorKind::Closed`], [`ErrorKind::Io`].
    pub fn waiting_bytes(&self) -> Result<u64> {
        usage::pending_bytes(&self.core()?.spool)
    }

    /// Sets or unsets the callback that log records go to; see [`crate::log::Log::set_callback`].
    ///
    /// Errors: [`ErrorKind::Closed`].
    pub fn set_log_callback(&self, callback: Option<Callback>) -> Result<()> {
        let core = self.core()?;
        core.log.set_callback(self.id, callback);
        // Another thread may have closed the client after the check above and before the set.
        if self.closed.load(Ordering::Acquire) {
            core.log.unset_callback_of(self.id);
        }
        Ok(())
    }

    /// The next log record, for applications that poll. A closed client still returns the records
    /// that were not polled. Errors: [`ErrorKind::Closed`] once it is closed and none is left.
    pub fn log_next(&self) -> Result<Option<Record>> {
        let remaining = self.log_after_close.get().and_then(|log| log.next());
        if remaining.is_some() {
            return Ok(remaining);
        }
        Ok(self.core()?.log.next())
    }

    pub(super) fn core(&self) -> Result<&Arc<Core>> {
        if self.closed.load(Ordering::Acquire) {
            return Err(Error::new(
                ErrorKind::Closed,
                "this client was closed; open another one",
            ));
        }
        Ok(&self.attachment().core)
    }

    fn attachment(&self) -> &Attachment {
        self.attachment
            .get(|parent| Attachment::new(registry::in_child(&parent.core)))
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        let _ = self.close(Duration::ZERO);
    }
}

impl Attachment {
    /// A share that the [`registry`] has counted already.
    fn new(core: Arc<Core>) -> Self {
        Self {
            core,
            attached: AtomicBool::new(true),
            closing: Mutex::new(false),
            close_ended: Condvar::new(),
        }
    }

    /// Gives the share back, and returns whether it was the last of its core.
    fn detach(&self) -> bool {
        self.attached.swap(false, Ordering::AcqRel) && registry::detach(&self.core)
    }
}

impl Drop for Attachment {
    fn drop(&mut self) {
        self.detach();
    }
}

/// When a wait of this length ends. A longer wait than a century would overflow the clock.
fn deadline(timeout: Duration) -> Instant {
    const CENTURY: Duration = Duration::from_secs(100 * 365 * 24 * 3_600);
    Instant::now() + timeout.min(CENTURY)
}
