//! Who makes the next step of two: all orders, depth first, with a bound on how often the turn is taken
//! from one that could go on. Most races need only one or two such moments.

use std::fmt;

/// Whose step it is.
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

/// One order of steps, and from it the next one.
pub struct Schedule {
    choices: Vec<Choice>,
    at: usize,
    last: Turn,
    preemptions: u64,
}

/// A moment at which both could go on.
struct Choice {
    taken: Turn,
    /// Who had the turn.
    before: Turn,
    both_tried: bool,
}

impl Schedule {
    pub fn new(preemptions: u64) -> Self {
        Self {
            choices: Vec::new(),
            at: 0,
            last: Turn::Writer,
            preemptions,
        }
    }

    /// Both can make a step: who does?
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

    /// Only this one can make a step.
    pub fn must(&mut self, turn: Turn) -> Turn {
        self.last = turn;
        turn
    }

    /// Goes to the next schedule; `false`: there is none.
    pub fn advance(&mut self) -> bool {
        // What lies behind the steps of this run was chosen for a longer one.
        self.choices.truncate(self.at);
        while let Some(mut choice) = self.choices.pop() {
            if choice.both_tried {
                continue;
            }
            choice.taken = choice.taken.other();
            choice.both_tried = true;
            self.choices.push(choice);
            if self.taken_away() <= self.preemptions {
                self.at = 0;
                self.last = Turn::Writer;
                return true;
            }
            self.choices.pop();
        }
        false
    }

    fn taken_away(&self) -> u64 {
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
