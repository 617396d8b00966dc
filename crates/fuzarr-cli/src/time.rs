//! Dates and times of the proleptic Gregorian calendar, as NumPy writes them.

use fuzarr::dtype::TimeUnit;

/// Days from the first of January of the year 1 to that of 1970.
const EPOCH: i128 = 719_162;
const DAYS_OF_MONTHS: [i128; 12] = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
const DAY_SECONDS: i128 = 86_400;
/// Years that are read: with these a time in attoseconds fits its integer by far.
const MAX_YEAR: i128 = 1_000_000_000;

/// The time so many steps after 1970 began, to its unit: `2024-02-29T12:00:00.000`. Without a unit
/// it is a number.
pub(crate) fn text(steps: i64, unit: TimeUnit, scale: u32) -> String {
    let count = i128::from(steps) * i128::from(scale);
    match unit {
        TimeUnit::Generic => count.to_string(),
        TimeUnit::Year => format!("{:04}", 1970 + count),
        TimeUnit::Month => {
            format!("{:04}-{:02}", 1970 + count.div_euclid(12), 1 + count.rem_euclid(12))
        }
        TimeUnit::Week => date(7 * count),
        TimeUnit::Day => date(count),
        TimeUnit::Hour => format!("{}T{:02}", date(count.div_euclid(24)), count.rem_euclid(24)),
        TimeUnit::Minute => {
            let (day, minute) = (count.div_euclid(1440), count.rem_euclid(1440));
            format!("{}T{:02}:{:02}", date(day), minute / 60, minute % 60)
        }
        _ => {
            let digits = fraction_digits(unit);
            let parts = 10_i128.pow(digits);
            let (seconds, fraction) = (count.div_euclid(parts), count.rem_euclid(parts));
            let (day, second) = (seconds.div_euclid(DAY_SECONDS), seconds.rem_euclid(DAY_SECONDS));
            let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
            let whole = format!("{}T{hour:02}:{minute:02}:{second:02}", date(day));
            let digits = digits as usize;
            if digits == 0 { whole } else { format!("{whole}.{fraction:0>digits$}") }
        }
    }
}

/// Digits after the point of seconds that show the unit; for units from seconds on.
fn fraction_digits(unit: TimeUnit) -> u32 {
    match unit {
        TimeUnit::Millisecond => 3,
        TimeUnit::Microsecond => 6,
        TimeUnit::Nanosecond => 9,
        TimeUnit::Picosecond => 12,
        TimeUnit::Femtosecond => 15,
        TimeUnit::Attosecond => 18,
        _ => 0,
    }
}

/// The steps that `text` is after 1970 began: a date to the month or day, and perhaps a time of day
/// to the hour, minute, second or part of it. `None` if it is none, or between two steps.
pub(crate) fn parse(text: &str, unit: TimeUnit, scale: u32) -> Option<i64> {
    let (date, time) = text.split_once(['T', ' ']).map_or((text, None), |(d, t)| (d, Some(t)));
    // Years before 0 count the sign among their four characters.
    let (sign, least, date) = date.strip_prefix('-').map_or((1, 4, date), |date| (-1, 3, date));
    let mut parts = date.split('-');
    let year = sign * whole(parts.next()?, least..=10)?;
    let month = whole(parts.next()?, 2..=2).filter(|month| (1..=12).contains(month))?;
    let day = parts.next().map_or(Some(1), |day| whole(day, 2..=2))?;
    let valid = parts.next().is_none() && (1..=days_of(year, month)).contains(&day);
    if !valid || year.abs() > MAX_YEAR {
        return None;
    }
    let time = time.map_or(Some(0), time_of_day)?;
    let (count, step) = match unit {
        TimeUnit::Generic => return None,
        TimeUnit::Year | TimeUnit::Month if day != 1 || time != 0 => return None,
        TimeUnit::Year => ((year - 1970) * 12 + month - 1, 12),
        TimeUnit::Month => ((year - 1970) * 12 + month - 1, 1),
        _ => {
            let months = (1..month).map(|month| days_of(year, month)).sum::<i128>();
            let days = days_before(year) - EPOCH + months + day - 1;
            (days * DAY_SECONDS * SECOND + time, attoseconds(unit))
        }
    };
    let step = step * i128::from(scale);
    let steps = i64::try_from(count.div_euclid(step)).ok()?;
    // The least is no time.
    (count.rem_euclid(step) == 0 && steps != i64::MIN).then_some(steps)
}

/// Attoseconds of a second.
const SECOND: i128 = 1_000_000_000_000_000_000;

fn attoseconds(unit: TimeUnit) -> i128 {
    match unit {
        TimeUnit::Week => 7 * DAY_SECONDS * SECOND,
        TimeUnit::Day => DAY_SECONDS * SECOND,
        TimeUnit::Hour => 3600 * SECOND,
        TimeUnit::Minute => 60 * SECOND,
        _ => SECOND / 10_i128.pow(fraction_digits(unit)),
    }
}

