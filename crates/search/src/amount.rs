//! Large numbers as people write them.

use std::fmt;
use std::str::FromStr;

use serde::de::{self, Deserializer, Visitor};
use serde::{Deserialize, Serialize};

/// A number of things or of bytes, written as `50000`, `50K`, `2.5M` or `1G`, thousands of
/// thousands, or as `512MiB` and the like, powers of 1,024. Configurations hold it as a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct Amount(pub u64);

/// Text that is no [`Amount`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not an amount; write it as 50000, 50K, 2.5M, 1G or 512MiB")]
pub struct AmountError(String);

const UNITS: [(&str, u64); 8] = [
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
    ("K", 1_000),
    ("M", 1_000_000),
    ("G", 1_000_000_000),
    ("T", 1_000_000_000_000),
];

/// The largest number that TOML can hold.
const MOST: u64 = i64::MAX as u64;

impl FromStr for Amount {
    type Err = AmountError;

    fn from_str(text: &str) -> Result<Amount, AmountError> {
        let refused = || AmountError(text.to_owned());
        let plain = text.trim().trim_end_matches('B');
        let suffix = |(name, unit): (&str, u64)| {
            Some((plain.strip_suffix(name.trim_end_matches('B'))?.trim_end(), unit))
        };
        let (digits, unit) = UNITS.into_iter().find_map(suffix).unwrap_or((plain.trim_end(), 1));
        let (whole, part) = digits.split_once('.').unwrap_or((digits, "0"));
        let number = |digits: &str| -> Result<u64, AmountError> {
            match digits.bytes().all(|byte| byte.is_ascii_digit()) {
                true => digits.parse().map_err(|_| refused()),
                false => Err(refused()),
            }
        };
        let (whole, part, scale) = (number(whole)?, number(part)?, 10_u128.pow(part.len() as u32));
        let sum =
            u128::from(whole) * u128::from(unit) + u128::from(part) * u128::from(unit) / scale;
        match u64::try_from(sum) {
            Ok(sum) if sum <= MOST => Ok(Amount(sum)),
            _ => Err(refused()),
        }
    }
}

impl fmt::Display for Amount {
    /// With commas between thousands.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&crate::text::grouped(self.0))
    }
}

impl<'de> Deserialize<'de> for Amount {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AmountVisitor)
    }
}

struct AmountVisitor;

impl Visitor<'_> for AmountVisitor {
    type Value = Amount;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a whole number of at least 0, or one with a unit such as \"512MiB\"")
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<Amount, E> {
        let refused = |_| E::invalid_value(de::Unexpected::Signed(number), &self);
        u64::try_from(number).map(Amount).map_err(refused)
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<Amount, E> {
        Ok(Amount(number))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Amount, E> {
        text.parse().map_err(E::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_read() {
        for (text, number) in [
            ("0", 0),
            ("50000", 50_000),
            ("50K", 50_000),
            ("2.5M", 2_500_000),
            ("1 G", 1_000_000_000),
            ("1GB", 1_000_000_000),
            ("512MiB", 512 << 20),
            ("1.5KiB", 1_536),
            ("8 GiB", 8 << 30),
            ("7B", 7),
        ] {
            assert_eq!(text.parse(), Ok(Amount(number)), "{text}");
        }
        for text in ["", "K", "-1", "1.K", "1,000", "1e6", "5 apples", "99999999T", "1.5.2M", "+1"]
        {
            assert_eq!(text.parse::<Amount>(), Err(AmountError(text.to_owned())));
        }
    }
}
