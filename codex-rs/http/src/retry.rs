//! When to try again: what the server asks for, and what to do when it asks for
//! nothing. Pure: the caller gives the time and the randomness.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The longest wait that a server can impose. The same bound as in the model
/// providers' own SDKs, whose rate limits are counted by the minute; a server
/// that wants more has an outage or an empty account, which waiting won't mend.
pub const MAX_RETRY_AFTER: Duration = Duration::from_secs(60);

/// What the server asks to wait, from the values of its `retry-after-ms` header
/// (milliseconds, sent by model providers) and its `Retry-After` header (RFC
/// 9110, section 10.2.3: seconds or a date; fractions of a second are accepted
/// too). The finer one wins. Not limited: see [`Backoff::delay`]. A date in the
/// past is a wait of nothing; text that is neither is `None`.
pub fn retry_after(
    retry_after_ms: Option<&str>,
    retry_after: Option<&str>,
    now: SystemTime,
) -> Option<Duration> {
    let finer = retry_after_ms.and_then(|text| decimal(text.trim(), 1000.0));
    finer.or_else(|| {
        let text = retry_after?.trim();
        decimal(text, 1.0).or_else(|| {
            let date = http_date(text, now)?;
            Some(date.duration_since(now).unwrap_or(Duration::ZERO))
        })
    })
}

/// A plain decimal number of which `per_second` make a second. Numbers too large
/// for a `Duration` are the largest one.
fn decimal(text: &str, per_second: f64) -> Option<Duration> {
    let digits = text.bytes().filter(u8::is_ascii_digit).count();
    let dots = text.bytes().filter(|byte| *byte == b'.').count();
    // Also keeps out what `f64` would read but no server means: signs,
    // exponents, `inf` and `nan`.
    if digits == 0 || dots > 1 || digits + dots != text.len() {
        return None;
    }
    let seconds = text.parse::<f64>().ok()? / per_second;
    Some(Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX))
}

const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];

/// The three forms of RFC 9110, section 5.6.7: `Sun, 06 Nov 1994 08:49:37 GMT`,
/// `Sunday, 06-Nov-94 08:49:37 GMT` and `Sun Nov  6 08:49:37 1994`. The day of
/// the week is not checked: it adds nothing.
fn http_date(text: &str, now: SystemTime) -> Option<SystemTime> {
    let mut words = text.split_ascii_whitespace();
    let day_name = words.next()?;
    let (year, month, day, time) = if day_name.ends_with(',') {
        let second = words.next()?;
        let (year, month, day) = if second.contains('-') {
            let mut parts = second.split('-');
            let (day, month, year) = (parts.next()?, parts.next()?, parts.next()?);
            if parts.next().is_some() {
                return None;
            }
            (full_year(number(year, 2)?, now)?, month, day)
        } else {
            let (month, year) = (words.next()?, words.next()?);
            (number(year, 4)?, month, second)
        };
        let time = words.next()?;
        if words.next() != Some("GMT") {
            return None;
        }
        (year, month, day, time)
    } else {
        let (month, day, time, year) = (words.next()?, words.next()?, words.next()?, words.next()?);
        (number(year, 4)?, month, day, time)
    };
    if words.next().is_some() {
        return None;
    }
    let month = MONTHS.iter().position(|name| *name == month)? as u64 + 1;
    let day = number(day, day.len().clamp(1, 2))?;
    let mut parts = time.split(':');
    let mut part = || number(parts.next()?, 2);
    let (hour, minute, second) = (part()?, part()?, part()?);
    // 60 is a leap second, which Unix time does not have.
    let known = (1..=31).contains(&day) && hour < 24 && minute < 60 && second <= 60;
    if parts.next().is_some() || !known {
        return None;
    }
    if year < 1970 {
        // Before Unix time, and past all the same.
        return Some(UNIX_EPOCH);
    }
    let days = days_since_1970(year, month, day);
    UNIX_EPOCH.checked_add(Duration::from_secs(
        ((days * 24 + hour) * 60 + minute) * 60 + second.min(59),
    ))
}

