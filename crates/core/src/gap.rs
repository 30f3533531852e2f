//! Why a reader of a log does not get some offsets.

use crate::offset_set::OffsetSet;
use crate::position::Offset;
use crate::recovery::ResetReason;

/// What to call it that nothing was found from `expected` to just before `found`, of which
/// `damaged` is known to be lost; `None` if nothing lies between.
///
/// Where some of it was lost and the rest trimmed it counts as lost: that is the worse news.
pub fn gap(expected: Offset, found: Offset, damaged: &OffsetSet) -> Option<ResetReason> {
    if found <= expected {
        return None;
    }
    match damaged.within(expected, found.previous()).next() {
        Some(_) => Some(ResetReason::Damaged),
        None => Some(ResetReason::Trimmed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_is_damage_if_any_of_it_was_lost() {
        let at = Offset::new;
        let damaged = OffsetSet::from_ranges([(at(5), at(6))]);
        for (expected, found, told) in [
            (3, 3, None),
            (4, 3, None),
            (3, 5, Some(ResetReason::Trimmed)),
            (3, 6, Some(ResetReason::Damaged)),
            (6, 7, Some(ResetReason::Damaged)),
            (7, 9, Some(ResetReason::Trimmed)),
        ] {
            assert_eq!(gap(at(expected), at(found), &damaged), told, "{expected} {found}");
        }
    }
}
