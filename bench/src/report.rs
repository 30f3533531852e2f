//! What a run found: figures with their names, as a table for people and JSON for programs.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, bail};
use serde::Serialize;
use serde_json::Value;

use crate::histogram::Histogram;

/// One measured number. The name ends with its unit, if it has one.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Figure {
    pub(crate) name: &'static str,
    pub(crate) value: f64,
}

/// Figures that count broken promises: anything but zero fails the run.
const FAULTS: [&str; 7] = [
    "lost",
    "duplicates",
    "order_errors",
    "refused",
    "not_resumed",
    "not_recovered",
    "not_settled",
];

/// What one run found.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Report {
    /// Which kind of load it was.
    pub(crate) workload: &'static str,
    /// What it was asked to do.
    pub(crate) settings: BTreeMap<&'static str, Value>,
    /// What came out, in the order of interest.
    pub(crate) figures: Vec<Figure>,
    /// Things a reader should know about these figures.
    pub(crate) notes: Vec<String>,
}

impl Report {
    pub(crate) fn new(workload: &'static str) -> Self {
        Self { workload, settings: BTreeMap::new(), figures: Vec::new(), notes: Vec::new() }
    }

    pub(crate) fn setting(&mut self, name: &'static str, value: impl Into<Value>) {
        self.settings.insert(name, value.into());
    }

    pub(crate) fn figure(&mut self, name: &'static str, value: f64) {
        self.figures.push(Figure { name, value });
    }

    pub(crate) fn latencies(&mut self, histogram: &Histogram) {
        let ms = |duration: Duration| duration.as_secs_f64() * 1e3;
        self.figure("latency_p50_ms", ms(histogram.quantile(0.5)));
        self.figure("latency_p99_ms", ms(histogram.quantile(0.99)));
        self.figure("latency_p999_ms", ms(histogram.quantile(0.999)));
        self.figure("latency_max_ms", ms(histogram.max()));
    }

    /// Adds up over the parts of a run what they counted, faults among it, and takes over their notes.
    pub(crate) fn sums<'a>(&mut self, parts: impl Iterator<Item = &'a Self> + Clone) {
        for name in ["published", "deliveries", "lost", "duplicates", "order_errors", "refused"] {
            self.figure(name, parts.clone().filter_map(|part| part.value(name)).sum());
        }
        self.notes.extend(parts.flat_map(|part| part.notes.clone()));
    }

    pub(crate) fn value(&self, name: &str) -> Option<f64> {
        self.figures.iter().find(|figure| figure.name == name).map(|figure| figure.value)
    }

    /// Fails when the run saw a message lost, repeated, out of order or refused.
    pub(crate) fn check(&self) -> anyhow::Result<()> {
        let faults: Vec<String> = FAULTS
            .iter()
            .filter_map(|name| Some((name, self.value(name)?)))
            .filter(|(_, value)| *value != 0.0)
            .map(|(name, value)| format!("{name} {value}"))
            .collect();
        if faults.is_empty() {
            return Ok(());
        }
        bail!("the server broke its word: {}{}", faults.join(", "), notes_after(&self.notes))
    }

    pub(crate) fn write_json(&self, path: &Path) -> anyhow::Result<()> {
        write_json(path, self)
    }
}

/// The mean of a figure over `reports`, of those that have it.
pub(crate) fn mean(reports: &[Report], name: &str) -> Option<f64> {
    let values: Vec<f64> = reports.iter().filter_map(|report| report.value(name)).collect();
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

/// Writes any result as JSON for people to read too.
pub(crate) fn write_json(path: &Path, result: &impl Serialize) -> anyhow::Result<()> {
    let mut text = serde_json::to_string_pretty(result).context("cannot write the result")?;
    text.push('\n');
    std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}

fn notes_after(notes: &[String]) -> String {
    notes.iter().map(|note| format!("; {note}")).collect()
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.workload)?;
        for (name, value) in &self.settings {
            writeln!(f, "  {name:<36} {:>14}", plain(value))?;
        }
        writeln!(f)?;
        for figure in &self.figures {
            writeln!(f, "  {:<36} {:>14}", figure.name, round(figure.value))?;
        }
        for note in &self.notes {
            writeln!(f, "  note: {note}")?;
        }
        Ok(())
    }
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// A number with three significant digits, or whole when it is large.
pub(crate) fn round(value: f64) -> String {
    let size = value.abs();
    if value.fract() == 0.0 || size >= 1000.0 {
        format!("{value:.0}")
    } else if size >= 100.0 {
        format!("{value:.1}")
    } else if size >= 10.0 {
        format!("{value:.2}")
    } else {
        format!("{value:.3}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_with_a_fault_fails() {
        let mut report = Report::new("fanout");
        report.figure("lost", 0.0);
        report.figure("deliveries", 12.0);
        assert!(report.check().is_ok());
        report.figure("order_errors", 2.0);
        let error = report.check().expect_err("two messages were out of order");
        assert_eq!(error.to_string(), "the server broke its word: order_errors 2");
    }

    #[test]
    fn numbers_are_rounded_for_reading() {
        let shown: Vec<String> = [0.0, 3.0, 0.12345, 12.345, 123.45, 123_456.7].map(round).to_vec();
        assert_eq!(shown, ["0", "3", "0.123", "12.35", "123.5", "123457"]);
    }
}
