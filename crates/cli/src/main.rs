//! The command `meditopia`.
//!
//! Each subcommand is a module of `commands`; this file parses the command line and dispatches. The
//! command is a crate of its own so that the library does not depend on what only a command line
//! needs.

// These macros panic when nobody reads the output or the disk is full; `output` has safe
// replacements.
#![warn(clippy::print_stdout, clippy::print_stderr)]

mod alarms;
mod commands;
mod control;
mod endpoint;
mod failure;
mod fleet_alarms;
mod help;
mod options;
mod output;
mod owner;
mod signals;
mod source;
mod times;

use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

use commands::{
    adopt, completions, damaged, doctor, find, fleet, flush, forget, forward, hold, import,
    in_doubt, man, pending, receipts, recover, rejected, run, sandbox, status, trial,
};
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
    /// Deliver three events to a local API, one of them bad, and show what happens; needs no account
    #[command(after_help = trial::EXAMPLES)]
    Try(trial::Options),
    /// Deliver the events of a spool, or of a fleet's store, as a service, until stopped
    #[command(after_help = run::NOTES)]
    Run(run::Options),
    /// Deliver a spool's pending events once, and report the result
    #[command(after_help = flush::EXIT_CODES)]
    Flush(flush::Options),
    /// Serve a local Partners API with a ledger, and with faults on request, for tests and trials
    #[command(after_help = sandbox::EXAMPLES, after_long_help = sandbox::long_help())]
    Sandbox(sandbox::Options),
    /// Make a copied or moved spool usable again, or give a spool another endpoint or account
    #[command(after_help = adopt::EXAMPLES)]
    Adopt(adopt::Options),
    /// Show what is pending and what was delivered, which process sends, and what stops delivery
    #[command(after_help = status::EXAMPLES)]
    Status(status::Options),
    /// Show what became of a user's events: delivered when, pending since when, rejected why
    #[command(after_help = find::EXAMPLES)]
    Find(find::Options),
    /// List the events that are still to be sent
    #[command(subcommand, after_help = pending::EXAMPLES)]
    Pending(pending::Pending),
    /// List the requests that the API accepted, with their times and users
    #[command(subcommand, after_help = receipts::EXAMPLES)]
    Receipts(receipts::Receipts),
    /// List the events of unanswered requests, and set aside one that the API fails on
    #[command(subcommand, after_help = in_doubt::EXAMPLES)]
    InDoubt(in_doubt::InDoubt),
    /// List, show, requeue, discard or export rejected events
    #[command(subcommand, after_help = rejected::EXAMPLES)]
    Rejected(rejected::Rejected),
    /// List what was damaged on the disk and set aside, requeue what can be read of it, acknowledge it
    #[command(subcommand, after_help = damaged::EXAMPLES)]
    Damaged(damaged::Damaged),
    /// Erase everything that a spool holds of one user, and say what cannot be taken back
    #[command(after_help = forget::EXAMPLES)]
    Forget(forget::Options),
    /// Stop sending from a spool until it is resumed; applications can still enqueue
    #[command(after_help = hold::HOLD_EXAMPLES)]
    Hold(hold::Options),
    /// End any pause of a spool and send again at once
    #[command(after_help = hold::RESUME_EXAMPLES)]
    Resume(hold::ResumeOptions),
    /// Check everything between a spool and the API, and say what to fix; sends no event
    #[command(after_help = doctor::EXIT_CODES)]
    Doctor(doctor::Options),
    /// Enqueue the events of an NDJSON, JSON or CSV file, each once even after an interruption
    #[command(after_long_help = import::EXIT_CODES)]
    Import(import::Options),
    /// Report what can be read of a damaged store and what is at risk; with --yes, recover it
    #[command(after_help = recover::EXIT_CODES)]
    Recover(recover::Options),
    /// Hand a spool's events to the database of a fleet, whose relays deliver them
    #[command(after_help = forward::NOTES)]
    Forward(forward::Options),
    /// Set up a fleet: hosts hand their events to PostgreSQL, and relays deliver them from there
    #[command(subcommand, after_help = fleet::EXAMPLES)]
    Fleet(fleet::Fleet),
    /// Print a script that makes a shell complete this command
    #[command(after_help = completions::EXAMPLES)]
    Completions(completions::Options),
    /// Write the manual pages of this command into a directory
    #[command(after_help = man::EXAMPLES)]
    Man(man::Options),
}

fn main() -> ExitCode {
    let matches = whole_command().try_get_matches();
    let command_line = match matches.and_then(|matches| CommandLine::from_arg_matches(&matches)) {
        Ok(command_line) => command_line,
        Err(e) => return end_unparsed(&e),
    };
    let outcome = match command_line.command {
        Command::Try(options) => trial::run(&options),
        Command::Run(options) => run::run(&options),
        Command::Flush(options) => flush::run(&options),
        Command::Sandbox(options) => sandbox::run(&options).map_err(Failure::from),
        Command::Adopt(options) => adopt::run(&options),
        Command::Status(options) => status::run(&options),
        Command::Find(options) => find::run(&options),
        Command::Pending(command) => pending::run(&command),
        Command::Receipts(command) => receipts::run(&command),
        Command::InDoubt(command) => in_doubt::run(&command),
        Command::Damaged(command) => damaged::run(&command),
        Command::Rejected(command) => rejected::run(&command),
        Command::Forget(options) => forget::run(&options),
        Command::Hold(options) => hold::hold(&options),
        Command::Resume(options) => hold::resume(&options),
        Command::Doctor(options) => doctor::run(&options),
        Command::Import(options) => import::run(&options),
        Command::Recover(options) => recover::run(&options),
        Command::Forward(options) => forward::run(&options),
        Command::Fleet(command) => fleet::run(&command),
        Command::Completions(options) => {
            completions::run(&options, whole_command()).map_err(Failure::from)
        }
        Command::Man(options) => {
            man::run(&options, help::with_convention(CommandLine::command())).map_err(Failure::from)
        }
    };
    outcome.unwrap_or_else(|failure| failure.report())
}

/// The command line with the overview of its subcommands.
fn whole_command() -> clap::Command {
    help::with_overview(CommandLine::command())
}

/// Prints what is wrong with the command line, or the help that was asked for.
///
/// With `--check` a wrong command line ends with UNKNOWN, because a monitoring system would take the
/// usual status 2 for CRITICAL.
fn end_unparsed(error: &clap::Error) -> ExitCode {
    // If printing fails there is no other place to report it.
    let _ = error.print();
    if error.use_stderr() && std::env::args_os().any(|argument| argument == "--check") {
        return ExitCode::from(status::UNKNOWN);
    }
    ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(failure::USAGE))
}
