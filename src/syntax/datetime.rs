//! Datetimes: the intersection of RFC 3339 and ISO 8601 that the protocol takes, and the arithmetic between text and
//! microseconds since the epoch. Written here so that nothing below the hosts needs a calendar library.
//!
//! Tricky bits: `-00:00` is refused, `-10:00` is not; the year 0000 is allowed but not an instant before it; seconds
//! end at 59 as in the reference; fractions beyond a microsecond are cut, not rounded.

use super::SyntaxError;

const DATETIME_BYTES_MAX: usize = 64;
const SECOND_US: i64 = 1_000_000;
const DAY_SECONDS: i64 = 86_400;
/// 0000-01-01T00:00:00Z.
const EARLIEST_US: i64 = -62_167_219_200 * SECOND_US;
/// 9999-12-31T23:59:59.999999Z.
const LATEST_US: i64 = 253_402_300_800 * SECOND_US - 1;

const NO_SUCH_DAY: &str = "no such day";
const NO_SUCH_TIME: &str = "no such time of day";
const AS_THE_PROTOCOL_WRITES: SyntaxError =
    SyntaxError::Datetime("it is written as 2026-01-31T12:34:56Z, with seconds and a time zone");
const AS_PEOPLE_WRITE: SyntaxError =
    SyntaxError::Datetime("write 2026-01-31, 2026-01-31 12:34 (in UTC) or 2026-01-31T12:34:56+02:00");

super::string_newtype!(
    /// A datetime with a time zone, kept as written.
    Datetime,
    validate_datetime
);

impl Datetime {
    /// The datetime of a moment, in UTC with milliseconds.
    #[must_use]
    pub fn from_micros(us: i64) -> Self {
        Self(format_datetime_ms(us).into_boxed_str())
    }

    /// Microseconds since the epoch.
    #[must_use]
    pub fn micros(&self) -> i64 {
        parse_datetime_us(&self.0).unwrap_or_default()
    }
}

/// Reads a time as people write it: a day, a time without seconds or a zone (then UTC), a space in place of the `T`. What
/// the protocol takes is kept as it is; the rest becomes that.
///
/// # Errors
/// [`SyntaxError::Datetime`] with the ways to write it.
pub fn read_datetime(text: &str) -> Result<Datetime, SyntaxError> {
    if let Ok(strict) = Datetime::try_from(text) {
        return Ok(strict);
    }
    Datetime::try_from(in_full(text.trim()).ok_or(AS_PEOPLE_WRITE)?).map_err(|error| match error {
        // A day that is none stays none, however it is written.
        SyntaxError::Datetime(NO_SUCH_DAY | NO_SUCH_TIME) => error,
        _ => AS_PEOPLE_WRITE,
    })
}

/// With the `T`, seconds and zone that were left out.
fn in_full(text: &str) -> Option<String> {
    let (date, rest) = (text.get(..10)?, text.get(10..)?);
    if rest.is_empty() {
        return Some(format!("{date}T00:00:00Z"));
    }
    let rest = rest.strip_prefix(['T', 't', ' '])?;
    let clock = rest.find(['Z', 'z', '+', '-', ' ']).unwrap_or(rest.len());
    let (clock, zone) = (rest.get(..clock)?, rest.get(clock..)?.trim_start());
    let seconds = if clock.len() == 5 { ":00" } else { "" };
    let zone = match (zone, zone.len()) {
        ("" | "z" | "UTC" | "-00:00", _) => "Z".to_owned(),
        // +0200 and +02
        (zone, 5) if !zone.contains(':') => format!("{}:{}", zone.get(..3)?, zone.get(3..)?),
        (zone, 3) => format!("{zone}:00"),
        (zone, _) => zone.to_owned(),
    };
    Some(format!("{date}T{clock}{seconds}{zone}"))
}

/// Checks syntax and calendar.
///
/// # Errors
/// [`SyntaxError::Datetime`] with the rule that was broken.
pub fn validate_datetime(text: &str) -> Result<(), SyntaxError> {
    parse_datetime_us(text).map(|_| ())
}

