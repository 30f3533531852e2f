//! A page with bars for people: each server's ratio to the bare one, from the result of `compare`.
//! It is one file without scripts, so it can be sent and kept as it is.

mod bars;
mod date;

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, bail};
use serde::Deserialize;

use crate::chart::bars::{Bar, Figure};

/// What of a result the page shows.
#[derive(Debug, Deserialize)]
struct Shown {
    at_unix_s: u64,
    machine: Machine,
    quick: bool,
    pinned: bool,
    notices: Vec<String>,
    medians: Vec<Row>,
    runs: Vec<Run>,
}

#[derive(Debug, Deserialize)]
struct Machine {
    processor: String,
    kernel: String,
    cores: u64,
}

#[derive(Debug, Deserialize)]
struct Row {
    workload: String,
    server: String,
    figure: String,
    median: f64,
    min: f64,
    max: f64,
    ratio_to_limit: Option<f64>,
    ratio_min: Option<f64>,
    ratio_max: Option<f64>,
    rounds: u64,
}

#[derive(Debug, Deserialize)]
struct Run {
    round: u64,
    workload: String,
    server: String,
    failure: Option<String>,
}

/// Reads the result in `result` and writes its page to `page`.
pub(crate) fn run(result: &Path, page: &Path) -> anyhow::Result<()> {
    if result == page {
        bail!("the page would go over the result, choose another --out");
    }
    let text = fs::read_to_string(result)
        .with_context(|| format!("cannot read the result in {}", result.display()))?;
    let shown: Shown = serde_json::from_str(&text)
        .with_context(|| format!("{} is no result of `compare`", result.display()))?;
    fs::write(page, shown.page()).with_context(|| format!("cannot write {}", page.display()))
}

impl Row {
    /// The bar of this row, if it is a ratio.
    fn bar(&self) -> Option<Bar<'_>> {
        // How busy the generator was says nothing about a server.
        if self.figure.starts_with("own_") {
            return None;
        }
        let server = self.server.as_str();
        if let Some(median) = self.ratio_to_limit {
            let least = self.ratio_min.unwrap_or(median);
            let most = self.ratio_max.unwrap_or(median);
            return Some(Bar { server, median, least, most });
        }
        let (median, least, most) = (self.median, self.min, self.max);
        self.figure.ends_with("_ratio").then_some(Bar { server, median, least, most })
    }
}

impl Shown {
    fn page(&self) -> String {
        let mut out = String::new();
        out.push_str(
            "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <title>Tidings beside others</title>\n<style>\n",
        );
        out.push_str(include_str!("chart/page.css"));
        out.push_str("</style>\n<main>\n<h1>Tidings beside others</h1>\n");
        self.put_preface(&mut out);
        for workload in self.medians.chunk_by(|a, b| a.workload == b.workload) {
            put_workload(&mut out, workload);
        }
        self.put_failures(&mut out);
        out.push_str("</main>\n</html>\n");
        out
    }

    fn put_preface(&self, out: &mut String) {
        let Machine { processor, kernel, cores } = &self.machine;
        let rounds = self.medians.iter().map(|row| row.rounds).max().unwrap_or(0);
        put_paragraph(
            out,
            "",
            &format!(
                "{}, {cores} cores, {processor}, Linux {kernel}. Servers were measured in turns; \
                 a bar is the median of {rounds} rounds, the thin line their range.",
                date::day(self.at_unix_s)
            ),
        );
        put_paragraph(
            out,
            "",
            "Every bar is a ratio to the upright line at 1: to the bare server of the same round, \
             which does the least work the job allows, or, where a figure says it is a ratio, to \
             what it names.",
        );
        if self.quick {
            put_paragraph(out, "warning", "Small and short (--quick): these figures say little.");
        }
        if !self.pinned {
            put_paragraph(out, "warning", "Server and generator shared their cores.");
        }
        for notice in &self.notices {
            put_paragraph(out, "notice", notice);
        }
    }

