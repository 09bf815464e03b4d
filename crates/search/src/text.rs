//! Numbers and tables as text.

use num_bigint::BigUint;

/// A column of a table.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    /// Its heading.
    pub title: &'static str,
    /// Where its cells stand.
    pub align: Align,
}

/// Where the text of a cell stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Align {
    /// Words.
    Left,
    /// Numbers.
    Right,
}

impl Column {
    /// A column of words.
    pub const fn words(title: &'static str) -> Column {
        Column { title, align: Align::Left }
    }

    /// A column of numbers.
    pub const fn numbers(title: &'static str) -> Column {
        Column { title, align: Align::Right }
    }
}

/// A table, one line a row after a line of headings, without columns in which nothing stands. A
/// row has a cell for each column.
pub fn table(columns: &[Column], rows: impl Iterator<Item = Vec<String>>) -> String {
    let titles = columns.iter().map(|column| column.title.to_owned()).collect();
    let rows: Vec<Vec<String>> = std::iter::once(titles).chain(rows).collect();
    let width = |index: usize| rows.iter().map(|row| row[index].chars().count()).max();
    let widths: Vec<usize> = (0..columns.len()).map(|index| width(index).unwrap_or(0)).collect();
    let is_used = |index: usize| rows[1..].iter().any(|row| !row[index].is_empty());
    let used: Vec<usize> = (0..columns.len()).filter(|&index| is_used(index)).collect();
    let mut text = String::new();
    for row in &rows {
        let cells = used.iter().map(|&index| {
            let (cell, width) = (&row[index], widths[index]);
            match columns[index].align {
                Align::Left => format!("{cell:width$}"),
                Align::Right => format!("{cell:>width$}"),
            }
        });
        let line = cells.collect::<Vec<_>>().join("  ");
        text.push_str("  ");
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// A number with commas between thousands.
pub fn grouped(number: u64) -> String {
    separated(&number.to_string())
}

fn separated(digits: &str) -> String {
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A number with commas between thousands, and from a million on what it is about, as
/// `1,234,567 (about 1.2e6)`; with more than forty digits that alone.
pub fn large(number: &BigUint) -> String {
    let digits = number.to_string();
    if digits.len() <= SHORT {
        return separated(&digits);
    }
    match digits.len() <= READABLE {
        true => format!("{} (about {})", separated(&digits), about(number)),
        false => format!("about {}", about(number)),
    }
}

/// The longest number that tells its size at a glance.
const SHORT: usize = 6;
/// The longest number that is worth reading in words.
const READABLE: usize = 40;

/// What a large number is about, as `6.5e17`; nothing where the number itself tells.
pub fn about(number: &BigUint) -> String {
    let digits = number.to_string();
    if digits.len() <= SHORT {
        return String::new();
    }
    let exponent = digits.len() - 1;
    let leading: u32 = digits[..3].parse().expect("three digits");
    match (leading + 5) / 10 {
        100 => format!("1.0e{}", exponent + 1),
        tenths => format!("{}.{}e{exponent}", tenths / 10, tenths % 10),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_of_large_numbers_are_seen_at_a_glance() {
        for (number, text) in [
            ("1296", "1,296"),
            ("999999", "999,999"),
            ("1250000", "1,250,000 (about 1.3e6)"),
            ("999999999", "999,999,999 (about 1.0e9)"),
            (&"7".repeat(50), "about 7.8e49"),
        ] {
            assert_eq!(large(&number.parse().unwrap()), text);
        }
    }

    #[test]
    fn thousands_are_apart() {
        for (number, text) in [(0, "0"), (999, "999"), (1_000, "1,000"), (12_345_678, "12,345,678")]
        {
            assert_eq!(grouped(number), text);
        }
    }

    #[test]
    fn cells_stand_below_their_titles() {
        let columns = [Column::words("name"), Column::numbers("nothing"), Column::numbers("n")];
        let rows = [["a", "", "10"].map(str::to_owned).to_vec()];
        assert_eq!(table(&columns, rows.into_iter()), "  name   n\n  a     10\n");
    }
}
