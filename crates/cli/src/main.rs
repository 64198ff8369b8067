//! The `meditopia` command.
//!
//! Each subcommand is one module with its own arguments and a `run`; this file only chooses between
//! them. It is a crate of its own, so that the library stays free of what only a command line needs.

// They panic where the reader is gone or the disk is full; `output` has what does not.
#![warn(clippy::print_stdout, clippy::print_stderr)]

mod adopt;
mod completions;
mod confirm;
mod doctor;
mod failure;
mod find;
mod flush;
mod hold;
mod import;
mod in_doubt;
mod list_options;
mod man;
mod output;
mod owner;
mod pauses;
mod pending;
mod receipts;
mod recover;
mod rejected;
mod rows;
mod run;
mod sandbox;
mod selection;
mod spool_options;
mod status;
mod times;

use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

use failure::Failure;

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
    /// Send from a spool as a service, until told to end
    #[command(after_help = run::NOTES)]
    Run(run::Options),
    /// Deliver once what waits in a spool, and say what came of it
    #[command(after_help = flush::EXIT_CODES)]
    Flush(flush::Options),
    /// Serve a local Partners API with a ledger and with faults to order, for tests and trials
    #[command(after_long_help = sandbox::CONTROL_HELP)]
    Sandbox(sandbox::Options),
    /// Take over a spool that was copied or moved, or whose endpoint or account has changed
    #[command(after_help = adopt::EXAMPLES)]
    Adopt(adopt::Options),
    /// Show what waits in a spool, what went, who sends, and why nothing goes
    #[command(after_help = status::EXAMPLES)]
    Status(status::Options),
    /// Find out what has become of a user's events: delivered then, waiting since, rejected because
    #[command(after_help = find::EXAMPLES)]
    Find(find::Options),
    /// List the events that wait to be sent
    #[command(subcommand, after_help = pending::EXAMPLES)]
    Pending(pending::Pending),
    /// List the requests that the API has taken, with their times and users
    #[command(subcommand, after_help = receipts::EXAMPLES)]
    Receipts(receipts::Receipts),
    /// List the events of unanswered requests, and set aside one that the API fails on
    #[command(subcommand, after_help = in_doubt::EXAMPLES)]
    InDoubt(in_doubt::InDoubt),
    /// List, show, requeue, discard or export the events that the API refused
    #[command(subcommand, after_help = rejected::EXAMPLES)]
    Rejected(rejected::Rejected),
    /// Stop sending from a spool until it is resumed; programs go on enqueueing
    #[command(after_help = hold::HOLD_EXAMPLES)]
    Hold(hold::Options),
    /// End any pause of a spool: send again at once
    #[command(after_help = hold::RESUME_EXAMPLES)]
    Resume(hold::Options),
    /// Look at everything between a spool and the API, and say what to do; sends no event
    #[command(after_help = doctor::EXIT_CODES)]
    Doctor(doctor::Options),
    /// Queue the events of a file: NDJSON, a JSON array or CSV; each once, whatever interrupts it
    #[command(after_long_help = import::EXIT_CODES)]
    Import(import::Options),
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
    let command_line = match CommandLine::try_parse() {
        Ok(command_line) => command_line,
        Err(e) => return misused(&e),
    };
    let ended = match command_line.command {
        Command::Run(options) => run::run(&options),
        Command::Flush(options) => flush::run(&options),
        Command::Sandbox(options) => sandbox::run(&options).map_err(Failure::from),
        Command::Adopt(options) => adopt::run(&options),
        Command::Status(options) => status::run(&options),
        Command::Find(options) => find::run(&options),
        Command::Pending(command) => pending::run(&command),
        Command::Receipts(command) => receipts::run(&command),
        Command::InDoubt(command) => in_doubt::run(&command),
        Command::Rejected(command) => rejected::run(&command),
        Command::Hold(options) => hold::hold(&options),
        Command::Resume(options) => hold::resume(&options),
        Command::Doctor(options) => doctor::run(&options),
        Command::Import(options) => import::run(options),
        Command::Recover(options) => recover::run(&options),
        Command::Completions(options) => {
            completions::run(&options, CommandLine::command()).map_err(Failure::from)
        }
        Command::Man(options) => man::run(&options, CommandLine::command()).map_err(Failure::from),
    };
    ended.unwrap_or_else(|failure| failure.tell())
}

/// Tells what is wrong with the command line, or the help. To a monitoring system a check that cannot
/// be made is of unknown outcome.
fn misused(error: &clap::Error) -> ExitCode {
    // Where nobody can be told there is nothing to tell.
    let _ = error.print();
    if error.use_stderr() && std::env::args_os().any(|argument| argument == "--check") {
        return ExitCode::from(status::UNKNOWN);
    }
    ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(failure::USAGE))
}
