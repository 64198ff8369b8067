//! The confirmation that an action needs if it cannot be undone: at the terminal, or by `--yes`.

use std::io::{self, IsTerminal, Write};

use crate::failure::{Failure, NEEDS_YES};

/// Whether the operator has confirmed the action in advance.
#[derive(Debug, clap::Args)]
pub struct Confirmation {
    /// Do it without asking
    #[arg(long)]
    yes: bool,
}

impl Confirmation {
    /// Returns if the operator confirms `action`, such as "discard 3 events". Asks only at a
    /// terminal.
    pub fn ask(&self, action: &str) -> Result<(), Failure> {
        self.ask_or_name(action, "run the command again with --yes")
    }

    /// Whether `--yes` was given.
    pub fn is_given(&self) -> bool {
        self.yes
    }

    /// The same; `again` is what to do where nobody can be asked.
    pub fn ask_or_name(&self, action: &str, again: &str) -> Result<(), Failure> {
        if self.yes {
            return Ok(());
        }
        if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
            let message = format!("this would {action}; nothing was done; to do it, {again}");
            return Err(Failure::new(NEEDS_YES, message));
        }
        let mut question = io::stderr();
        let _ = write!(question, "{action}? [y/N] ");
        let _ = question.flush();
        let mut answer = String::new();
        let _ = io::stdin().read_line(&mut answer);
        match answer.trim() {
            "y" | "Y" | "yes" | "Yes" => Ok(()),
            _ => Err(Failure::new(NEEDS_YES, "nothing was done")),
        }
    }
}
