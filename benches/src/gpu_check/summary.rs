//! What a run says, in tables for a reader.

use serde_json::Value;

/// Predictions that came out within this factor hold.
const HOLDS: f64 = 4.0 / 3.0;

/// Tables of a run's lines: how the blocks ended, which predictions were wrong, which operations stay
/// below the bar, the tiles that are faster than the default, what launches cost, and what children
/// gain side by side.
pub(super) fn summary(lines: &[Value]) -> String {
    let sections = [
        ended(lines),
        predictions(lines),
        below_the_bar(lines),
        tiles(lines),
        launches(lines),
        concurrency(lines),
    ];
    let sections: Vec<String> = sections.into_iter().flatten().collect();
    format!("# gpu-check\n\n{}", sections.join("\n"))
}

fn ended(lines: &[Value]) -> Option<String> {
    let rows = of(lines, None, "in_time").map(|line| {
        let [block, seconds] = [word(line, "block"), tenths(line, "seconds")];
        [block, seconds, word(line, "failures"), word(line, "in_time"), word(line, "problem")]
    });
    section("Blocks", ["block", "seconds", "failures", "in time", "problem"], rows.collect())
}

/// Those that do not hold, the wrongest first.
fn predictions(lines: &[Value]) -> Option<String> {
    let wrong = |line: &Value| number(line, "times_predicted").ln().abs();
    let made: Vec<&Value> = of(lines, None, "times_predicted").collect();
    let mut rows: Vec<&Value> =
        made.iter().copied().filter(|&line| wrong(line) > HOLDS.ln()).collect();
    rows.sort_by(|a, b| wrong(b).total_cmp(&wrong(a)));
    let title = format!("Predictions: {} of {} wrong by a third", rows.len(), made.len());
    let rows = rows.into_iter().map(|line| {
        let us = median(line);
        [name(line), tenths(line, "predicted_us"), us, hundredths(line, "times_predicted")]
    });
    section(&title, ["of", "predicted us", "us", "times"], rows.collect())
}

/// Operations that move memory and take more than 1/0.85 of what a copy would, the slowest first.
fn below_the_bar(lines: &[Value]) -> Option<String> {
    let moves = of(lines, Some("operations"), "percent_of_ceiling")
        .filter(|line| line.get("gflop_per_s").is_none());
    let mut slow: Vec<&Value> =
        moves.filter(|line| number(line, "percent_of_ceiling") < 85.0).collect();
    slow.sort_by(|a, b| {
        number(a, "percent_of_ceiling").total_cmp(&number(b, "percent_of_ceiling"))
    });
    let rows = slow.into_iter().map(|line| {
        [name(line), median(line), tenths(line, "ceiling_us"), tenths(line, "percent_of_ceiling")]
    });
    let title = "Below 85 % of a copy's bandwidth";
    section(title, ["of", "us", "at the ceiling", "per cent"], rows.collect())
}

/// The largest gains first.
fn tiles(lines: &[Value]) -> Option<String> {
    let mut best: Vec<&Value> = of(lines, Some("tiles"), "gain").collect();
    best.sort_by(|a, b| number(b, "gain").total_cmp(&number(a, "gain")));
    let rows = best.into_iter().map(|line| {
        let [default, best] = [tenths(line, "default_us"), tenths(line, "best_us")];
        let tiles = line["tiles"].as_object().into_iter().flatten();
        let tiles: Vec<String> =
            tiles.map(|(key, value)| format!("{key} {}", text(value))).collect();
        [name(line), default, best, hundredths(line, "gain"), tiles.join(", ")]
    });
    section("Tiles", ["of", "default us", "best us", "gain", "best tiles"], rows.collect())
}

fn launches(lines: &[Value]) -> Option<String> {
    let each = of(lines, Some("launches"), "us_per_kernel")
        .map(|line| [word(line, "what"), word(line, "kernels"), hundredths(line, "us_per_kernel")]);
    let forks = of(lines, Some("launches"), "us_per_fork")
        .map(|line| [word(line, "what"), word(line, "forks"), hundredths(line, "us_per_fork")]);
    section("Launches", ["what", "how many", "us each"], each.chain(forks).collect())
}

