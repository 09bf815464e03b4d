//! One choice of a decision.

use std::cmp::Ordering;
use std::convert::Infallible;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;

/// One choice of a decision: an integer, a number with a fraction, or a word.
///
/// Printing and parsing are inverse: a value has exactly one written form, and text that is not
/// the written form of a number (`007`, `0.50`) is a word. Parsing never fails.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Value {
    /// A whole number, such as a number of filters.
    Integer(i64),
    /// A number with a fraction, such as a dropout rate.
    Real(Real),
    /// Anything else, such as the name of an activation.
    Word(String),
}

/// A finite number that is not whole; a whole one is a [`Value::Integer`].
///
/// Leaving out infinities, NaN and both zeros is what makes equality and order total.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Real(f64);

impl Value {
    /// The value of a number: [`Value::Integer`] where it is whole, `None` where it is not finite
    /// or is whole and beyond 2^53, where `f64` no longer tells neighbours apart.
    pub fn number(number: f64) -> Option<Value> {
        const EXACT: f64 = (1_u64 << 53) as f64;
        if !number.is_finite() {
            None
        } else if number.fract() != 0.0 {
            Some(Value::Real(Real(number)))
        } else {
            (number.abs() <= EXACT).then_some(Value::Integer(number as i64))
        }
    }
}

impl From<i64> for Value {
    fn from(integer: i64) -> Value {
        Value::Integer(integer)
    }
}

impl From<&str> for Value {
    /// Reads the written form, as [`Value::from_str`] does.
    fn from(text: &str) -> Value {
        if let Ok(integer) = text.parse::<i64>()
            && integer.to_string() == text
        {
            return Value::Integer(integer);
        }
        if let Some(real @ Value::Real(_)) = text.parse().ok().and_then(Value::number)
            && real.to_string() == text
        {
            return real;
        }
        Value::Word(text.to_owned())
    }
}

impl FromStr for Value {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Value, Infallible> {
        Ok(Value::from(text))
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Integer(integer) => integer.fmt(f),
            Value::Real(real) => real.0.fmt(f),
            Value::Word(word) => word.fmt(f),
        }
    }
}

impl Real {
    /// The number.
    pub fn get(self) -> f64 {
        self.0
    }
}

impl Eq for Real {}

impl Ord for Real {
    fn cmp(&self, other: &Real) -> Ordering {
        self.0.total_cmp(&other.0)
    }
}

impl PartialOrd for Real {
    fn partial_cmp(&self, other: &Real) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Hash for Real {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.to_bits().hash(state);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn only_the_written_form_of_a_number_is_a_number() {
        assert_eq!(Value::from("3"), Value::Integer(3));
        assert_eq!(Value::from("-3"), Value::Integer(-3));
        assert_eq!(Value::from("0.25"), Value::number(0.25).unwrap());
        for word in ["+3", "03", "0.50", "3.0", "-0", "inf", "NaN", "1e3", ""] {
            assert_eq!(Value::from(word), Value::Word(word.to_owned()));
        }
    }

    #[test]
    fn whole_numbers_are_integers() {
        assert_eq!(Value::number(0.0), Some(Value::Integer(0)));
        assert_eq!(Value::number(-0.0), Some(Value::Integer(0)));
        assert_eq!(Value::number(f64::NAN), None);
        assert_eq!(Value::number(1e300), None);
    }

    proptest! {
        #[test]
        fn printing_is_the_inverse_of_parsing(text in "\\PC{0,12}|-?[0-9]{1,4}(\\.[0-9]{1,4})?") {
            prop_assert_eq!(Value::from(text.as_str()).to_string(), text);
        }

        #[test]
        fn parsing_is_the_inverse_of_printing(number: f64, integer: i64) {
            prop_assert_eq!(Value::from(integer.to_string().as_str()), Value::Integer(integer));
            if let Some(value) = Value::number(number) {
                prop_assert_eq!(Value::from(value.to_string().as_str()), value);
            }
        }
    }
}
