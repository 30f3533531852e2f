//! What the store has of one session, as far as can be known from the outside.

use std::time::Duration;

use tidings_core::{Instant, Timestamp};

/// One save.
#[derive(Clone, Copy, Debug)]
pub(super) struct Save {
    pub(super) ends: Timestamp,
    /// When it was told; nothing if it was found after a start, or was not told yet.
    told: Option<Instant>,
    /// Whether the wall clock was past its end since: it may be forgotten, also where a later one,
    /// which a power cut may take, followed.
    lapsed: bool,
}

impl Save {
    /// Whether it may be missing after a start at `wall`.
    pub(super) fn may_be_forgotten(self, wall: Timestamp) -> bool {
        self.lapsed || self.ends <= wall
    }
}

/// The saves of one session since the server's last start.
#[derive(Clone, Debug, Default)]
pub(super) struct Saves {
    told: Vec<Save>,
    /// In the store and not told: readers may see them.
    untold: Vec<Save>,
}

impl Saves {
    /// One that was found after a start.
    pub(super) fn found(ends: Timestamp) -> Self {
        Self { told: vec![Save { ends, told: None, lapsed: false }], ..Self::default() }
    }

    pub(super) fn stored(&mut self, ends: Timestamp) {
        self.untold.push(Save { ends, told: None, lapsed: false });
    }

    pub(super) fn kept(&mut self, ends: Timestamp, at: Instant) {
        // Saves are told in their order.
        let place = self.untold.iter().position(|untold| untold.ends == ends);
        let stored = place.and_then(|place| self.untold.drain(..=place).next_back());
        let lapsed = stored.is_some_and(|stored| stored.lapsed);
        self.told.push(Save { ends, told: Some(at), lapsed });
    }

    /// The wall clock has come to `wall`.
    pub(super) fn lapse(&mut self, wall: Timestamp) {
        for save in self.told.iter_mut().chain(&mut self.untold) {
            save.lapsed |= save.ends <= wall;
        }
    }

    /// The end that was told last.
    pub(super) fn ends(&self) -> Option<Timestamp> {
        self.last().map(|save| save.ends)
    }

    /// The save that was told last.
    fn last(&self) -> Option<Save> {
        self.told.last().copied()
    }

    /// The last save that is on the disk whatever happens, and those after it that a power cut may
    /// have taken: the power went when the process had ended `killed`, and saves may stay unsynced
    /// for `unsynced`.
    pub(super) fn since_synced(&self, killed: Instant, unsynced: Duration) -> &[Save] {
        let lasts = |save: &Save| save.told.is_none_or(|told| killed.since(told) > unsynced);
        self.told.iter().rposition(lasts).map_or(&[], |place| &self.told[place..])
    }

    /// The save that was told last, which nothing has taken.
    pub(super) fn since_last(&self) -> &[Save] {
        &self.told[self.told.len().saturating_sub(1)..]
    }

    /// Whether a server may take it up, and whether it may say that it is gone, when the wall
    /// clock shows `wall`.
    pub(super) fn may_be(&self, wall: Timestamp) -> (bool, bool) {
        let seen = self.last().into_iter().chain(self.untold.iter().copied());
        let lasts = seen.map(|save| save.ends > wall);
        let (lasting, ended): (Vec<_>, Vec<_>) = lasts.partition(|lasts| *lasts);
        let unknown = self.last().is_none_or(|save| save.lapsed);
        (!lasting.is_empty(), !ended.is_empty() || unknown)
    }
}