    fn put_failures(&self, out: &mut String) {
        for run in &self.runs {
            if let Some(failure) = &run.failure {
                let Run { round, workload, server, .. } = run;
                let text = format!("Failed: round {round}, {workload} on {server}: {failure}");
                put_paragraph(out, "warning", &text);
            }
        }
    }
}

fn put_workload(out: &mut String, rows: &[Row]) {
    let mut figures = String::new();
    for figure in rows.chunk_by(|a, b| a.figure == b.figure) {
        let bars: Vec<Bar<'_>> = figure.iter().filter_map(Row::bar).collect();
        if !bars.is_empty() {
            Figure { name: &figure[0].figure, bars: &bars }.put(&mut figures);
        }
    }
    if !figures.is_empty() {
        let name = escaped(&rows[0].workload);
        let _ = writeln!(out, "<section>\n<h2>{name}</h2>\n{figures}</section>");
    }
}

fn put_paragraph(out: &mut String, class: &str, text: &str) {
    let class = if class.is_empty() { String::new() } else { format!(" class=\"{class}\"") };
    let _ = writeln!(out, "<p{class}>{}</p>", escaped(text));
}

/// Text that means itself in HTML.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            other => out.push(other),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(figure: &str, median: f64, ratio: Option<f64>) -> Row {
        Row {
            workload: "fanout <1>".to_owned(),
            server: "tidings".to_owned(),
            figure: figure.to_owned(),
            median,
            min: median / 2.0,
            max: median * 2.0,
            ratio_to_limit: ratio,
            ratio_min: ratio.map(|ratio| ratio - 0.1),
            ratio_max: ratio.map(|ratio| ratio + 0.1),
            rounds: 3,
        }
    }

    #[test]
    fn bars_are_of_ratios_to_the_bare_server_and_of_figures_that_are_ratios() {
        let bar = |row: &Row| row.bar().map(|bar| (bar.least, bar.median, bar.most));
        assert_eq!(bar(&row("latency_p99_ms", 40.0, Some(1.5))), Some((1.4, 1.5, 1.6)));
        assert_eq!(bar(&row("live_p99_ratio", 2.0, None)), Some((1.0, 2.0, 4.0)));
        assert_eq!(bar(&row("live_p99_ms", 2.0, None)), None);
        assert_eq!(bar(&row("own_cpu_percent", 2.0, Some(1.0))), None);
    }

    #[test]
    fn a_page_tells_what_was_measured_and_what_failed_in_text_that_means_itself() {
        let failure = Some("lost 3 & more".to_owned());
        let (workload, server) = ("w".to_owned(), "s".to_owned());
        let shown = Shown {
            at_unix_s: 0,
            machine: Machine { processor: "P".to_owned(), kernel: "6".to_owned(), cores: 2 },
            quick: true,
            pinned: true,
            notices: vec!["nats is not measured".to_owned()],
            medians: vec![row("latency_p99_ms", 40.0, Some(1.5)), row("deliveries", 40.0, None)],
            runs: vec![Run { round: 2, workload, server, failure }],
        };
        let page = shown.page();
        for part in [
            "1 January 1970",
            "<h2>fanout &lt;1&gt;</h2>",
            "latency p99 ms",
            "nats is not measured",
            "--quick",
            "Failed: round 2, w on s: lost 3 &amp; more",
        ] {
            assert!(page.contains(part), "{part} is not in {page}");
        }
        assert!(!page.contains("shared their cores"));
        assert!(!page.contains("deliveries"), "no ratio, so no bar");
        assert!(!page.contains("<script") && !page.contains("http"), "it is whole in itself");
    }

    #[test]
    fn what_is_no_result_is_refused() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let file = directory.path().join("result.json");
        fs::write(&file, "{\"figures\":[]}").expect("a file");
        let page = directory.path().join("page.html");
        let error = run(&file, &page).expect_err("a report of one load").to_string();
        assert!(error.contains("no result of `compare`"), "{error}");
        assert!(run(&file, &file).is_err() && !page.exists());
    }
}
