//! The day of a time, for people.

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

/// The day, in UTC, of a number of seconds since 1970.
pub(crate) fn day(unix_s: u64) -> String {
    let mut days = unix_s / 86_400;
    let mut year = 1970;
    while days >= days_of(year) {
        days -= days_of(year);
        year += 1;
    }
    let february = if days_of(year) == 366 { 29 } else { 28 };
    let lengths = [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let mut month = 0;
    while days >= lengths[month] {
        days -= lengths[month];
        month += 1;
    }
    format!("{} {} {year}", days + 1, MONTHS[month])
}

const fn days_of(year: u64) -> u64 {
    if year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400)) {
        366
    } else {
        365
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_those_of_the_calendar() {
        // As `date -u -d @…` has them.
        for (unix_s, expected) in [
            (0, "1 January 1970"),
            (951_782_400, "29 February 2000"),
            (1_735_689_599, "31 December 2024"),
            (1_795_000_000, "18 November 2026"),
        ] {
            assert_eq!(day(unix_s), expected);
        }
    }
}
