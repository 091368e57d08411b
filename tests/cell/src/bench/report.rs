//! The figures of a run: by what they are, by the way, one a round.

use std::collections::BTreeMap;
use std::fs;

use serde_json::{Value, json};

/// One line of the table.
#[derive(Debug)]
struct Row {
    group: &'static str,
    name: String,
    unit: &'static str,
    /// By the way; in the order of the rounds.
    values: BTreeMap<&'static str, Vec<f64>>,
}

/// All figures so far.
#[derive(Debug, Default)]
pub(super) struct Report {
    rows: Vec<Row>,
}

impl Report {
    /// Adds the figure of one round.
    pub(super) fn add(
        &mut self,
        group: &'static str,
        name: impl Into<String>,
        unit: &'static str,
        way: &'static str,
        value: f64,
    ) {
        let name = name.into();
        let place = self.rows.iter().position(|row| row.name == name);
        let place = place.unwrap_or_else(|| {
            self.rows.push(Row {
                group,
                name,
                unit,
                values: BTreeMap::new(),
            });
            self.rows.len() - 1
        });
        self.rows[place].values.entry(way).or_default().push(value);
    }

    /// The figure of the agent by that of another way: the median of the rounds' ratios, so that what disturbs a round
    /// disturbs both.
    pub(super) fn ratio(&self, name: &str, to: &str) -> Option<f64> {
        let row = self.rows.iter().find(|row| row.name == name)?;
        row.ratio(to)
    }

    /// The table as text: medians, and the agent's ratio to the loop, or to the limit.
    pub(super) fn print(&self) {
        let width = self.rows.iter().map(|row| row.name.chars().count()).max();
        let width = width.unwrap_or(0);
        let mut group = "";
        for row in &self.rows {
            if row.group != group {
                group = row.group;
                println!("{group}");
            }
            let mut line = format!("  {:width$}  {:5}", row.name, row.unit);
            for (way, values) in &row.values {
                line += &format!("  {way} {}", short(median(values)));
            }
            for to in ["loop", "limit", "reference"] {
                if let Some(ratio) = row.ratio(to) {
                    line += &format!("  agent/{to} {ratio:.2}");
                }
            }
            println!("{line}");
        }
    }

    /// Everything, for the tool that makes table and plot of it.
    pub(super) fn to_json(&self, rounds: usize) -> Value {
        let rows: Vec<Value> = self
            .rows
            .iter()
            .map(|row| {
                json!({
                    "group": row.group,
                    "name": row.name,
                    "unit": row.unit,
                    "values": row.values,
                })
            })
            .collect();
        json!({"machine": machine(), "rounds": rounds, "rows": rows})
    }
}

impl Row {
    fn ratio(&self, to: &str) -> Option<f64> {
        let (agent, other) = (self.values.get("agent")?, self.values.get(to)?);
        let ratios: Vec<f64> = agent.iter().zip(other).map(|(a, b)| a / b).collect();
        Some(median(&ratios))
    }
}

/// The one in the middle, or between the two in the middle.
pub(super) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => f64::NAN,
        odd if odd % 2 == 1 => sorted[middle],
        _ => f64::midpoint(sorted[middle - 1], sorted[middle]),
    }
}

/// The value below which this share of them lies.
pub(super) fn quantile(values: &[f64], share: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let place = (sorted.len() as f64 * share) as usize;
    sorted
        .get(place.min(sorted.len().saturating_sub(1)))
        .copied()
        .unwrap_or(f64::NAN)
}

fn short(value: f64) -> String {
    match value.abs() {
        large if large >= 100.0 => format!("{value:.0}"),
        middle if middle >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

/// CPU, cores and kernel: without them no figure means anything.
pub(super) fn machine() -> String {
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "))
        .map_or("unknown CPU", |(_, model)| model);
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let numbers: String = kernel
        .chars()
        .take_while(|letter| letter.is_ascii_digit() || *letter == '.')
        .collect();
    format!(
        "{model}, {cores} cores, Linux {numbers}, {}",
        std::env::consts::ARCH
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ratio_is_that_of_the_rounds() {
        let mut report = Report::default();
        for (agent, bare) in [(10.0, 10.0), (1.0, 2.0), (90.0, 100.0)] {
            report.add("relay", "down", "MB/s", "agent", agent);
            report.add("relay", "down", "MB/s", "loop", bare);
        }
        assert_eq!(report.ratio("down", "loop"), Some(0.9));
        assert_eq!(report.ratio("down", "straight"), None);
        assert_eq!(report.ratio("up", "loop"), None);
    }

    #[test]
    fn medians_and_quantiles() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0]), 2.5);
        let hundred: Vec<f64> = (0..100).map(f64::from).collect();
        assert_eq!(quantile(&hundred, 0.99), 99.0);
        assert_eq!(quantile(&[5.0], 0.99), 5.0);
    }
}
