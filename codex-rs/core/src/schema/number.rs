//! Numbers as JSON Schema sees them: by their value, not by how they are written.

use std::cmp::Ordering;

use serde_json::{Number, Value};

/// A number as `mantissa * 10^exponent`, with no zero at the mantissa's end.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Decimal {
    mantissa: i128,
    exponent: i32,
}

impl Decimal {
    /// What the number's shortest text says; `None` does not occur for a number of `serde_json`,
    /// which has 20 digits at most.
    fn of(number: &Number) -> Option<Self> {
        let text = number.to_string();
        let (digits, exponent) = match text.split_once(['e', 'E']) {
            Some((digits, exponent)) => (digits, exponent.parse::<i32>().ok()?),
            None => (text.as_str(), 0),
        };
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        let mut mantissa: i128 = format!("{whole}{fraction}").parse().ok()?;
        let mut exponent = exponent.checked_sub(i32::try_from(fraction.len()).ok()?)?;
        if mantissa == 0 {
            exponent = 0;
        }
        while mantissa != 0 && mantissa % 10 == 0 {
            mantissa /= 10;
            exponent += 1;
        }
        Some(Self { mantissa, exponent })
    }

    /// The mantissa at a smaller exponent; `None` when it gets too long.
    fn at(self, exponent: i32) -> Option<i128> {
        let shift = u32::try_from(self.exponent.checked_sub(exponent)?).ok()?;
        self.mantissa.checked_mul(10_i128.checked_pow(shift)?)
    }
}

/// Both mantissas at one exponent; `None` when the numbers lie too far apart.
fn aligned(a: &Number, b: &Number) -> Option<(i128, i128)> {
    let (a, b) = (Decimal::of(a)?, Decimal::of(b)?);
    let exponent = a.exponent.min(b.exponent);
    Some((a.at(exponent)?, b.at(exponent)?))
}

/// Compares two numbers: exactly when they are of a like size, else as floats, which then differ.
pub(super) fn compare(a: &Number, b: &Number) -> Option<Ordering> {
    match aligned(a, b) {
        Some((a, b)) => Some(a.cmp(&b)),
        None => a.as_f64()?.partial_cmp(&b.as_f64()?),
    }
}

/// Whether it is above 0.
pub(super) fn positive(number: &Number) -> bool {
    number.as_f64().is_some_and(|number| number > 0.0)
}

/// Whether it is whole, however it is written.
pub(super) fn whole(number: &Number) -> bool {
    Decimal::of(number).is_some_and(|decimal| decimal.exponent >= 0)
}

/// Whether one is a multiple of the other; no, when they lie too far apart to tell.
pub(super) fn multiple(number: &Number, step: &Number) -> bool {
    aligned(number, step).is_some_and(|(number, step)| step != 0 && number % step == 0)
}

/// A text that equal values share, and no others.
pub(super) fn canonical(value: &Value) -> String {
    match value {
        Value::Number(number) => Decimal::of(number).map_or_else(
            || number.to_string(),
            |decimal| format!("{}e{}", decimal.mantissa, decimal.exponent),
        ),
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(canonical).collect();
            format!("[{}]", items.join(","))
        }
        Value::Object(members) => {
            let mut members: Vec<String> = members
                .iter()
                .map(|(key, value)| format!("{}:{}", Value::from(key.as_str()), canonical(value)))
                .collect();
            members.sort_unstable();
            format!("{{{}}}", members.join(","))
        }
        other => other.to_string(),
    }
}
