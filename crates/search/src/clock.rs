//! Instants and lengths of time as people write them.

use std::fmt;
use std::str::FromStr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

/// A length of time, written as `90s`, `15m`, `2h`, `1d` or a sequence of these such as `1h30m`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Span(Duration);

/// Text that is no [`Span`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a length of time; write it as 90s, 15m, 2h, 1d or 1h30m")]
pub struct SpanError(String);

const UNITS: [(char, u64); 4] = [('d', 86_400), ('h', 3_600), ('m', 60), ('s', 1)];

impl Span {
    /// As the standard library has it.
    pub fn duration(self) -> Duration {
        self.0
    }
}

impl From<Duration> for Span {
    /// Cut to whole seconds.
    fn from(duration: Duration) -> Span {
        Span(Duration::from_secs(duration.as_secs()))
    }
}

impl FromStr for Span {
    type Err = SpanError;

    fn from_str(text: &str) -> Result<Span, SpanError> {
        let read = || {
            let (mut seconds, mut rest, mut units) = (0_u64, text, UNITS.iter());
            while !rest.is_empty() {
                let end = rest.find(|c: char| !c.is_ascii_digit())?;
                let count: u64 = rest[..end].parse().ok()?;
                let unit = rest[end..].chars().next()?;
                let (_, length) = units.find(|(name, _)| *name == unit)?;
                seconds = seconds.checked_add(count.checked_mul(*length)?)?;
                rest = &rest[end + unit.len_utf8()..];
            }
            (!text.is_empty()).then_some(Span(Duration::from_secs(seconds)))
        };
        read().ok_or_else(|| SpanError(text.to_owned()))
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.0.as_secs();
        if rest == 0 {
            return f.write_str("0s");
        }
        for (name, length) in UNITS {
            if rest >= length {
                write!(f, "{}{name}", rest / length)?;
                rest %= length;
            }
        }
        Ok(())
    }
}

impl From<Span> for String {
    fn from(span: Span) -> String {
        span.to_string()
    }
}

impl TryFrom<String> for Span {
    type Error = SpanError;

    fn try_from(text: String) -> Result<Span, SpanError> {
        text.parse()
    }
}

/// An instant in UTC as RFC 3339 writes it, to the second: `2016-11-05T12:30:00Z`.
pub fn utc(instant: SystemTime) -> String {
    let seconds = instant.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let (year, month, day) = civil(seconds / 86_400);
    let [hour, minute, second] = [seconds / 3_600 % 24, seconds / 60 % 60, seconds % 60];
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

/// Year, month and day of the Gregorian calendar, so many days after 1 January 1970. Years begin
/// in March, so that the leap day is the last (Richards, "Mapping time", 1998, chapter 25).
fn civil(days: u64) -> (u64, u64, u64) {
    const DAYS_OF_400_YEARS: u64 = 146_097;
    let from_march_0 = days + 719_468;
    let era = from_march_0 / DAYS_OF_400_YEARS;
    let day_of_era = from_march_0 % DAYS_OF_400_YEARS;
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_478_349_000, "2016-11-05T12:30:00Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
        ] {
            assert_eq!(utc(UNIX_EPOCH + Duration::from_secs(seconds)), text);
        }
    }

    #[test]
    fn spans_are_read_as_they_are_written() {
        for (text, seconds) in
            [("0s", 0), ("90s", 90), ("15m", 900), ("2h", 7_200), ("1d", 86_400), ("1h30m", 5_400)]
        {
            let span: Span = text.parse().unwrap();
            assert_eq!(span.duration(), Duration::from_secs(seconds));
            assert_eq!(span.to_string().parse(), Ok(span));
        }
        for text in ["", "2", "h", "2 h", "2hours", "-1h", "30m1h", "99999999999999999999d", "1.5h"]
        {
            assert_eq!(text.parse::<Span>(), Err(SpanError(text.to_owned())));
        }
    }
}
