//! `meditopia forward`: hands the events of one spool to the database of a fleet.
//!
//! A host that the API does not take calls from runs this instead of `meditopia run`. It needs no bearer
//! token and reaches nothing but the database.

mod endpoint;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use meditopia::internals::config::{Durability, Role};
use meditopia::{Client, LogLevel as Level};
use meditopia_fleet::forward::{self, End, Forwarder, Goal, Settings, Stop, Trouble};
use meditopia_fleet::members;

use self::endpoint::ForwarderAnswers;
use crate::endpoint::EndpointOptions;
use crate::failure::{EVENTS_LEFT, FAILED, Failure, USAGE};
use crate::options::spool::{SpoolOptions, TokenUse};
use crate::options::store::StoreNames;
use crate::output::log::{Log, LogFormat};
use crate::output::{event_count, print_error, print_line};
use crate::signals::OnSignal;

/// The last part of `--help`.
pub const NOTES: &str = "Signals:
  SIGTERM, SIGINT  hand over what was enqueued before, and end; a second signal ends it at once

The endpoint (--listen):
  /metrics  all counters of the spool, how far behind it is, since when the database is away
  /healthz  503 when the forwarder has not said for 4 s that it is alive
  /readyz   503 with the reason while the database cannot be reached, after 5 s

If another process forwards the spool already, this one stands by and replaces it when it ends; with --once and
--drain it has that one do it, and waits.

In the configuration or the environment (MEDITOPIA_FORWARD_...), beside the options of the store:
  forward_interval_ms  how long an event waits at most until it is handed over (2000)
  forward_keep_s       how long the journal keeps what was handed over, for a database that fails over to an
                       older state or is restored (900)
  forward_keep_bytes   at most so much of it (268435456)

Exit status:
  0  everything that was enqueued before is handed over; or, as a service, a signal ended it
  1  it failed, for instance because the spool was copied and the copy is forwarded as well: see the message
  2  the command line or the configuration is wrong, or the database is no fleet for this spool
  6  the timeout passed, another process had the spool all the while, or a second signal ended it; what is left
     is kept

Examples:
  meditopia forward /var/spool/shop --store-file /etc/meditopia/store
  meditopia forward /var/spool/shop --store-file /etc/meditopia/store --once";

/// The arguments of `meditopia forward`.
#[derive(clap::Args)]
pub struct Options {
    #[command(flatten)]
    spool: SpoolOptions,
    #[command(flatten)]
    store: StoreNames,
    /// Hand over what is there, and end
    #[arg(long, conflicts_with = "listen")]
    once: bool,
    /// The same, and mark the spool as not used any more: the last command in a pod
    #[arg(long, conflicts_with_all = ["once", "listen"])]
    drain: bool,
    /// The same, and give the spool back to the senders of this host
    #[arg(long, conflicts_with_all = ["once", "drain", "listen"])]
    leave: bool,
    /// How long --once, --drain and --leave may take
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    timeout: u32,
    #[command(flatten)]
    endpoint: EndpointOptions,
    /// The format of the log on standard error; by default journal under systemd, otherwise text
    #[arg(long, value_name = "FORMAT")]
    log_format: Option<LogFormat>,
}

impl Options {
    fn goal(&self) -> Goal {
        match (self.once, self.drain, self.leave) {
            (true, ..) => Goal::Once,
            (_, true, _) => Goal::Close,
            (.., true) => Goal::Leave,
            _ => Goal::Stay,
        }
    }
}

