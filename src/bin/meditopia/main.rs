//! The `meditopia` command.
//!
//! Each subcommand is one module with its own arguments and a `run`; this file only chooses between
//! them. The command is built with the feature `cli`, so that the library stays free of what only a
//! command line needs.

mod adopt;
mod completions;
mod man;
mod recover;
mod sandbox;

use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

#[derive(Parser)]
#[command(
    name = "meditopia",
    version,
    about = "Deliver user-activity events to Meditopia"
)]
struct CommandLine {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serve a local Partners API with a ledger and with faults to order, for tests and trials
    #[command(after_long_help = sandbox::CONTROL)]
    Sandbox(sandbox::Options),
    /// Take over a spool that was copied or moved, or whose endpoint or account has changed
    Adopt(adopt::Options),
    /// Look at a damaged store, say what can be read of it and what is at risk, and with --yes recover it
    #[command(after_help = recover::EXIT_CODES)]
    Recover(recover::Options),
    /// Print what makes a shell complete this command
    #[command(after_help = completions::EXAMPLES)]
    Completions(completions::Options),
    /// Write the manual pages of this command into a directory
    Man(man::Options),
}

fn main() -> ExitCode {
    let ended = match CommandLine::parse().command {
        Command::Sandbox(options) => sandbox::run(options),
        Command::Adopt(options) => adopt::run(&options),
        Command::Recover(options) => recover::run(&options),
        Command::Completions(options) => completions::run(&options, CommandLine::command()),
        Command::Man(options) => man::run(&options, CommandLine::command()),
    };
    match ended {
        Ok(code) => code,
        Err(message) => {
            eprintln!("meditopia: {message}");
            ExitCode::FAILURE
        }
    }
}
