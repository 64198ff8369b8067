//! `meditopia completions`: a script that makes a shell complete the command line.

use std::io::{self, Write};
use std::process::ExitCode;

use clap::{Args, Command};
use clap_complete::{Shell, generate};

pub(crate) const EXAMPLES: &str = "Examples:
  eval \"$(meditopia completions bash)\"                     # in ~/.bashrc
  meditopia completions zsh > ~/.zfunc/_meditopia          # below fpath
  meditopia completions fish > ~/.config/fish/completions/meditopia.fish";

#[derive(Args)]
pub(crate) struct Options {
    /// The shell that will run the script
    shell: Shell,
}

pub(crate) fn run(options: &Options, mut command: Command) -> Result<ExitCode, String> {
    let mut script = Vec::new();
    generate(options.shell, &mut command, "meditopia", &mut script);
    match io::stdout().write_all(&script) {
        // The reader has closed the pipe because it needs no more.
        Err(e) if e.kind() != io::ErrorKind::BrokenPipe => Err(format!("standard output: {e}")),
        _ => Ok(ExitCode::SUCCESS),
    }
}
