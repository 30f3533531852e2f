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

/// `2026-11-20T12:03:01Z`: the moment, UTC.
pub(crate) fn moment(at: Timestamp) -> String {
    format!("{}T{}", day(at), time_of_day(at))
}

/// Reads a moment as [`moment`] writes it, and other forms of RFC 3339: with fractions of a second,
/// and with a distance from UTC (`+02:00`).
pub(crate) fn parse_moment(text: &str) -> Option<Timestamp> {
    let (date, rest) = text.split_once(['T', 't', ' '])?;
    let (time, distance_ms) = match rest.strip_suffix(['Z', 'z']) {
        Some(time) => (time, 0),
        None => {
            let (time, distance) = rest.split_at(rest.rfind(['+', '-'])?);
            let [hours, minutes] = numbers(distance.get(1..)?, ':', [2, 2])?;
            let sign = if distance.starts_with('-') { -1 } else { 1 };
            (time, sign * (hours * 60 + minutes) as i64 * 60_000)
        }
    };
    let (time, fraction_ms) = match time.split_once('.') {
        Some((time, fraction)) if fraction.bytes().all(|digit| digit.is_ascii_digit()) => {
            (time, format!("{fraction:0<3}").get(..3)?.parse().ok()?)
        }
        Some(_) => return None,
        None => (time, 0),
    };
    let [year, month, day] = numbers(date, '-', [4, 2, 2])?;
    let [hours, minutes, seconds] = numbers(time, ':', [2, 2, 2])?;
    let in_range = (1970..=9999).contains(&year)
        && (1..=12).contains(&month)
        && (1..=31).contains(&day)
        && hours < 24
        && minutes < 60
        && seconds < 60;
    let days = in_range.then(|| days_since_1970(year, month, day))?;
    let ms = days * DAY_MS + ((hours * 60 + minutes) * 60 + seconds) * 1000 + fraction_ms;
    let at = Timestamp::from_ms(ms);
    // A day that its month does not have is another day's name.
    (self::day(at) == date).then_some(())?;
    ms.checked_add_signed(-distance_ms).map(Timestamp::from_ms)
}

/// Numbers of so many digits each.
fn numbers<const N: usize>(text: &str, separator: char, digits: [usize; N]) -> Option<[u64; N]> {
    let mut parts = text.split(separator);
    let mut numbers = [0; N];
    for (number, digits) in numbers.iter_mut().zip(digits) {
        let part = parts.next()?;
        let is_number = part.len() == digits && part.bytes().all(|digit| digit.is_ascii_digit());
        *number = is_number.then(|| part.parse().ok())??;
    }
    parts.next().is_none().then_some(numbers)
}

/// Hinnant, "chrono-Compatible Low-Level Date Algorithms" (days_from_civil), from 1970 on.
const fn days_since_1970(year: u64, month: u64, day: u64) -> u64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, year_of_era) = (year / 400, year % 400);
    let shifted_month = if month > 2 { month - 3 } else { month + 9 };
    let day_of_year = (153 * shifted_month + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
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
            let second = Timestamp::from_ms(ms / 1000 * 1000);
            assert_eq!(parse_moment(&moment(at)), Some(second), "{}", moment(at));
        }
    }

    #[test]
    fn every_day_is_read_as_it_is_written() {
        for days in (0..100_000).step_by(7) {
            let at = Timestamp::from_ms(days * DAY_MS + 1);
            let text = format!("{}T00:00:00.001Z", day(at));
            assert_eq!(parse_moment(&text), Some(at), "{text}");
        }
    }

    #[test]
    fn moments_may_be_elsewhere_and_must_exist() {
        let at = Some(Timestamp::from_ms(1_795_000_000_000));
        assert_eq!(parse_moment("2026-11-18T13:06:40+02:00"), at);
        assert_eq!(parse_moment("2026-11-18 06:06:40.000-05:00"), at);
        for text in [
            "",
            "2026-11-18",
            "2026-11-18T11:06:40",
            "2026-11-31T11:06:40Z",
            "2026-02-29T11:06:40Z",
            "2026-13-01T11:06:40Z",
            "2026-00-01T11:06:40Z",
            "2026-11-18T24:06:40Z",
            "2026-11-18T11:06:40.xZ",
            "26-11-18T11:06:40Z",
            "1969-12-31T23:59:59Z",
            "1970-01-01T00:00:00+00:01",
            "2026-11-18T11:06:40+é2:00",
            "2026-11-18T11:+6:40Z",
        ] {
            assert_eq!(parse_moment(text), None, "{text}");
        }
    }
}
