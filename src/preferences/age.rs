//! How old somebody is, by the calendar.

use crate::syntax::{format_datetime_ms, parse_datetime_us};

/// Whether who was born on a day is of an age now. Days are those of UTC. Of a date that can't be read, nobody is.
pub(super) fn is_over(birth_date: &str, years: i64, now_us: i64) -> bool {
    let Some(born) = day(birth_date) else { return false };
    let Some(today) = day(&format_datetime_ms(now_us)) else { return false };
    let had_birthday = (today.month, today.day) >= (born.month, born.day);
    today.year.saturating_sub(born.year).saturating_sub(i64::from(!had_birthday)) >= years
}

struct Day {
    year: i64,
    month: u8,
    day: u8,
}

/// Of a datetime, or of a date alone, as some apps write it.
fn day(text: &str) -> Option<Day> {
    let at_us = parse_datetime_us(text).or_else(|_| parse_datetime_us(&format!("{text}T00:00:00Z"))).ok()?;
    let text = format_datetime_ms(at_us);
    let mut parts = text.split(['-', 'T']);
    Some(Day {
        year: parts.next()?.parse().ok()?,
        month: parts.next()?.parse().ok()?,
        day: parts.next()?.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_year_is_over_on_its_birthday() {
        let now = |text: &str| parse_datetime_us(text).unwrap();
        for (born, today, expected) in [
            ("2008-02-29T00:00:00.000Z", "2026-02-28T23:59:59Z", false),
            ("2008-02-29T00:00:00.000Z", "2026-03-01T00:00:00Z", true),
            ("2008-06-15", "2026-06-14T12:00:00Z", false),
            ("2008-06-15", "2026-06-15T00:00:00Z", true),
            ("1950-01-01T00:00:00Z", "2026-06-15T00:00:00Z", true),
            ("2050-01-01T00:00:00Z", "2026-06-15T00:00:00Z", false),
            ("yesterday", "2026-06-15T00:00:00Z", false),
            ("", "2026-06-15T00:00:00Z", false),
        ] {
            assert_eq!(is_over(born, 18, now(today)), expected, "{born} {today}");
        }
    }
}
