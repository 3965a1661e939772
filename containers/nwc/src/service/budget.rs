//! Periods of budgets: where the calendar puts their boundaries, in UTC.

use protocol::nwc::BudgetRenewal;
use units::UnixSecs;

const DAY_SECS: u64 = 86_400;

/// The period that `now` lies in.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Period {
    /// Its first second.
    pub(super) start: UnixSecs,
    /// The first second of the next; none if there is none.
    pub(super) end: Option<UnixSecs>,
}

pub(super) fn period(renewal: BudgetRenewal, now: UnixSecs) -> Period {
    let today = now.0 / DAY_SECS;
    let days = |start: u64, end: u64| Period {
        start: UnixSecs(start * DAY_SECS),
        end: Some(UnixSecs(end * DAY_SECS)),
    };
    match renewal {
        BudgetRenewal::Never => Period { start: UnixSecs(0), end: None },
        BudgetRenewal::Daily => days(today, today + 1),
        BudgetRenewal::Weekly => {
            // The first of January 1970 was a Thursday.
            let monday = today.saturating_sub((today + 3) % 7);
            days(monday, today + 7 - (today + 3) % 7)
        }
        BudgetRenewal::Monthly => {
            let (year, month) = month_of(today);
            let (next_year, next_month) = if month == 12 { (year + 1, 1) } else { (year, month + 1) };
            days(first_day(year, month), first_day(next_year, next_month))
        }
        BudgetRenewal::Yearly => {
            let (year, _) = month_of(today);
            days(first_day(year, 1), first_day(year + 1, 1))
        }
    }
}

const fn is_leap(year: u64) -> bool {
    year.is_multiple_of(4) && !year.is_multiple_of(100) || year.is_multiple_of(400)
}

const fn days_of_month(year: u64, month: u64) -> u64 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if is_leap(year) => 29,
        2 => 28,
        _ => 31,
    }
}

/// Days from 1970 to the first of January of a year.
const fn days_before_year(year: u64) -> u64 {
    let last = year - 1;
    // Leap days up to and including the year before, less those before 1970.
    (year - 1_970) * 365 + (last / 4 - last / 100 + last / 400) - (1_969 / 4 - 1_969 / 100 + 1_969 / 400)
}

fn first_day(year: u64, month: u64) -> u64 {
    days_before_year(year) + (1..month).map(|month| days_of_month(year, month)).sum::<u64>()
}

/// Year and month of a day since 1970.
fn month_of(day: u64) -> (u64, u64) {
    // A guess that is never too late, and at most a year too early.
    let mut year = 1_970 + day / 366;
    while days_before_year(year + 1) <= day {
        year += 1;
    }
    let month = (1..=12).rev().find(|month| first_day(year, *month) <= day);
    (year, month.unwrap_or(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn periods_begin_and_end_where_the_calendar_says() {
        use BudgetRenewal::{Daily, Monthly, Never, Weekly, Yearly};
        // 2024-02-29 12:00:00, a Thursday of a leap year.
        let leap = 1_709_208_000;
        // 2100-03-01 00:00:00, a Monday of a year that is none.
        let century = 4_107_542_400;
        for (now, renewal, start, end) in [
            (leap, Daily, 1_709_164_800, 1_709_251_200),
            (leap, Weekly, 1_708_905_600, 1_709_510_400),
            (leap, Monthly, 1_706_745_600, 1_709_251_200),
            (leap, Yearly, 1_704_067_200, 1_735_689_600),
            (century, Daily, century, century + 86_400),
            (century, Weekly, century, century + 7 * 86_400),
            (century, Monthly, century, 4_110_220_800),
            (century, Yearly, 4_102_444_800, 4_133_980_800),
            // The last second of a year belongs to it.
            (1_735_689_599, Yearly, 1_704_067_200, 1_735_689_600),
            (1_735_689_599, Monthly, 1_733_011_200, 1_735_689_600),
            (0, Weekly, 0, 345_600),
        ] {
            let expected = Period { start: UnixSecs(start), end: Some(UnixSecs(end)) };
            assert_eq!(period(renewal, UnixSecs(now)), expected, "{renewal:?} {now}");
        }
        assert_eq!(period(Never, UnixSecs(leap)), Period { start: UnixSecs(0), end: None });
    }

    #[test]
    fn periods_follow_each_other_without_gap() {
        for renewal in [BudgetRenewal::Weekly, BudgetRenewal::Monthly, BudgetRenewal::Yearly] {
            let mut at = UnixSecs(1_000_000_000);
            for _ in 0..500 {
                let this = period(renewal, at);
                let end = this.end.unwrap();
                assert!(this.start <= at && at < end, "{renewal:?} {at:?}");
                assert_eq!(period(renewal, end).start, end, "{renewal:?}");
                at = end;
            }
        }
    }
}
