//! What members of groups get: each message is done by one of them in the end, repeats say so, and
//! messages of one order key come one after the other, in their order.

mod facts;
mod holders;
mod lanes;
mod settled;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::time::Duration;

use crate::history::groups::GroupRecord;
use crate::violation::{Promise, Violation, ensure};
use facts::Facts;

/// The first violation of a whole history of groups: one that ends, after all faults are healed and
/// nothing waits any more, with what the logs hold ([`GroupRecord::LogFound`]) and with all dead
/// letters.
///
/// `cursor_lag_max` is how long before a kill an answered ack must have come to be remembered.
pub fn check(history: &[GroupRecord], cursor_lag_max: Duration) -> Result<(), Violation> {
    let facts = Facts::of(history);
    everything_is_done(history, &facts)?;
    settled::check(history, &facts, cursor_lag_max)?;
    holders::check(history, &facts)?;
    lanes::check(history, &facts)
}

/// Whatever is in the log was acked by a member or is a dead letter, and whatever a member got is
/// in the log (P3, P4).
fn everything_is_done(history: &[GroupRecord], facts: &Facts) -> Result<(), Violation> {
    let mut done: BTreeSet<_> = facts.dead.keys().copied().collect();
    for record in history {
        match record {
            GroupRecord::Acked { member, place, .. } => {
                done.insert((facts.group(*member), *place));
            }
            GroupRecord::Delivered { member, place, name, .. } => {
                let there = facts.log.get(place);
                ensure(there.is_some(), Promise::SeenIsDurable, || {
                    format!("{member:?} got {name:?} at {place:?}, which is not in the log")
                })?;
                ensure(there == Some(name), Promise::OneOrder, || {
                    format!("{member:?} got {name:?} at {place:?}, the log has {there:?}")
                })?;
            }
            GroupRecord::Opened { .. }
            | GroupRecord::Published { .. }
            | GroupRecord::LogFound { .. }
            | GroupRecord::Joining { .. }
            | GroupRecord::Nacked { .. }
            | GroupRecord::Settled { .. }
            | GroupRecord::Left { .. }
            | GroupRecord::DeadLettered { .. }
            | GroupRecord::Stopping { .. }
            | GroupRecord::Killed { .. } => {}
        }
    }
    for (group, topics) in &facts.groups {
        for (place, name) in facts.log.iter().filter(|(place, _)| topics.contains_key(&place.topic))
        {
            ensure(done.contains(&(*group, *place)), Promise::AtLeastOnce, || {
                format!("{name:?} at {place:?} was lost to {group:?}: never acked, no dead letter")
            })?;
        }
    }
    Ok(())
}