/// Forwards until a signal ends the process, or everything is handed over.
pub fn run(options: &Options) -> Result<ExitCode, Failure> {
    // This gives up root, which has to happen before there is a second thread, and before the store is read:
    // its file may be named by whoever owns the configuration.
    let mut config = options.spool.config_as_owner(TokenUse::None)?;
    config.set("role", Role::Enqueue.name())?;
    let settings = config.settings()?;
    if settings.durability == Durability::Memory {
        return Err(Failure::new(
            USAGE,
            "durability: a spool with durability = memory is private to its process, so this command cannot forward it; set process or power",
        ));
    }
    let file = options.spool.config_file();
    let address = options.store.address(file)?;
    let forwarding = Settings::read(file)?;
    let goal = options.goal();
    let deadline =
        (goal != Goal::Stay).then(|| Instant::now() + Duration::from_secs(options.timeout.into()));

    let format = options
        .log_format
        .unwrap_or_else(LogFormat::of_standard_error);
    let failed = |e: std::io::Error| Failure::from(format!("cannot start: {e}"));
    let (log, log_thread) = Log::start(format, settings.log_level).map_err(failed)?;
    let spool = settings.spool.as_deref();
    let spool: Arc<str> = spool
        .map_or_else(String::new, |dir| dir.display().to_string())
        .into();
    let limit_bytes = settings.max_spool_bytes.map_or(0, |bytes| bytes.get());
    let outcome = open_and_forward(&config, &log, |client, say| {
        let stop = Arc::new(Stop::default());
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(failed)?;
        if let Some(endpoint) = runtime.block_on(options.endpoint.open())? {
            say(Level::Info, &endpoint.describe());
            let answers = ForwarderAnswers {
                client: client.clone(),
                spool,
                limit_bytes,
            };
            runtime.spawn(endpoint.serve(answers));
        }
        let (asked, waker) = (stop.clone(), client.forwarder_waker()?);
        let signals = OnSignal {
            first: move || {
                asked.ask();
                waker.wake();
            },
            patience: None,
            last: || {
                print_error("meditopia: ended at once by a second signal; what is left is kept");
                EVENTS_LEFT
            },
        };
        signals.watch(runtime)?;
        let known = client.destination()?;
        let options = forward::Options {
            address,
            endpoint: known.0,
            account: known.1,
            host: members::this_host(),
            interval: forwarding.interval,
            keep: forwarding.keep,
        };
        let mut forwarder = Forwarder::new(client, options, &stop, say);
        let ended = forwarder.run(goal, deadline);
        conclude(goal, ended, forwarder.forwarded(), say)
    });
    let ended = match outcome {
        // The log says it as well as its last line would.
        Err(failure) if goal == Goal::Stay && settings.log_level.is_some() => {
            log.error(&failure);
            Ok(failure.exit_code())
        }
        ended => ended,
    };
    drop(log);
    log_thread.finish();
    ended
}

/// Opens the spool as an application does, and closes it at the end.
fn open_and_forward(
    config: &meditopia::Config,
    log: &Log,
    forward: impl FnOnce(&Arc<Client>, forward::Say<'_>) -> Result<ExitCode, Failure>,
) -> Result<ExitCode, Failure> {
    let client = Arc::new(Client::open(config).inspect_err(|_| log.warn_about(config))?);
    client.set_log_callback(Some(log.callback()))?;
    let log = std::sync::Mutex::new(log.clone());
    let say = move |level: Level, text: &str| {
        let log = log
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        match level {
            Level::Error => log.error(text),
            Level::Warn => log.warn(text),
            _ => log.info(text),
        }
    };
    let ended = forward(&client, &say);
    client.set_log_callback(None)?;
    ended
}

fn conclude(
    goal: Goal,
    ended: Result<End, Trouble>,
    forwarded: u64,
    say: forward::Say<'_>,
) -> Result<ExitCode, Failure> {
    let events = event_count(forwarded);
    match ended {
        Ok(End::Left) if goal == Goal::Stay => {
            say(
                Level::Info,
                &format!("ended by a signal; {events} handed over by this process"),
            );
            Ok(ExitCode::SUCCESS)
        }
        Ok(End::Left) => Err(Failure::new(
            EVENTS_LEFT,
            format!(
                "not everything is handed over yet ({events} by this process); what is left is kept; run the same command again"
            ),
        )),
        Ok(End::Occupied { forwards: true }) => Err(Failure::new(
            EVENTS_LEFT,
            "another process forwards this spool; end it, then run the same command again; nothing was changed",
        )),
        Ok(End::Occupied { forwards: false }) => Err(Failure::new(
            EVENTS_LEFT,
            "a process of this host sends from this spool: meditopia run, or an application; end it, or take its bearer token away, then run the same command again; nothing was changed",
        )),
        Ok(End::Done) => {
            let further = match goal {
                Goal::Close => "; the spool is closed",
                Goal::Leave => "; a sender of this host may send from the spool again",
                Goal::Stay | Goal::Once => "",
            };
            print_line(format_args!(
                "everything is handed over, {events} by this process{further}"
            ))?;
            Ok(ExitCode::SUCCESS)
        }
        Err(trouble) => {
            let status = match &trouble {
                trouble if trouble.is_misconfigured() => USAGE,
                Trouble::Store(_) if goal != Goal::Stay => EVENTS_LEFT,
                _ => FAILED,
            };
            Err(Failure::new(status, trouble.to_string()))
        }
    }
}