/// Attoseconds since midnight at `12`, `12:30`, `12:30:59` or `12:30:59.25`.
fn time_of_day(text: &str) -> Option<i128> {
    let (text, fraction) = text.split_once('.').map_or((text, None), |(t, f)| (t, Some(f)));
    let mut total = 0;
    let mut fields = text.split(':');
    let mut found = 0;
    for (seconds, limit) in [(3600, 24), (60, 60), (1, 60)] {
        let Some(field) = fields.next() else { break };
        total += whole(field, 2..=2).filter(|&field| field < limit)? * seconds * SECOND;
        found += 1;
    }
    if fields.next().is_some() || (fraction.is_some() && found < 3) {
        return None;
    }
    Some(total + fraction.map_or(Some(0), |digits| whole(&format!("{digits:0<18}"), 18..=18))?)
}

/// The number of so many decimal digits and nothing else.
fn whole(digits: &str, lengths: std::ops::RangeInclusive<usize>) -> Option<i128> {
    let decimal = digits.bytes().all(|digit| digit.is_ascii_digit());
    if decimal && lengths.contains(&digits.len()) { digits.parse().ok() } else { None }
}

/// The date so many days after 1970 began.
fn date(days: i128) -> String {
    let days = days + EPOCH;
    // 400 years have 146,097 days; the guess is at most a year off.
    let mut year = (400 * days).div_euclid(146_097) + 1;
    while days_before(year) > days {
        year -= 1;
    }
    while days_before(year + 1) <= days {
        year += 1;
    }
    let mut day = days - days_before(year);
    let mut month = 1;
    while day >= days_of(year, month) {
        day -= days_of(year, month);
        month += 1;
    }
    format!("{year:04}-{month:02}-{:02}", day + 1)
}

/// Days from the first of January of the year 1 to that of `year`.
fn days_before(year: i128) -> i128 {
    let past = year - 1;
    365 * past + past.div_euclid(4) - past.div_euclid(100) + past.div_euclid(400)
}

/// Days of a month from 1 to 12.
fn days_of(year: i128, month: i128) -> i128 {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = usize::try_from(month - 1).ok().and_then(|month| DAYS_OF_MONTHS.get(month));
    days.map_or(31, |days| days + i128::from(leap && month == 2))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What NumPy 2.5 prints is what `tests/print.rs` compares with; here, that it is read back.
    #[test]
    fn what_is_written_is_read() {
        let units = [
            (TimeUnit::Month, 3),
            (TimeUnit::Week, 1),
            (TimeUnit::Day, 1),
            (TimeUnit::Hour, 5),
            (TimeUnit::Minute, 1),
            (TimeUnit::Second, 30),
            (TimeUnit::Millisecond, 1),
            (TimeUnit::Nanosecond, 1),
            (TimeUnit::Attosecond, 1),
        ];
        let steps = [0, 1, -1, 59, 60, 366, -719_529, 11_016, 123_456_789, -987_654_321];
        for (unit, scale) in units {
            for steps in steps {
                let text = text(steps, unit, scale);
                assert_eq!(parse(&text, unit, scale), Some(steps), "{text}");
            }
        }
        let largest = text(i64::MAX, TimeUnit::Nanosecond, 1);
        assert_eq!(largest, "2262-04-11T23:47:16.854775807");
        assert_eq!(parse(&largest, TimeUnit::Nanosecond, 1), Some(i64::MAX));
    }

    #[test]
    fn forms_of_dates() {
        for (written, unit, expected) in [
            ("1971-01", TimeUnit::Year, 1),
            ("1970-03", TimeUnit::Month, 2),
            ("1970-01-02", TimeUnit::Hour, 24),
            ("1970-01-01T01", TimeUnit::Second, 3600),
            ("1970-01-01 01:01", TimeUnit::Second, 3660),
            ("1970-01-01T00:00:01.5", TimeUnit::Millisecond, 1500),
            ("-001-12-31", TimeUnit::Day, -719_529),
            ("-0001-12-31", TimeUnit::Day, -719_529),
            ("2000-02-29", TimeUnit::Day, 11_016),
        ] {
            assert_eq!(parse(written, unit, 1), Some(expected), "{written}");
        }
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for (written, unit) in [
            ("1970-02", TimeUnit::Year),
            ("1970-01-02", TimeUnit::Month),
            ("1970-01-02", TimeUnit::Week),
            ("1900-02-29", TimeUnit::Day),
            ("1970-13-01", TimeUnit::Day),
            ("1970-00-01", TimeUnit::Day),
            ("1970-01-00", TimeUnit::Day),
            ("1970-1-1", TimeUnit::Day),
            ("1970", TimeUnit::Day),
            ("70-01-01", TimeUnit::Day),
            ("1970-01-01-01", TimeUnit::Day),
            ("1970-01-01T", TimeUnit::Second),
            ("1970-01-01T24", TimeUnit::Second),
            ("1970-01-01T00:60", TimeUnit::Second),
            ("1970-01-01T00:00:00:00", TimeUnit::Second),
            ("1970-01-01T00:00.5", TimeUnit::Nanosecond),
            ("1970-01-01T00:00:00.5", TimeUnit::Second),
            ("1970-01-01T00:00:00.0000000000000000001", TimeUnit::Attosecond),
            ("1970-01-01T00:00:00Z", TimeUnit::Second),
            ("1970-01-01T+1", TimeUnit::Second),
            ("9999999999-01-01", TimeUnit::Attosecond),
            ("3000-01-01", TimeUnit::Nanosecond),
            ("1970-01-01", TimeUnit::Generic),
            ("", TimeUnit::Day),
            ("é-01-01", TimeUnit::Day),
        ] {
            assert_eq!(parse(written, unit, 1), None, "{written}");
        }
    }
}
