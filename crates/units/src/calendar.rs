//! Moments for people: the date, and how far away it is.

use crate::UnixSecs;

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// `2026-10-03 12:00:00 UTC (in 2 h 5 min)`.
#[must_use]
pub fn both_ways(at: UnixSecs, now: UnixSecs) -> String {
    format!("{} ({})", date(at), relative(at, now))
}

/// `in 2 h 5 min`, `3 min ago`, `now`.
#[must_use]
pub fn relative(at: UnixSecs, now: UnixSecs) -> String {
    match (at.secs_since(now), now.secs_since(at)) {
        (0, 0) => "now".to_owned(),
        (0, ago) => format!("{} ago", duration(ago)),
        (ahead, _) => format!("in {}", duration(ahead)),
    }
}

/// `2 d 3 h`, `2 h 5 min`, `5 min`, `7 s`: the two largest units, rounded down.
#[must_use]
pub fn duration(secs: u64) -> String {
    let two = |large: u64, unit: &str, small: u64, small_unit: &str| match small {
        0 => format!("{large} {unit}"),
        small => format!("{large} {unit} {small} {small_unit}"),
    };
    match secs {
        0..MINUTE => format!("{secs} s"),
        MINUTE..HOUR => two(secs / MINUTE, "min", secs % MINUTE, "s"),
        HOUR..DAY => two(secs / HOUR, "h", secs % HOUR / MINUTE, "min"),
        _ => two(secs / DAY, "d", secs % DAY / HOUR, "h"),
    }
}

/// `2026-10-03 12:00:00 UTC`.
#[must_use]
pub fn date(at: UnixSecs) -> String {
    let (days, rest) = (at.0 / DAY, at.0 % DAY);
    let (year, month, day) = civil(days);
    let (hour, minute, second) = (rest / HOUR, rest % HOUR / MINUTE, rest % MINUTE);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02} UTC")
}

/// Year, month and day of a day since 1970-01-01, in the Gregorian calendar. Years are counted from
/// March, so that a leap day is the last of its year.
const fn civil(days: u64) -> (u64, u64, u64) {
    /// Days of 400 years, and from 0000-03-01 to 1970-01-01.
    const ERA: u64 = 146_097;
    const TO_1970: u64 = 719_468;
    let days = days + TO_1970;
    let (era, day_of_era) = (days / ERA, days % ERA);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = era * 400 + year_of_era + if month <= 2 { 1 } else { 0 };
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        // Compared with `date -u -d @N`.
        for (secs, expected) in [
            (0, "1970-01-01 00:00:00 UTC"),
            (951_782_399, "2000-02-28 23:59:59 UTC"),
            (951_782_400, "2000-02-29 00:00:00 UTC"),
            (1_743_516_970, "2025-04-01 14:16:10 UTC"),
            (2_519_044_085, "2049-10-28 14:28:05 UTC"),
            (4_107_542_400, "2100-03-01 00:00:00 UTC"),
        ] {
            assert_eq!(date(UnixSecs(secs)), expected);
        }
    }

    #[test]
    fn distance_is_shown_both_ways() {
        let now = UnixSecs(1_000_000);
        for (secs, expected) in
            [(0, "0 s"), (59, "59 s"), (60, "1 min"), (7_500, "2 h 5 min"), (97_200, "1 d 3 h")]
        {
            assert_eq!(duration(secs), expected);
        }
        assert_eq!(relative(now, now), "now");
        assert_eq!(relative(UnixSecs(1_000_090), now), "in 1 min 30 s");
        assert_eq!(relative(UnixSecs(996_400), now), "1 h ago");
        assert_eq!(both_ways(UnixSecs(1_000_007), now), "1970-01-12 13:46:47 UTC (in 7 s)");
    }
}
