//! The client: what a host holds on to.
//!
//! A [`Client`] is a handle. Handles of one process on one spool share one core - a writer, a sender,
//! a log - and every process has cores of its own: the first call in a forked child makes a fresh
//! one, without touching a lock that may have been held at the moment of the fork.

mod core;
mod export;
mod figures;
mod import;
mod kept;
mod listing;
mod operator;
mod pending;
mod receipts;
mod recover;
mod registry;
mod retry;
mod watch;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

pub use self::import::{Import, ImportEnd};
pub use self::listing::{Cursor, Row, RowReason};
pub use self::operator::{Purpose, RejectedCount};
pub use self::pending::PendingFilter;
pub use self::receipts::{Receipt, Receipts, UserShare};
pub use self::recover::recover;
pub use self::retry::Retry;
pub use self::watch::SenderSeen;
pub use crate::sender::{Elected, Report, Standing, Vitals};
pub use crate::store::sqlite::recover::{Repair, Salvage};

pub use self::core::connection;

use self::core::Core;
use crate::clock;
use crate::config::{BearerToken, Config, Role, Settings};
use crate::error::{Error, ErrorKind, Result};
use crate::event::{self, Batch, Fields, RawFields};
use crate::journal::segment;
use crate::journal::usage;
use crate::log::{Callback, Log, Record};
use crate::process::PerProcess;
use crate::sender::Command;
use crate::stats::Stats;
pub use crate::store::{ReceiptFilter, RejectedFilter, RejectedReason};
use crate::transport::Transport;

/// A handle on a spool. All methods may be called from any thread, also after `fork`.
pub struct Client {
    attachment: PerProcess<Attachment>,
    closed: AtomicBool,
    /// What the log of a closed client is still asked for: what the close has said.
    left_log: OnceLock<Arc<Log>>,
    /// Tells the handles of a process apart.
    id: u64,
}

/// What a close does after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Then {
    /// Tell what has become of the events.
    Report,
    /// Nothing: nobody asks.
    Leave,
}

static NEXT_ID: AtomicU64 = AtomicU64::new(1);

/// A handle's share in the core of its process.
struct Attachment {
    core: Arc<Core>,
    attached: AtomicBool,
}

