//! Which process of a `SimDisk` may carry out its next operation.

use std::collections::VecDeque;

use super::sim_disk::SimDisk;

/// Turns that are still to be taken: a process, and how many operations it has. Without any, all may run.
#[derive(Debug, Default)]
pub(super) struct Gate(VecDeque<(u32, u64)>);

impl Gate {
    pub(super) fn may_run(&self, process: u32) -> bool {
        self.0.front().is_none_or(|(turn, _)| *turn == process)
    }

    /// Takes note of an operation; `true`: it is somebody else's turn now.
    pub(super) fn ran(&mut self, process: u32) -> bool {
        let Some((turn, left)) = self.0.front_mut() else {
            return false;
        };
        if *turn == process {
            *left = left.saturating_sub(1);
            if *left == 0 {
                self.0.pop_front();
                return true;
            }
        }
        false
    }
}

impl SimDisk {
    /// Has processes take turns.
    pub(super) fn schedule(&self, turns: &[(u32, u64)]) {
        let turns = turns
            .iter()
            .copied()
            .filter(|(_, operations)| *operations > 0);
        self.with(|sim| sim.gate.0 = turns.collect());
    }

    /// This process has no more operations: its turns are over.
    pub(super) fn leave(&self) {
        self.with(|sim| sim.gate.0.retain(|(process, _)| *process != self.process));
        self.shared.1.notify_all();
    }
}