/// Exactly `length` digits.
fn number(text: &str, length: usize) -> Option<u64> {
    let digits = text.len() == length && text.bytes().all(|byte| byte.is_ascii_digit());
    if digits { text.parse().ok() } else { None }
}

/// The year for its last two digits: the latest that is not more than 50 years
/// ahead (RFC 9110, section 5.6.7).
fn full_year(two_digits: u64, now: SystemTime) -> Option<u64> {
    let since = now.duration_since(UNIX_EPOCH).ok()?;
    // The mean Gregorian year: near a new year it may count one too few or many,
    // which matters only to dates half a century away.
    let this_year = 1970 + since.as_secs() / 31_556_952;
    let latest = this_year + 50;
    Some(latest - (latest + 100 - two_digits) % 100)
}

/// Days from 1970-01-01 to a Gregorian date from 1970 on; counts years from March,
/// so that the leap day comes last.
fn days_since_1970(year: u64, month: u64, day: u64) -> u64 {
    let (year, month) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let leap_days = year / 4 - year / 100 + year / 400;
    // 719,468 days lie between 0000-03-01 and 1970-01-01.
    year * 365 + leap_days + (153 * month + 2) / 5 + day - 1 - 719_468
}

/// A growing wait between attempts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Backoff {
    /// The longest wait before the first retry.
    pub base: Duration,
    /// By how much the wait grows from one retry to the next.
    pub factor: f64,
    /// The longest wait, however many retries there were.
    pub cap: Duration,
}

impl Default for Backoff {
    /// 200 ms, doubling, at most 30 s.
    fn default() -> Self {
        Self {
            base: Duration::from_millis(200),
            factor: 2.0,
            cap: Duration::from_secs(30),
        }
    }
}

impl Backoff {
    /// How long to wait before retry number `retry`, counted from 0.
    ///
    /// `asked` is what the server asked for ([`retry_after`]): it is kept to, up
    /// to [`MAX_RETRY_AFTER`]. Otherwise the wait is `base × factor^retry`, at
    /// most `cap`, of which `jitter`, a random number from 0 to 1, takes away up
    /// to half, so that clients that failed together don't return together.
    pub fn delay(&self, retry: u32, jitter: f64, asked: Option<Duration>) -> Duration {
        if let Some(asked) = asked {
            return asked.min(MAX_RETRY_AFTER);
        }
        let exponent = i32::try_from(retry).unwrap_or(i32::MAX);
        let grown = self.base.as_secs_f64() * self.factor.powi(exponent);
        // `min` also turns a NaN into the cap.
        let full = grown.min(self.cap.as_secs_f64()).max(0.0);
        let jitter = if jitter.is_finite() {
            jitter.clamp(0.0, 1.0)
        } else {
            0.0
        };
        Duration::try_from_secs_f64(full * (1.0 - jitter / 2.0)).unwrap_or(self.cap)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Sun, 06 Nov 1994 08:49:07 GMT: 30 seconds before the RFC's example.
    fn now() -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(784_111_777 - 30)
    }

