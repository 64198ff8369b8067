//! What an import says at its end. Its figures add up: what was queued now and before, what is bad and what
//! was not reached is what the input has.

use serde_json::{Value, json};

/// How an import has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// All good records are queued.
    Queued,
    NothingQueued,
    /// The same command continues.
    Stopped,
}

/// What became of the records, and how the import ended.
pub struct Imported {
    pub summary: Summary,
    pub outcome: Outcome,
    pub status: u8,
    /// Why not all is queued, and what to do.
    pub message: Option<String>,
}

/// What became of the records of an input.
pub struct Summary {
    /// How many the input has, or how many were read if its end was not reached.
    pub records: u64,
    /// Queued by this run.
    pub queued: u64,
    pub already_queued: u64,
    pub bad: u64,
    pub reaches_end: bool,
    /// No record is queued because not all can be.
    pub is_whole: bool,
    /// The file that lists the bad ones.
    pub bad_file: Option<String>,
}

impl Summary {
    /// Records that are neither queued nor bad, because the import stopped before.
    fn not_reached(&self) -> u64 {
        let done = self.queued + self.already_queued + self.bad;
        self.records.saturating_sub(done)
    }

    /// The sentence for people.
    pub fn sentence(&self) -> String {
        let read = if self.reaches_end { "" } else { " read" };
        let mut line = format!("queued {} of {} records{read}; ", self.queued, self.records);
        if self.already_queued > 0 {
            line.push_str(&format!("{} queued before, ", self.already_queued));
        }
        line.push_str(&format!("{} bad", self.bad));
        if let Some(file) = &self.bad_file {
            line.push_str(&format!(" (listed in {file})"));
        }
        match self.not_reached() {
            0 => {}
            good if self.is_whole => line.push_str(&format!(", {good} good but not queued")),
            more => line.push_str(&format!(", {more} not reached")),
        }
        line
    }

    /// The members for programs.
    pub fn json(&self, outcome: Outcome, message: Option<&str>) -> Value {
        json!({
            "outcome": match outcome {
                Outcome::Queued => "queued",
                Outcome::NothingQueued => "nothing_queued",
                Outcome::Stopped => "stopped",
            },
            "records": self.records,
            "queued": self.queued,
            "already_queued": self.already_queued,
            "bad": self.bad,
            "not_reached": self.not_reached(),
            "end_reached": self.reaches_end,
            "bad_file": self.bad_file,
            "message": message,
        })
    }
}
