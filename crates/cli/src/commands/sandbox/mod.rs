//! `meditopia sandbox`: the local Partners API as a process of its own.
//!
//! One process serves one test. The first line of its output says where it listens. It ends when
//! its standard input ends, so it never outlives the program that started it. With a command it
//! runs as long as that command does and then prints what arrived (`command`).

mod command;

use std::ffi::OsString;
use std::io::{IsTerminal, Read, Write};
use std::process::ExitCode;

use meditopia_sandbox::{CONTROL_HELP, Handle, Server};

/// The last part of `-h`.
pub const EXAMPLES: &str = "Examples:
  meditopia sandbox --port 8080 --stay       # its page: http://127.0.0.1:8080/
  meditopia sandbox --unknown-user u-17 --expect-events 2 -- ./my-program";

/// The last part of `--help`.
pub fn long_help() -> String {
    format!("{CONTROL_HELP}\n{EXAMPLES}")
}

/// The arguments of `meditopia sandbox`.
#[derive(clap::Args)]
pub struct Options {
    /// The port on 127.0.0.1; 0 lets the kernel choose one
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// The bearer token to accept
    #[arg(long, default_value = "sandbox-token")]
    token: String,
    /// A partner_user_id that the API does not know; can be repeated
    #[arg(long = "unknown-user", value_name = "USER")]
    unknown_users: Vec<String>,
    /// A prefix of partner_user_ids that the API does not know; can be repeated
    #[arg(long = "unknown-prefix", value_name = "PREFIX")]
    unknown_prefixes: Vec<String>,
    /// Faults from the start, in the form of PUT /sandbox/faults
    #[arg(long, value_name = "JSON")]
    faults: Option<String>,
    /// The seed of random decisions, to make a run repeatable
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Keep running when standard input ends
    #[arg(long)]
    stay: bool,
    /// Fail unless exactly this many different events of COMMAND were accepted
    #[arg(long, value_name = "N", requires = "command")]
    expect_events: Option<u64>,
    /// Run this command with MEDITOPIA_ENDPOINT and MEDITOPIA_BEARER_TOKEN set, print what arrived,
    /// and end with its exit code
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

/// Serves until the sandbox is stopped or its command has ended.
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
                command::print_summary(&handle, ended?, options.expect_events)
            }
            ended = server.serve() => Err(match ended {
                Ok(()) => "the sandbox was told to stop before its command had ended".into(),
                Err(cause) => cause.to_string(),
            }),
        }
    })
}

/// Prints the first line of standard output: the addresses and the token, for the program that
/// started the sandbox.
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

/// Uses a thread of its own, because reading standard input cannot be polled or cancelled
/// everywhere.
fn stop_with_standard_input(sandbox: Handle) {
    std::thread::spawn(move || {
        let mut input = std::io::stdin().lock();
        let mut ignored = [0; 512];
        while matches!(input.read(&mut ignored), Ok(1..)) {}
        sandbox.stop();
    });
}