/// Microseconds since the epoch of a datetime.
///
/// # Errors
/// [`SyntaxError::Datetime`] with the rule that was broken.
pub fn parse_datetime_us(text: &str) -> Result<i64, SyntaxError> {
    if text.len() > DATETIME_BYTES_MAX {
        return Err(SyntaxError::Datetime("longer than 64 bytes"));
    }
    let mut scan = Scanner(text.as_bytes());
    let year = scan.number(4)?;
    scan.expect(b'-')?;
    let month = scan.number(2)?;
    scan.expect(b'-')?;
    let day = scan.number(2)?;
    scan.expect(b'T')?;
    let hour = scan.number(2)?;
    scan.expect(b':')?;
    let minute = scan.number(2)?;
    scan.expect(b':')?;
    let second = scan.number(2)?;
    let fraction_us = scan.fraction_us()?;
    let offset_seconds = scan.offset_seconds()?;

    if !(1..=12).contains(&month) || day < 1 || day > days_in_month(year, month) {
        return Err(SyntaxError::Datetime(NO_SUCH_DAY));
    }
    if hour > 23 || minute > 59 || second > 59 {
        return Err(SyntaxError::Datetime(NO_SUCH_TIME));
    }
    let seconds =
        days_from_civil(year, month, day) * DAY_SECONDS + hour * 3600 + minute * 60 + second - offset_seconds;
    let us = seconds * SECOND_US + fraction_us;
    if us < EARLIEST_US {
        return Err(SyntaxError::Datetime("before the year 0000"));
    }
    Ok(us)
}

/// `2026-01-31 12:34 UTC`, for people.
#[must_use]
pub fn format_minute(us: i64) -> String {
    let (date, _) = format_to_seconds(us);
    format!("{} UTC", date.get(..16).unwrap_or(&date).replace('T', " "))
}

/// `2026-01-31T12:34:56.789Z`. Moments outside the years 0000 to 9999 are held to them.
#[must_use]
pub fn format_datetime_ms(us: i64) -> String {
    let (date, us_of_second) = format_to_seconds(us);
    format!("{date}.{:03}Z", us_of_second / 1000)
}

/// `2026-01-31T12:34:56.789012Z`. Moments outside the years 0000 to 9999 are held to them.
#[must_use]
pub fn format_datetime_us(us: i64) -> String {
    let (date, us_of_second) = format_to_seconds(us);
    format!("{date}.{us_of_second:06}Z")
}

fn format_to_seconds(us: i64) -> (String, i64) {
    let us = us.clamp(EARLIEST_US, LATEST_US);
    let seconds = us.div_euclid(SECOND_US);
    let (year, month, day) = civil_from_days(seconds.div_euclid(DAY_SECONDS));
    let of_day = seconds.rem_euclid(DAY_SECONDS);
    let (hour, minute, second) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
    (format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}"), us.rem_euclid(SECOND_US))
}

/// Days since the epoch of a date of the proleptic Gregorian calendar. The year is taken to begin in March, so that
/// the leap day is its last; an era is the calendar's cycle of 400 years.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

/// The inverse of [`days_from_civil`].
fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

fn days_in_month(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Takes the fixed fields off the front.
struct Scanner<'a>(&'a [u8]);

