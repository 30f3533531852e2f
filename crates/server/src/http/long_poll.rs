//! `GET /v1/history?…&wait_ms=N`: the answer waits until there is a message.

use std::sync::Arc;
use std::time::Duration;

use tidings_core::{Principal, limits};
use tidings_protocol::{ErrorBody, ErrorCode, History};
use tokio::time::Instant;

use super::history::{Page, Read};
use crate::env::Env;
use crate::metrics::Held;
use crate::problem::{HttpError, cannot_wait, no_longer};

/// Reads `page` for whom `still_counts` says that they may, and if it has nothing for the client waits until it has or `wait` is over.
pub(super) async fn read(
    env: &Arc<Env>,
    principal: &Arc<Principal>,
    page: &Page,
    wait: Duration,
    still_counts: impl Fn() -> Result<(), HttpError>,
) -> Result<Read, HttpError> {
    let read = page.read(env).await?;
    if wait.is_zero() || is_news(&read.history) {
        return Ok(read);
    }
    // Nobody learns more by waiting than the token would still allow to ask.
    let due = Instant::now() + super::access::time_left(principal).map_or(wait, |it| it.min(wait));
    let topics = [page.topic.clone()];
    let watch = env.watchers.watch(principal, topics).map_err(|why| cannot_wait(env, why))?;
    // A token that was revoked before the watch was there to be ended is seen now.
    still_counts()?;
    let _held = Held::new(&env.metrics.waiting_polls);
    let mut read = read;
    loop {
        // What came between the last read and the registration, or the last ring, is in the log.
        if env.store.topic_state(&page.topic).head >= read.next {
            read = page.read(env).await?;
            if is_news(&read.history) {
                return Ok(read);
            }
        }
        tokio::select! {
            grown = watch.grown() => grown.map_err(|why| no_longer(env, why))?,
            () = tokio::time::sleep_until(due) => return Ok(read),
        }
    }
}

/// Whether the client has something to do with this answer.
fn is_news(history: &History) -> bool {
    !history.messages.is_empty() || history.more || !history.recovered
}

/// How long a request asks to wait, as far as it may: what it may take longer than others.
/// Whether the request is a good one is for its handler to say.
pub(super) fn asked(query: Option<&str>) -> Duration {
    let pairs = query.unwrap_or_default().split('&').filter_map(|pair| pair.split_once('='));
    let ms = pairs.filter(|(name, _)| *name == "wait_ms").filter_map(|(_, text)| text.parse().ok());
    ms.max().map_or(Duration::ZERO, Duration::from_millis).min(limits::HISTORY_WAIT_MAX)
}

/// The time to wait, checked.
pub(super) fn wait(ms: Option<u64>) -> Result<Duration, ErrorBody> {
    let wait = Duration::from_millis(ms.unwrap_or(0));
    if wait > limits::HISTORY_WAIT_MAX {
        let most = limits::HISTORY_WAIT_MAX.as_millis();
        let message = format!("`wait_ms` is {}; it must be from 0 to {most}", wait.as_millis());
        return Err(ErrorBody::new(ErrorCode::BadField, message));
    }
    Ok(wait)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_deadline_of_a_request_moves_by_what_it_asks_at_most_a_minute() {
        for (query, ms) in [
            (None, 0),
            (Some("topic=a"), 0),
            (Some("topic=a&wait_ms=1500"), 1500),
            (Some("wait_ms=1&wait_ms=x&wait_ms=7"), 7),
            (Some("wait_ms=99999999999"), 60_000),
            (Some("wait_ms=-1"), 0),
        ] {
            assert_eq!(asked(query), Duration::from_millis(ms), "{query:?}");
        }
    }
}
