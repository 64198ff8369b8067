//! Which process of a `SimDisk` may carry out its next operation.

use std::collections::VecDeque;

use super::sim_disk::SimDisk;

/// Some operations of one process in a row.
#[derive(Debug, Clone, Copy)]
pub(super) struct Turn {
    pub(super) process: u32,
    pub(super) operations: u64,
    /// Before the first of them, the application of this process closes its nth open descriptor, or all.
    pub(super) closes: Option<(u32, Option<usize>)>,
}

/// Turns that are still to be taken. Without any, all processes may run.
#[derive(Debug, Default)]
pub(super) struct Gate(VecDeque<Turn>);

impl Gate {
    pub(super) fn may_run(&self, process: u32) -> bool {
        self.0.front().is_none_or(|turn| turn.process == process)
    }

    /// The turn ends, because nobody takes it.
    pub(super) fn skip(&mut self) {
        self.0.pop_front();
    }

    /// What the turn that begins now closes.
    pub(super) fn take_close(&mut self) -> Option<(u32, Option<usize>)> {
        self.0.front_mut().and_then(|turn| turn.closes.take())
    }

    /// Takes note of an operation; `true`: it is somebody else's turn now.
    pub(super) fn ran(&mut self, process: u32) -> bool {
        let Some(turn) = self.0.front_mut().filter(|turn| turn.process == process) else {
            return false;
        };
        turn.operations = turn.operations.saturating_sub(1);
        let is_over = turn.operations == 0;
        if is_over {
            self.0.pop_front();
        }
        is_over
    }
}

impl SimDisk {
    /// Has processes take turns.
    pub(super) fn schedule(&self, turns: &[Turn]) {
        let turns = turns.iter().copied().filter(|turn| turn.operations > 0);
        self.with(|sim| sim.gate.0 = turns.collect());
    }

    /// A process, or an actor, has no more operations: its turns are over.
    pub(super) fn leave(&self, who: u32) {
        self.with(|sim| sim.gate.0.retain(|turn| turn.process != who));
        self.shared.1.notify_all();
    }
}