impl Client {
    /// Opens the spool that `config` names, and creates it if there is none. Starts no thread.
    ///
    /// Errors: [`ErrorKind::Config`]; [`ErrorKind::Conflict`] if this process has the spool open
    /// with another value for a key; [`ErrorKind::SpoolMismatch`]; [`ErrorKind::Store`] if a newer
    /// version wrote it; [`ErrorKind::Io`].
    ///
    /// ```
    /// # fn main() -> meditopia::error::Result<()> {
    /// use meditopia::{client::Client, config::Config, event::Fields};
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
        Ok(Self::on(core))
    }

    /// A handle on a core that has counted it.
    fn on(core: Arc<Core>) -> Self {
        Self {
            attachment: PerProcess::new(Attachment::new(core)),
            closed: AtomicBool::new(false),
            left_log: OnceLock::new(),
            id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
        }
    }

    /// Queues one event. Returns once it is safe at the configured durability; never does network
    /// I/O and never waits for the sender.
    ///
    /// Errors: [`ErrorKind::InvalidEvent`] names the field, and nothing is queued;
    /// [`ErrorKind::SpoolFull`]; [`ErrorKind::Closed`]; [`ErrorKind::Io`]: unknown, the event may
    /// still be delivered.
    pub fn enqueue(&self, fields: &Fields<'_>) -> Result<()> {
        self.enqueue_raw(&fields.into())
    }

    /// [`enqueue`](Self::enqueue), also of what is not UTF-8: [`ErrorKind::InvalidArgument`].
    pub(crate) fn enqueue_raw(&self, fields: &RawFields<'_>) -> Result<()> {
        let core = self.core()?;
        let begun = core.measure_enqueue();
        let mut now_ns = 0;
        core.writer.append(|record, now| {
            now_ns = now.boot_ns;
            segment::push_fragment(record, |out| {
                event::encode_raw(fields, &core.rules, now.wall_ms, out)
            })?;
            Ok(1)
        })?;
        if let Some(begun) = begun {
            core.enqueue_took(begun);
        }
        core.enqueued(1, now_ns)
    }

    /// Queues the events in `json`: one object, an array, or `{"events": [...]}`. All or none.
    /// Says how many there were.
    ///
    /// Errors: as [`enqueue`](Self::enqueue), with [`Error::event_index`] set; also
    /// [`ErrorKind::InvalidArgument`] if it is not JSON or more than one call takes.
    pub fn enqueue_json(&self, json: &[u8]) -> Result<usize> {
        let core = self.core()?;
        let mut batch = Batch::new();
        event::encode_json(json, &core.rules, clock::wall_ms(), &mut batch)?;
        if batch.is_empty() {
            return Ok(0);
        }
        let mut now_ns = 0;
        core.writer.append(|record, now| {
            now_ns = now.boot_ns;
            for fragment in batch.iter() {
                segment::push_fragment(record, |out| {
                    out.extend_from_slice(fragment);
                    Ok::<_, Error>(())
                })?;
            }
            Ok(batch.len() as u32)
        })?;
        core.enqueued(batch.len(), now_ns)?;
        Ok(batch.len())
    }

    /// Begins or goes on with the import called `name`: events in bulk, each queued once although the
    /// process that brings them may die. What an earlier process has committed and not published is
    /// published now.
    ///
    /// Errors: [`ErrorKind::Timeout`] while another process has an import of this name open;
    /// [`ErrorKind::Store`] if what is known of it cannot be read; [`ErrorKind::Closed`];
    /// [`ErrorKind::SpoolFull`]; [`ErrorKind::Io`].
    pub fn import(&self, name: &str) -> Result<Import> {
        Import::open(self.core()?.clone(), name)
    }

    /// Waits until everything enqueued on this spool before the call is delivered or rejected, at
    /// most `timeout`. Sends by itself if no other process does.
    ///
    /// The report counts from the call's start, and is right whatever the outcome. Errors:
    /// [`ErrorKind::Paused`] with the reason; [`ErrorKind::Timeout`]; [`ErrorKind::Forked`] in a
    /// child of a process that was sending; [`ErrorKind::Closed`]; [`ErrorKind::Store`];
    /// [`ErrorKind::Config`] if the connection is not set up rightly; [`ErrorKind::Io`].
    pub fn flush(&self, timeout: Duration) -> (Report, Result<()>) {
        match self.core() {
            Ok(core) => core.flush(deadline(timeout)),
            Err(error) => (Report::default(), Err(error)),
        }
    }

    /// Closes the handle. With `role = both`, the last handle of a spool flushes and stops this
    /// process's sender first, within `timeout`; with `role = enqueue` nothing is sent.
    ///
    /// Closing again does nothing. Whatever the outcome the handle is closed, and what waits goes
    /// with the next sender. Errors: as [`flush`](Self::flush).
    pub fn close(&self, timeout: Duration) -> Result<()> {
        self.close_and(Then::Leave, timeout).1
    }

    /// [`close`](Self::close) with a report, which costs a look into the store and at what of the
    /// journal is not taken over yet.
    pub fn close_with_report(&self, timeout: Duration) -> (Report, Result<()>) {
        self.close_and(Then::Report, timeout)
    }

    fn close_and(&self, then: Then, timeout: Duration) -> (Report, Result<()>) {
        let deadline = deadline(timeout);
        if self.closed.swap(true, Ordering::AcqRel) {
            return (Report::default(), Ok(()));
        }
        let attachment = self.attachment();
        let core = &*attachment.core;
        let _ = self.left_log.set(core.log.clone());
        let before = (then == Then::Report).then(|| core.sums(deadline));
        let last = attachment.detach();
        let outcome = if last { core.shut(deadline) } else { Ok(()) };
        core.log.end_callback_of(self.id);
        let report = before.map_or_else(Report::default, |before| core.report(before, deadline));
        if last {
            core.remove_temporary();
        }
        (report, outcome)
    }

    /// Has this process send in the background from now on, as its first enqueue would; with
    /// `role = enqueue` nothing happens.
    ///
    /// Errors: [`ErrorKind::Closed`]; [`ErrorKind::Io`] if no thread can be started.
    pub fn start(&self) -> Result<()> {
        self.core()?.start()
    }

    /// Whether this process's sender is alive, and what it is to its spool. Waits for nothing but, for
    /// a moment, a step that is being taken. Errors: [`ErrorKind::Closed`].
    pub fn vitals(&self) -> Result<Vitals> {
        Ok(self.core()?.sender.vitals())
    }

    /// Replaces the bearer token of this process's sender; a pause for a refused token ends.
    ///
    /// Errors: [`ErrorKind::Config`] if it does not fit a header; [`ErrorKind::Closed`];
    /// [`ErrorKind::Io`].
    pub fn set_bearer_token(&self, token: &str) -> Result<()> {
        self.core()?.sender.replace_token(BearerToken::new(token)?)
    }

    /// Stops sending from this spool until [`resume`](Self::resume); enqueue goes on. Waits for the
    /// sender of another process up to 5 s.
    ///
    /// Errors: [`ErrorKind::Timeout`], [`ErrorKind::Closed`], [`ErrorKind::Store`], [`ErrorKind::Io`].
    pub fn hold(&self) -> Result<()> {
        self.core()?.sender.command(&Command::Hold).map(drop)
    }

    /// Ends any pause of this spool, and any wait after a failed request. Errors: as [`hold`](Self::hold).
    pub fn resume(&self) -> Result<()> {
        self.core()?.sender.command(&Command::Resume).map(drop)
    }

    /// Counters of this process and of the spool. Errors: [`ErrorKind::Closed`],
    /// [`ErrorKind::Forked`], [`ErrorKind::Store`], [`ErrorKind::Io`].
    pub fn stats(&self) -> Result<Stats> {
        self.core()?.stats()
    }

    /// When a sender was last at work on this spool, and whether events seem to wait: for a host that
    /// only enqueues, and much cheaper than [`stats`](Self::stats). Errors: [`ErrorKind::Closed`],
    /// [`ErrorKind::Io`].
    pub fn sender_seen(&self) -> Result<SenderSeen> {
        SenderSeen::look(&self.core()?.spool)
    }

    /// Bytes that wait for delivery, as they count against `max_spool_bytes`: about, for the sender's part
    /// may be a second old. Errors: [`ErrorKind::Closed`], [`ErrorKind::Io`].
    pub fn waiting_bytes(&self) -> Result<u64> {
        usage::pending_bytes(&self.core()?.spool)
    }

    /// Sets or unsets the callback that log records go to; see [`crate::log::Log::set_callback`].
    ///
    /// Errors: [`ErrorKind::Closed`].
    pub fn set_log_callback(&self, callback: Option<Callback>) -> Result<()> {
        let core = self.core()?;
        core.log.set_callback_of(self.id, callback)?;
        // A close of another thread may have ended the callback before this has set it.
        if self.closed.load(Ordering::Acquire) {
            core.log.end_callback_of(self.id);
        }
        Ok(())
    }

    /// The next log record, for hosts that poll; of a closed client those that it has left.
    /// Errors: [`ErrorKind::Closed`] once it is closed and none is left.
    pub fn log_next(&self) -> Result<Option<Record>> {
        let left = self.left_log.get().and_then(|log| log.next());
        if left.is_some() {
            return Ok(left);
        }
        Ok(self.core()?.log.next())
    }

    fn core(&self) -> Result<&Arc<Core>> {
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
    /// A share that [`registry`] has counted.
    fn new(core: Arc<Core>) -> Self {
        Self {
            core,
            attached: AtomicBool::new(true),
        }
    }

    /// Gives the share back; says whether it was the last of its core.
    fn detach(&self) -> bool {
        self.attached.swap(false, Ordering::AcqRel) && registry::detach(&self.core)
    }
}

impl Drop for Attachment {
    fn drop(&mut self) {
        self.detach();
    }
}

/// Whether requests can go out with this configuration: reads `ca_file`, does not connect. What is wrong
/// with it would else show when the first request is due.
///
/// Errors: [`ErrorKind::Config`].
pub fn check_connection(settings: &Settings) -> Result<()> {
    Transport::new(&core::connection(settings)).map(drop)
}

/// When a wait of this length ends; a century is as good as for ever.
fn deadline(timeout: Duration) -> Instant {
    const CENTURY: Duration = Duration::from_secs(100 * 365 * 24 * 3_600);
    Instant::now() + timeout.min(CENTURY)
}

impl Role {
    /// Whether a process of this role sends in the background.
    fn sends(self) -> bool {
        match self {
            Self::Both => true,
            Self::Enqueue => false,
        }
    }
}