impl Scanner<'_> {
    fn next(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    fn expect(&mut self, wanted: u8) -> Result<(), SyntaxError> {
        if self.next() == Some(wanted) { Ok(()) } else { Err(AS_THE_PROTOCOL_WRITES) }
    }

    fn number(&mut self, digits: usize) -> Result<i64, SyntaxError> {
        let mut value = 0;
        for _ in 0..digits {
            match self.next() {
                Some(b @ b'0'..=b'9') => value = value * 10 + i64::from(b - b'0'),
                _ => return Err(AS_THE_PROTOCOL_WRITES),
            }
        }
        Ok(value)
    }

    fn fraction_us(&mut self) -> Result<i64, SyntaxError> {
        let Some((b'.', rest)) = self.0.split_first() else { return Ok(0) };
        self.0 = rest;
        let (mut value, mut digits) = (0, 0);
        while let Some(b @ b'0'..=b'9') = self.0.first().copied() {
            if digits < 6 {
                value = value * 10 + i64::from(b - b'0');
            }
            digits += 1;
            self.next();
        }
        match digits {
            1..=20 => Ok(value * 10_i64.pow(6_u32.saturating_sub(digits))),
            _ => Err(SyntaxError::Datetime("fraction must have 1 to 20 digits")),
        }
    }

    fn offset_seconds(&mut self) -> Result<i64, SyntaxError> {
        let sign = match self.next() {
            Some(b'Z') => 0,
            Some(b'+') => 1,
            Some(b'-') => -1,
            _ => return Err(SyntaxError::Datetime("time zone is missing")),
        };
        let mut offset = 0;
        if sign != 0 {
            let hours = self.number(2)?;
            self.expect(b':')?;
            let minutes = self.number(2)?;
            if hours > 23 || minutes > 59 {
                return Err(SyntaxError::Datetime("no such time zone"));
            }
            offset = sign * (hours * 3600 + minutes * 60);
            if sign < 0 && offset == 0 {
                return Err(SyntaxError::Datetime("time zone -00:00 is not allowed"));
            }
        }
        if self.0.is_empty() {
            Ok(offset)
        } else {
            Err(SyntaxError::Datetime("something follows the time zone"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn known_instants() {
        for (text, us) in [
            ("1970-01-01T00:00:00Z", 0),
            ("1985-04-12T23:20:50.123456Z", 482_196_050_123_456),
            ("1969-12-31T23:59:59.999Z", -1000),
            ("2024-02-29T12:00:00-10:00", 1_709_244_000_000_000),
            ("2000-01-01T01:45:00.5+01:45", 946_684_800_500_000),
        ] {
            assert_eq!(parse_datetime_us(text), Ok(us), "{text}");
        }
        assert!(parse_datetime_us("2023-02-29T12:00:00Z").is_err());
        assert_eq!(format_datetime_ms(482_196_050_123_456), "1985-04-12T23:20:50.123Z");
        assert_eq!(format_minute(482_196_050_123_456), "1985-04-12 23:20 UTC");
        assert_eq!(format_datetime_us(-1), "1969-12-31T23:59:59.999999Z");
    }

    #[test]
    fn times_are_read_as_people_write_them() {
        for (text, read) in [
            ("2026-01-31", "2026-01-31T00:00:00Z"),
            ("2026-01-31T12:34", "2026-01-31T12:34:00Z"),
            (" 2026-01-31 12:34 ", "2026-01-31T12:34:00Z"),
            ("2026-01-31 12:34:56", "2026-01-31T12:34:56Z"),
            ("2026-01-31 12:34:56.5 UTC", "2026-01-31T12:34:56.5Z"),
            ("2026-01-31t12:34:56z", "2026-01-31T12:34:56Z"),
            ("2026-01-31T12:34+02:00", "2026-01-31T12:34:00+02:00"),
            ("2026-01-31 12:34:56 +0200", "2026-01-31T12:34:56+02:00"),
            ("2026-01-31 12:34:56-05", "2026-01-31T12:34:56-05:00"),
            ("2026-01-31T12:34:56-00:00", "2026-01-31T12:34:56Z"),
            ("2026-01-31T12:34:56.789Z", "2026-01-31T12:34:56.789Z"),
        ] {
            assert_eq!(read_datetime(text).unwrap().as_str(), read, "{text:?}");
        }
        for not in [
            "",
            "yesterday",
            "31.01.2026",
            "2026-1-31",
            "2026-01-31T12",
            "2026-01-31 12:34 MEZ",
            "12:34",
            "2026-01-31T",
        ] {
            assert_eq!(read_datetime(not), Err(AS_PEOPLE_WRITE), "{not:?}");
        }
        assert_eq!(read_datetime("2026-02-30"), Err(SyntaxError::Datetime(NO_SUCH_DAY)));
        assert_eq!(read_datetime("2026-01-31 25:00"), Err(SyntaxError::Datetime(NO_SUCH_TIME)));
        // What a record of the protocol says stays as the protocol wants it.
        assert_eq!(validate_datetime("2026-01-31"), Err(AS_THE_PROTOCOL_WRITES));
    }

    proptest! {
        #[test]
        fn whatever_is_read_is_a_datetime(text in "[0-9]{4}-[0-9]{2}-[0-9]{2}.{0,20}") {
            if let Ok(read) = read_datetime(&text) {
                prop_assert_eq!(validate_datetime(read.as_str()), Ok(()));
            }
        }

        #[test]
        fn formatted_moments_parse_back(us in EARLIEST_US..=LATEST_US) {
            prop_assert_eq!(parse_datetime_us(&format_datetime_us(us)), Ok(us));
            prop_assert_eq!(Datetime::from_micros(us).micros(), us.div_euclid(1000) * 1000);
        }

        #[test]
        fn every_moment_formats_to_a_valid_datetime(us: i64) {
            prop_assert_eq!(validate_datetime(&format_datetime_ms(us)), Ok(()));
        }
    }
}
