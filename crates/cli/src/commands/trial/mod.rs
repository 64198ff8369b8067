//! `meditopia try`: the first minute, without an account and without a configuration.
//!
//! The sandbox runs in this process, and a spool in a directory that is removed at the end. Three events go through
//! both, one of them bad, and each step is told as it happens (`story`). Nothing that configures a real spool is read,
//! so nothing can reach a real API.

mod delivery;
mod language;
mod scratch;
mod story;

use std::io::IsTerminal;
use std::process::ExitCode;
use std::time::Duration;

use meditopia_sandbox::{Handle, Server};
use tokio::signal::unix::{Signal, SignalKind, signal};

use self::delivery::{Delivery, STRANGER};
use self::language::Language;
use self::scratch::Scratch;
use self::story::Stay;
use crate::failure::{FAILED, Failure};
use crate::output::{Colour, OutputOptions};

/// The last part of `--help`.
pub const EXAMPLES: &str = "Needs no configuration, no account and no network. What it writes is in a directory of its own below
TMPDIR, or /tmp, and is removed at the end.

Examples:
  meditopia try
  meditopia try python
  meditopia try php --serve       # the API goes on, with a page, until Ctrl-C";

/// What a shell adds to the number of the signal that ended a program.
const ENDED_BY_SIGNAL: u8 = 128;

/// How long a delivery that is under way may take after Ctrl-C. Usually it takes milliseconds.
const PATIENCE: Duration = Duration::from_secs(3);

/// The arguments of `meditopia try`.
#[derive(clap::Args)]
pub struct Options {
    /// Print a program of this language; without it, how each of them begins
    #[arg(value_enum, value_name = "LANGUAGE")]
    language: Option<Language>,
    /// Let the local API go on afterwards, with its page, until Ctrl-C
    #[arg(long)]
    serve: bool,
    /// The port of the local API on 127.0.0.1; 0 lets the kernel choose one
    #[arg(long, default_value_t = 0)]
    port: u16,
}

/// Delivers the three events, and removes what was written.
pub fn run(options: &Options) -> Result<ExitCode, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(cannot_start)?;
    let (scratch, ended) = runtime.block_on(async {
        // Before there is anything to remove.
        let mut signals = Signals::watch().map_err(cannot_start)?;
        let scratch = Scratch::create()?;
        let ended = deliver_and_serve(options, &scratch, &mut signals).await;
        Ok::<_, Failure>((scratch, ended))
    })?;
    runtime.shutdown_background();
    let removed = scratch.remove();
    let status = ended?;
    removed.map(|()| status)
}

async fn deliver_and_serve(
    options: &Options,
    scratch: &Scratch,
    signals: &mut Signals,
) -> Result<ExitCode, Failure> {
    let sandbox = meditopia_sandbox::Options {
        port: options.port,
        unknown_users: vec![STRANGER.to_owned()],
        ..meditopia_sandbox::Options::default()
    };
    let server = Server::bind(&sandbox).await?;
    let api = server.handle();
    let serving = tokio::spawn(server.serve());
    let telling = {
        let (spool, language, serve) = (scratch.spool(), options.language, options.serve);
        move || tell(&api, &spool, language, serve)
    };
    let mut told = tokio::task::spawn_blocking(telling);
    tokio::select! {
        told = &mut told => told.map_err(cannot_start)??,
        number = signals.next() => {
            // Its files can be removed only once nothing writes to them.
            let _ = tokio::time::timeout(PATIENCE, told).await;
            return Ok(ExitCode::from(ENDED_BY_SIGNAL + number));
        }
    }
    if options.serve {
        tokio::select! {
            _ = signals.next() => {}
            // By its page or its control API.
            _ = serving => {}
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Carries out each step and says what came of it.
fn tell(
    api: &Handle,
    spool: &std::path::Path,
    language: Option<Language>,
    serve: bool,
) -> Result<(), Failure> {
    let output = OutputOptions {
        json: false,
        utc: false,
        color: Colour::Auto,
    };
    let mut out = output.open();
    story::tell_start(&mut out, api)?;
    let delivery = Delivery::new(api, spool)?;
    delivery.enqueue()?;
    story::tell_queued(&mut out)?;
    out.flush()?;
    let flushed = delivery.flush();
    story::tell_delivered(&mut out, &delivery, &flushed)?;
    let spool = spool.display().to_string();
    let stay = serve.then(|| Stay {
        spool: &spool,
        pid: std::process::id(),
    });
    story::tell_next(&mut out, language, api, stay.as_ref())
}

fn cannot_start(cause: impl std::fmt::Display) -> Failure {
    Failure::new(FAILED, format!("cannot start: {cause}"))
}

/// The signals that end the command.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
    /// The terminal is closed. Without one, `nohup` may have asked to ignore it.
    hang_up: Option<Signal>,
}

impl Signals {
    fn watch() -> std::io::Result<Self> {
        let hang_up = std::io::stdout().is_terminal();
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hang_up: hang_up.then(|| signal(SignalKind::hangup())).transpose()?,
        })
    }

    /// Waits for one of them, and returns its number.
    async fn next(&mut self) -> u8 {
        let hang_up = async {
            match &mut self.hang_up {
                Some(signal) => signal.recv().await,
                None => std::future::pending().await,
            }
        };
        let ended = tokio::select! {
            _ = self.interrupt.recv() => SignalKind::interrupt(),
            _ = self.terminate.recv() => SignalKind::terminate(),
            _ = hang_up => SignalKind::hangup(),
        };
        u8::try_from(ended.as_raw_value()).unwrap_or_default()
    }
}
