//! What the model says should be saved.

use tidings_core::{CursorState, Departure, Offset};

use super::{Fate, Model};

impl Model {
    /// What should be saved while it goes on, but for what it reserves.
    pub(in crate::window) fn state(&self) -> CursorState {
        let mut state = self.settled_state();
        for (offset, fate) in self.fates() {
            let failed = match fate {
                Fate::Settled(_) => 0,
                Fate::Sent { attempt, .. } => attempt - 1,
                Fate::Waiting { attempt, .. } => attempt,
                Fate::GivenUp { attempts, .. } => attempts,
                Fate::Unsent { .. } => continue,
            };
            if failed > 0 {
                state.attempts.push((offset, failed));
            }
        }
        state.attempts.extend(self.unsent_attempts());
        state
    }

    /// What should be saved when its connection has ended.
    pub(in crate::window) fn last_state(&self, departure: Departure) -> CursorState {
        let mut state = self.settled_state();
        let broke = departure == Departure::Broken;
        let first = self.first_in_flight().filter(|_| broke);
        for (offset, fate) in self.fates() {
            let failed = match fate {
                Fate::Settled(_) | Fate::Unsent { .. } => continue,
                Fate::Waiting { attempt: 0, .. } if !self.interrupted.contains(&offset) => continue,
                Fate::Sent { attempt, .. } if Some(offset) != first => attempt - 1,
                Fate::Sent { attempt, .. } | Fate::Waiting { attempt, .. } => attempt,
                Fate::GivenUp { attempts, .. } => attempts,
            };
            state.attempts.push((offset, failed));
        }
        state.attempts.extend(self.unsent_attempts());
        state.reserved = if self.earlier < state.next { Offset::ORIGIN } else { self.earlier };
        state
    }

    /// What is settled, and nothing else.
    fn settled_state(&self) -> CursorState {
        let mut state = CursorState::at(self.epoch, self.cursor());
        for (offset, fate) in self.fates() {
            match fate {
                Fate::Settled(_) if offset > state.next => match state.settled.last_mut() {
                    Some((_, last)) if last.next() == offset => *last = offset,
                    Some(_) | None => state.settled.push((offset, offset)),
                },
                Fate::Settled(_)
                | Fate::Unsent { .. }
                | Fate::Sent { .. }
                | Fate::Waiting { .. }
                | Fate::GivenUp { .. } => {}
            }
        }
        state
    }
}
