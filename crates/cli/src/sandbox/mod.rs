//! `meditopia sandbox`: the local Partners API as a process of its own.
//!
//! One process serves one test. Its first line of output says where it listens, and it ends when its
//! standard input ends, so that it never outlives the program that started it. Given a command, it
//! lives as long as that command and then prints what arrived (`command`).

mod command;

use std::ffi::OsString;
use std::io::{IsTerminal, Read, Write};
use std::process::ExitCode;

use meditopia_sandbox::{Handle, Server};

pub use meditopia_sandbox::CONTROL_HELP;

/// The arguments of `meditopia sandbox`.
#[derive(clap::Args)]
pub struct Options {
    /// Port on 127.0.0.1; 0 lets the kernel choose
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// The one bearer token that is good
    #[arg(long, default_value = "sandbox-token")]
    token: String,
    /// A partner_user_id that the API does not know; may be given again
    #[arg(long = "unknown-user", value_name = "USER")]
    unknown_users: Vec<String>,
    /// How unknown partner_user_ids begin; may be given again
    #[arg(long = "unknown-prefix", value_name = "PREFIX")]
    unknown_prefixes: Vec<String>,
    /// Faults to start with, as PUT /sandbox/faults takes them
    #[arg(long, value_name = "JSON")]
    faults: Option<String>,
    /// Where chance starts from, so that a run can be repeated
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Go on when standard input ends
    #[arg(long)]
    stay: bool,
    /// Fail unless COMMAND got so many different events accepted
    #[arg(long, value_name = "N", requires = "command")]
    expect_events: Option<u64>,
    /// Run this with MEDITOPIA_ENDPOINT and MEDITOPIA_BEARER_TOKEN set, print what
    /// arrived, and end with its exit code
    #[arg(last = true, value_name = "COMMAND", conflicts_with = "stay")]
    command: Vec<OsString>,
}

impl Options {
    fn sandbox(&self) -> meditopia_sandbox::Options {
        meditopia_sandbox::Options {
            port: self.port,
            token: self.token.clone(),
            unknown_users: self.unknown_users.clone(),
            unknown_prefixes: self.unknown_prefixes.clone(),
            faults: self.faults.clone(),
            seed: self.seed,
        }
    }
}

/// Serves until it is stopped, or its command has ended; an error says why it could not.
pub fn run(options: &Options) -> Result<ExitCode, String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|cause| format!("cannot start: {cause}"))?;
    runtime.block_on(async {
        let server = Server::bind(&options.sandbox()).await?;
        let handle = server.handle();
        if options.command.is_empty() {
            announce(&handle).map_err(|cause| format!("standard output: {cause}"))?;
            if !options.stay && !std::io::stdin().is_terminal() {
                stop_with_standard_input(handle);
            }
            server.serve().await.map_err(|cause| cause.to_string())?;
            return Ok(ExitCode::SUCCESS);
        }
        tokio::select! {
            ended = command::run(options, handle.endpoint()) => {
                command::conclude(&handle, ended?, options.expect_events)
            }
            ended = server.serve() => Err(match ended {
                Ok(()) => "the sandbox was told to stop before its command had ended".into(),
                Err(cause) => cause.to_string(),
            }),
        }
    })
}

/// Prints the first line of standard output: the addresses, for the program that started the sandbox.
fn announce(sandbox: &Handle) -> std::io::Result<()> {
    let line = serde_json::json!({
        "url": sandbox.endpoint(),
        "control": sandbox.control_url(),
        "page": sandbox.page_url(),
        "token": sandbox.token(),
    });
    let mut output = std::io::stdout().lock();
    writeln!(output, "{line}")?;
    output.flush()
}

/// Reads on a thread of its own: a read of standard input can be neither polled nor cancelled everywhere.
fn stop_with_standard_input(sandbox: Handle) {
    std::thread::spawn(move || {
        let mut input = std::io::stdin().lock();
        let mut ignored = [0; 512];
        while matches!(input.read(&mut ignored), Ok(1..)) {}
        sandbox.stop();
    });
}
