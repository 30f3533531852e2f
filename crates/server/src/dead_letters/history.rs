//! The failed deliveries of a message as they stand in a dead letter and are told over HTTP.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use tidings_core::{Attempt, Attempts};

/// Longest `tidings-history`. The first and last few attempts fit with reasons of usual length;
/// where they do not, reasons are left out, those in the middle first.
const HISTORY_BYTES_MAX: usize = 8 * 1024;

/// One failed delivery. Times are milliseconds since 1970.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ToldAttempt {
    pub(crate) attempt: u32,
    pub(crate) client: String,
    pub(crate) sent_at: u64,
    pub(crate) ended_at: u64,
    pub(crate) ended: Cow<'static, str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<String>,
}

impl From<&Attempt> for ToldAttempt {
    fn from(attempt: &Attempt) -> Self {
        Self {
            attempt: attempt.number,
            client: attempt.client.to_string(),
            sent_at: attempt.sent_at.as_ms(),
            ended_at: attempt.ended_at.as_ms(),
            ended: Cow::Borrowed(attempt.end.as_str()),
            reason: attempt.reason.as_deref().map(str::to_owned),
        }
    }
}

/// The attempts as JSON text.
pub(super) fn to_text(attempts: &Attempts) -> String {
    let mut told: Vec<ToldAttempt> = attempts.kept().map(ToldAttempt::from).collect();
    loop {
        let text = serde_json::to_string(&told).expect("texts and numbers are JSON");
        if text.len() <= HISTORY_BYTES_MAX {
            return text;
        }
        let middle = told.len() / 2;
        let with_reason = told.iter_mut().enumerate().filter(|(_, a)| a.reason.is_some());
        let Some((_, attempt)) = with_reason.min_by_key(|(at, _)| at.abs_diff(middle)) else {
            // Without reasons they are far below the bound, whatever clients call themselves.
            return text;
        };
        attempt.reason = None;
    }
}

/// Reads what [`to_text`] wrote.
pub(super) fn from_text(text: &str) -> Vec<ToldAttempt> {
    serde_json::from_str(text).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use tidings_core::{AttemptEnd, AttemptLog, ClientId, Offset, Timestamp};

    use super::*;

    fn log(reason: &str) -> AttemptLog {
        let mut log = AttemptLog::default();
        for number in 1..=40 {
            let attempt = Attempt {
                number,
                client: ClientId::parse("phone").unwrap(),
                sent_at: Timestamp::from_ms(10),
                ended_at: Timestamp::from_ms(20),
                end: AttemptEnd::TimedOut,
                reason: Some(reason.into()),
            };
            log.failed(Offset::FIRST, attempt);
        }
        log
    }

    #[test]
    fn reads_back_as_it_was_written() {
        let log = log("db \"down\"");
        let attempts = log.of(Offset::FIRST).unwrap();
        let told: Vec<_> = attempts.kept().map(ToldAttempt::from).collect();
        assert_eq!(from_text(&to_text(attempts)), told);
        assert_eq!(told[4].attempt, 29);
        assert_eq!(told[15].reason.as_deref(), Some("db \"down\""));
    }

    #[test]
    fn reasons_that_are_too_long_in_all_leave_the_attempts() {
        // Control characters take six times their length as JSON.
        let log = log(&"\u{1}".repeat(512));
        let text = to_text(log.of(Offset::FIRST).unwrap());
        assert!(text.len() <= HISTORY_BYTES_MAX, "{}", text.len());
        let told = from_text(&text);
        assert_eq!(told.len(), 16);
        assert!(told[0].reason.is_some() || told[15].reason.is_some(), "the outer ones are kept");
        assert!(told[8].reason.is_none());
    }
}
