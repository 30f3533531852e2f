//! Forgets sessions that have expired and cursors that nobody has saved for long, so that clients
//! that never come back leave nothing.

use super::Upkeep;
use crate::fault_point::fault_point;

/// Sessions, and as many cursors, looked at with one hold of what is kept.
const LOOKED_AT_PER_STEP: usize = 256;
/// Steps in one round; with more to look at, a sweep takes several rounds.
const STEPS_PER_ROUND: usize = 40;

impl Upkeep {
    /// Has the writer forget what the next part of the sweep finds. Forgetting is a change like
    /// any other, so that the log and its checkpoints agree.
    pub(super) fn forget(&mut self) {
        let now = self.shared.clock.now();
        for _ in 0..STEPS_PER_ROUND {
            let outdated = {
                let keep = self.shared.keep();
                self.sweep.step(&keep, now, LOOKED_AT_PER_STEP)
            };
            if !outdated.is_empty() {
                if let Err(error) = self.shared.queue.submit_changes(outdated) {
                    // The next sweep finds them again.
                    tracing::debug!(%error, "what has expired could not be forgotten yet");
                    return;
                }
                fault_point("expired-forgotten");
            }
            if self.sweep.is_at_the_start() {
                return;
            }
        }
    }
}