    #[test]
    fn retry_after_values() {
        let seconds = |value: f64| Some(Duration::from_secs_f64(value));
        for (ms, plain, expect) in [
            (None, None, None),
            (None, Some("0"), seconds(0.0)),
            (None, Some("7"), seconds(7.0)),
            (None, Some(" 7 "), seconds(7.0)),
            (None, Some("1.5"), seconds(1.5)),
            (None, Some(".5"), seconds(0.5)),
            (None, Some("2."), seconds(2.0)),
            (Some("250"), None, seconds(0.25)),
            (Some("250"), Some("7"), seconds(0.25)),
            (Some("1.5"), None, seconds(0.0015)),
            (Some("soon"), Some("7"), seconds(7.0)),
            (None, Some(""), None),
            (None, Some("."), None),
            (None, Some("-1"), None),
            (None, Some("+1"), None),
            (None, Some("1e3"), None),
            (None, Some("inf"), None),
            (None, Some("NaN"), None),
            (None, Some("1.2.3"), None),
            (None, Some("0x10"), None),
            (
                None,
                Some("99999999999999999999999999"),
                Some(Duration::MAX),
            ),
            (None, Some("Sun, 06 Nov 1994 08:49:37 GMT"), seconds(30.0)),
            (None, Some("Sunday, 06-Nov-94 08:49:37 GMT"), seconds(30.0)),
            (None, Some("Sun Nov  6 08:49:37 1994"), seconds(30.0)),
            (None, Some("Wed Nov 16 08:49:07 1994"), seconds(864_000.0)),
            (None, Some("Sun, 06 Nov 1994 08:49:07 GMT"), seconds(0.0)),
            (None, Some("Sat, 05 Nov 1994 08:49:37 GMT"), seconds(0.0)),
            (None, Some("Sun, 06 Nov 1994 08:49:60 GMT"), seconds(52.0)),
            // Two digits: 44 is 50 years ahead, 45 would be 51 and is past.
            (
                None,
                Some("Sunday, 06-Nov-44 08:49:07 GMT"),
                seconds(18_263.0 * 86_400.0),
            ),
            (None, Some("Sunday, 06-Nov-45 08:49:37 GMT"), seconds(0.0)),
            (None, Some("Sun, 06 Nov 1994 08:49:37"), None),
            (None, Some("Sun, 06 Nov 1994 08:49:37 CET"), None),
            (None, Some("Sun, 06 Nov 1994 08:49:37 GMT x"), None),
            (None, Some("Sun, 06 Nov 94 08:49:37 GMT"), None),
            (None, Some("Sun, 32 Nov 1994 08:49:37 GMT"), None),
            (None, Some("Sun, 06 nov 1994 08:49:37 GMT"), None),
            (None, Some("Sun, 06 Nov 1994 24:49:37 GMT"), None),
            (None, Some("Sun, 06 Nov 1994 08:49 GMT"), None),
            (None, Some("Sun, 06 Nov 1994 08:49:37:1 GMT"), None),
            (None, Some("Sunday, 06-Nov-94-1 08:49:37 GMT"), None),
            (None, Some("Sun, 06 Nov 1969 08:49:37 GMT"), seconds(0.0)),
        ] {
            assert_eq!(retry_after(ms, plain, now()), expect, "{ms:?} {plain:?}");
        }
    }

    #[test]
    fn days() {
        for (date, expect) in [
            ((1970, 1, 1), 0),
            ((1972, 2, 29), 789),
            ((2000, 2, 29), 11_016),
            ((2000, 3, 1), 11_017),
            ((2100, 3, 1), 47_541),
        ] {
            assert_eq!(days_since_1970(date.0, date.1, date.2), expect, "{date:?}");
        }
    }

    #[test]
    fn backoff_schedule() {
        let millis = Duration::from_millis;
        for (retry, jitter, asked, expect) in [
            (0, 0.0, None, millis(200)),
            (1, 0.0, None, millis(400)),
            (7, 0.0, None, millis(25_600)),
            (8, 0.0, None, millis(30_000)),
            (u32::MAX, 0.0, None, millis(30_000)),
            (0, 1.0, None, millis(100)),
            (1, 0.5, None, millis(300)),
            (8, 1.0, None, millis(15_000)),
            (0, 9.0, None, millis(100)),
            (0, -9.0, None, millis(200)),
            (0, f64::NAN, None, millis(200)),
            (5, 0.7, Some(millis(1)), millis(1)),
            (0, 0.7, Some(millis(60_000)), millis(60_000)),
            (0, 0.7, Some(Duration::MAX), MAX_RETRY_AFTER),
        ] {
            let got = Backoff::default().delay(retry, jitter, asked);
            assert_eq!(got, expect, "{retry} {jitter} {asked:?}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_panic(text in "\\PC{0,40}", ms in "\\PC{0,10}") {
            let _ = retry_after(Some(&ms), Some(&text), now());
        }

        #[test]
        fn any_date_shape_is_read_without_panic(
            text in "[A-Z][a-z]{0,6},? [0-9]{1,4}[- ][A-Z][a-z]{2}[- ][0-9]{2,20} [0-9:]{5,9} (GMT)?"
        ) {
            let _ = retry_after(None, Some(&text), now());
        }
    }
}
