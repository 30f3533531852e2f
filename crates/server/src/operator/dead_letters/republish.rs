//! Publishing dead letters again, and then removing them.

use std::sync::Arc;

use tidings_storage::{Outcome, StoreError, Write, fault_point};

use crate::env::Env;
use crate::pieces;
use crate::problem::HttpError;

/// One dead letter on its way back.
#[derive(Debug)]
pub(super) struct Again {
    pub(super) publish: Write,
    /// Of the dead letter.
    pub(super) removal: Write,
}

/// Publishes each message, and when that is durable removes its dead letter: the two may be of
/// different priorities, and then the store does not keep their order. Gives what became of each
/// publish, or why its dead letter is still there.
///
/// What was begun is finished also when nobody waits for the answer any more.
pub(super) async fn republish(
    env: &Arc<Env>,
    letters: Vec<Again>,
) -> Result<Vec<Outcome>, HttpError> {
    let env = Arc::clone(env);
    let done = tokio::spawn(async move { carry_out(&env, letters).await }).await;
    Ok(done.map_err(|_| StoreError::Closed)??)
}

async fn carry_out(env: &Env, letters: Vec<Again>) -> Result<Vec<Outcome>, StoreError> {
    let (publishes, removals): (Vec<_>, Vec<_>) =
        letters.into_iter().map(|letter| (letter.publish, letter.removal)).unzip();
    fault_point("replay-writing");
    let mut outcomes = pieces::submit(env, publishes).await?;
    // What was published is here twice until its dead letter is removed.
    fault_point("replay-published");
    let published = outcomes.iter_mut().zip(removals).filter(|(outcome, _)| is_kept(outcome));
    let (published, removals): (Vec<_>, Vec<_>) = published.unzip();
    let count = removals.len();
    let removed = match pieces::submit(env, removals).await {
        Ok(removed) => removed,
        Err(error) => vec![Outcome::Refused(error); count],
    };
    fault_point("replay-durable");
    for (outcome, removed) in published.into_iter().zip(removed) {
        if is_kept(&removed) {
            env.metrics.dead_letters_replayed.inc();
        } else {
            *outcome = removed;
        }
    }
    Ok(outcomes)
}

/// Whether what was asked for is in the log.
const fn is_kept(outcome: &Outcome) -> bool {
    match outcome {
        Outcome::Published(_) | Outcome::Duplicate { .. } | Outcome::Saved => true,
        Outcome::Refused(_) => false,
    }
}
