//! A yes before what cannot be taken back: asked for at a terminal, or given by `--yes`.

use std::io::{self, IsTerminal, Write};

use crate::failure::{Failure, NEEDS_YES};

/// The operator's word.
#[derive(Debug, clap::Args)]
pub struct Confirmation {
    /// Do it without asking
    #[arg(long)]
    yes: bool,
}

impl Confirmation {
    /// Returns if the answer to `deed`, such as "discard 3 events", is yes; it is asked for at a
    /// terminal only.
    pub fn ask(&self, deed: &str) -> Result<(), Failure> {
        if self.yes {
            return Ok(());
        }
        if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
            let message = format!("would {deed}; nothing was done: run it again with --yes");
            return Err(Failure::new(NEEDS_YES, message));
        }
        let mut question = io::stderr();
        let _ = write!(question, "{deed}? [y/N] ");
        let _ = question.flush();
        let mut answer = String::new();
        let _ = io::stdin().read_line(&mut answer);
        match answer.trim() {
            "y" | "Y" | "yes" | "Yes" => Ok(()),
            _ => Err(Failure::new(NEEDS_YES, "nothing was done")),
        }
    }
}
