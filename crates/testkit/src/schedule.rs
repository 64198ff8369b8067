//! All orders of the steps of two processes, depth first. The number of preemptions is bounded: how
//! often the turn is taken from a process that could go on. Most races need only one or two.

use std::fmt;

/// The process that makes the next step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    Writer,
    Sender,
}

impl Turn {
    fn other(self) -> Self {
        match self {
            Self::Writer => Self::Sender,
            Self::Sender => Self::Writer,
        }
    }
}

/// One order of steps, which can be changed to the next one.
pub struct Schedule {
    choices: Vec<Choice>,
    at: usize,
    last: Turn,
    most_preemptions: u64,
}

/// A moment at which both could go on.
struct Choice {
    taken: Turn,
    /// The process that had the turn before.
    before: Turn,
    both_tried: bool,
}

impl Schedule {
    pub fn new(most_preemptions: u64) -> Self {
        Self {
            choices: Vec::new(),
            at: 0,
            last: Turn::Writer,
            most_preemptions,
        }
    }

    /// Decides which process makes the next step when both can.
    pub fn choose(&mut self) -> Turn {
        if self.at == self.choices.len() {
            self.choices.push(Choice {
                taken: self.last,
                before: self.last,
                both_tried: false,
            });
        }
        self.last = self.choices[self.at].taken;
        self.at += 1;
        self.last
    }

    /// Notes that only this process can make the next step.
    pub fn force(&mut self, turn: Turn) -> Turn {
        self.last = turn;
        turn
    }

    /// Changes to the next order; `false` if there is none.
    pub fn advance(&mut self) -> bool {
        // Choices after the last step of this run belong to a longer run before it.
        self.choices.truncate(self.at);
        while let Some(mut choice) = self.choices.pop() {
            if choice.both_tried {
                continue;
            }
            choice.taken = choice.taken.other();
            choice.both_tried = true;
            self.choices.push(choice);
            if self.preemption_count() <= self.most_preemptions {
                self.at = 0;
                self.last = Turn::Writer;
                return true;
            }
            self.choices.pop();
        }
        false
    }

    fn preemption_count(&self) -> u64 {
        let count = self
            .choices
            .iter()
            .filter(|choice| choice.taken != choice.before);
        count.count() as u64
    }
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.choices[..self.at].iter().try_for_each(|choice| {
            f.write_str(match choice.taken {
                Turn::Writer => "w",
                Turn::Sender => "s",
            })
        })
    }
}