fn concurrency(lines: &[Value]) -> Option<String> {
    let rows = of(lines, Some("concurrency"), "steps_per_s").map(|line| {
        [
            word(line, "child"),
            word(line, "jobs"),
            tenths(line, "steps_per_s"),
            word(line, "same_bits"),
        ]
    });
    section("Children at once", ["child", "at once", "steps a second", "same bits"], rows.collect())
}

/// The lines of a block, or of all, that have something.
fn of<'a>(
    lines: &'a [Value],
    block: Option<&'a str>,
    key: &'a str,
) -> impl Iterator<Item = &'a Value> {
    let is_of = move |line: &&Value| block.is_none_or(|block| line["block"] == block);
    lines.iter().filter(is_of).filter(move |line| line.get(key).is_some())
}

/// A table under a title; nothing without rows.
fn section<const N: usize>(
    title: &str,
    names: [&str; N],
    rows: Vec<[String; N]>,
) -> Option<String> {
    if rows.is_empty() {
        return None;
    }
    let row = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
    let [head, rule] = [names.map(str::to_owned), names.map(|_| "---".to_owned())];
    let lines = [head, rule].into_iter().chain(rows).map(|cells| row(&cells));
    Some(format!("## {title}\n\n{}", lines.collect::<String>()))
}

/// What a line is of: an operation, or a step of a child.
fn name(line: &Value) -> String {
    let keys = ["operation", "child", "pass", "shape", "batch", "precision", "dtype"];
    let words: Vec<String> = keys.iter().filter_map(|key| line.get(key)).map(text).collect();
    words.join(" ")
}

fn number(line: &Value, key: &str) -> f64 {
    line[key].as_f64().unwrap_or(f64::NAN)
}

fn median(line: &Value) -> String {
    tenths(&line["timing"], "median_us")
}

fn tenths(line: &Value, key: &str) -> String {
    format!("{:.1}", number(line, key))
}

fn hundredths(line: &Value, key: &str) -> String {
    format!("{:.2}", number(line, key))
}

fn word(line: &Value, key: &str) -> String {
    line.get(key).map_or(String::new(), text)
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn lines_become_tables() {
        let timing = json!({ "median_us": 40.0 });
        let lines = [
            json!({ "block": "operations", "operation": "add", "pass": "fprop", "shape": "2x3",
                "dtype": "f32", "timing": timing, "ceiling_us": 20.0, "percent_of_ceiling": 50.0,
                "predicted_us": 10.0, "times_predicted": 4.0 }),
            json!({ "block": "steps", "child": "1,16", "batch": 4, "precision": "bf16",
                "timing": timing, "predicted_us": 35.0, "times_predicted": 40.0 / 35.0 }),
            json!({ "block": "tiles", "what": "best", "pass": "dgrad", "shape": "1 of 3x3",
                "dtype": "bf16", "tiles": { "filters": 32 }, "best_us": 2.0, "default_us": 3.0,
                "gain": 1.5 }),
            json!({ "block": "tiles", "seconds": 1.25, "failures": 0, "in_time": true }),
        ];
        let expected = "\
# gpu-check

## Blocks

| block | seconds | failures | in time | problem |
| --- | --- | --- | --- | --- |
| tiles | 1.2 | 0 | true |  |

## Predictions: 1 of 2 wrong by a third

| of | predicted us | us | times |
| --- | --- | --- | --- |
| add fprop 2x3 f32 | 10.0 | 40.0 | 4.00 |

## Below 85 % of a copy's bandwidth

| of | us | at the ceiling | per cent |
| --- | --- | --- | --- |
| add fprop 2x3 f32 | 40.0 | 20.0 | 50.0 |

## Tiles

| of | default us | best us | gain | best tiles |
| --- | --- | --- | --- | --- |
| dgrad 1 of 3x3 bf16 | 3.0 | 2.0 | 1.50 | filters 32 |
";
        assert_eq!(summary(&lines), expected);
    }
}
