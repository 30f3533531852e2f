//! Wall-clock times as people read them.

use tidings_core::Timestamp;

const DAY_MS: u64 = 24 * 60 * 60 * 1000;

/// `12:03:01Z`: the time of day, UTC.
pub(crate) fn time_of_day(at: Timestamp) -> String {
    let seconds = at.as_ms() % DAY_MS / 1000;
    format!("{:02}:{:02}:{:02}Z", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

/// `2026-11-20`: the day, UTC.
pub(crate) fn day(at: Timestamp) -> String {
    // Hinnant, "chrono-Compatible Low-Level Date Algorithms" (civil_from_days), for days since
    // 1970, so never negative.
    let days = at.as_ms() / DAY_MS + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}")
}

/// The wall clock now.
pub(crate) fn now() -> Timestamp {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    Timestamp::from_ms(since.map_or(0, |since| since.as_millis() as u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_like_a_clock_and_a_calendar() {
        for (ms, expected_day, expected_time) in [
            (0, "1970-01-01", "00:00:00Z"),
            (951_782_399_999, "2000-02-28", "23:59:59Z"),
            (951_782_400_000, "2000-02-29", "00:00:00Z"),
            (1_795_000_000_000, "2026-11-18", "11:06:40Z"),
            (4_107_542_400_000, "2100-03-01", "00:00:00Z"),
        ] {
            let at = Timestamp::from_ms(ms);
            assert_eq!((day(at).as_str(), time_of_day(at).as_str()), (expected_day, expected_time));
        }
    }
}
