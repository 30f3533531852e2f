//! What has to hold between the window and the model.

use std::fmt::Debug;

use tidings_core::{CursorState, Departure, Offset};

use super::Scene;
use super::model::{Fate, Why};
use crate::violation::{Promise, Violation, ensure};

impl Scene {
    /// What holds after every input and effect.
    pub(super) fn check_always(&self) -> Result<(), Violation> {
        let (subject, model) = (&self.subject, &self.model);
        agree(Promise::AtLeastOnce, "the cursor", &subject.cursor(), &model.cursor())?;
        let (ours, may_reserve) = (subject.state(), model.reserves());
        let expected = CursorState { reserved: ours.reserved, ..model.state() };
        agree(Promise::AtLeastOnce, "the state to save", &ours, &expected)?;
        ensure(may_reserve.contains(&ours.reserved), Promise::AtLeastOnce, || {
            format!("{} are reserved instead of {may_reserve:?}", ours.reserved)
        })?;
        for departure in [Departure::Meant, Departure::Ended, Departure::Broken] {
            let (ours, expected) = (subject.last_state(departure), model.last_state(departure));
            agree(Promise::AtLeastOnce, "the last state", &ours, &expected)?;
        }
        agree(Promise::Contract, "in flight", &subject.in_flight(), &model.in_flight())?;
        agree(Promise::Contract, "pending", &subject.pending(), &model.pending())?;
        ensure(subject.in_flight() <= model.window as usize, Promise::Bounded, || {
            format!("{} are in flight of at most {}", subject.in_flight(), model.window)
        })
    }

    /// What holds once every effect was taken: nothing that is due was left out.
    pub(super) fn check_settled_down(&self) -> Result<(), Violation> {
        let now = self.now;
        for (offset, due) in self.model.dues() {
            ensure(due > now, Promise::Liveness, || {
                format!("{offset} was due at {due:?}, and nothing came of it by {now:?}")
            })?;
        }
        if let Some(due) = self.model.dues().map(|(_, due)| due).min() {
            let deadline = self.subject.next_deadline();
            ensure(deadline.is_some_and(|at| at <= due), Promise::Liveness, || {
                format!("something is due at {due:?}, the next deadline is {deadline:?}")
            })?;
        }
        if let Some(offset) = self.model.first_unsent() {
            let may = self.model.room_for(offset) && self.model.may_send(offset);
            ensure(!may, Promise::Liveness, || {
                format!("there is room for {offset}, and it was not sent")
            })?;
        }
        ensure(!self.model.unsaved, Promise::Contract, || {
            "something was settled, and the cursor was not to be saved".to_owned()
        })
    }

    /// What was sent before, by whichever process, says so when it is sent again.
    pub(super) fn check_says_so(&self, offset: Offset, attempt: u32) -> Result<(), Violation> {
        let again = self.sent_ever.contains(&offset);
        ensure(!again || attempt >= 2, Promise::AtLeastOnce, || {
            format!("{offset} was sent before and comes as attempt {attempt}")
        })
    }

    /// A cursor is to be saved only if there is something to save.
    pub(super) fn check_save_wanted(&self) -> Result<(), Violation> {
        ensure(self.model.unsaved, Promise::Contract, || {
            "the cursor is to be saved though nothing was settled".to_owned()
        })
    }

    /// Every message was acked, is gone from the log, or has a durable dead letter.
    pub(super) fn check_all_settled(&self) -> Result<(), Violation> {
        for (offset, fate) in self.model.fates() {
            let kept = match fate {
                Fate::Settled(Why::Acked) => true,
                Fate::Settled(Why::Gone) => self.log.is_gone(offset),
                Fate::Settled(Why::DeadLettered) => self.letters.contains(&offset),
                Fate::Unsent { .. }
                | Fate::Sent { .. }
                | Fate::Waiting { .. }
                | Fate::GivenUp { .. } => false,
            };
            ensure(kept, Promise::AtLeastOnce, || format!("{offset} ended as {fate:?}"))?;
        }
        ensure(self.subject.pending() == 0, Promise::Liveness, || {
            format!("{} are pending at the end", self.subject.pending())
        })
    }
}

pub(super) fn agree<T: PartialEq + Debug>(
    promise: Promise,
    name: &str,
    subject: &T,
    model: &T,
) -> Result<(), Violation> {
    ensure(subject == model, promise, || format!("{name}: {subject:?} instead of {model:?}"))
}
