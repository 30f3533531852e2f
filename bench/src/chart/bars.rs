//! The bars of one figure, as SVG that is as wide as the page and keeps the size of its letters.

use std::fmt::Write as _;

use crate::chart::escaped;

/// Height of a server's two lines: its name with the ratio, and its bar.
const ROW_PIXELS: usize = 40;
/// Where in these the bar is, and how high.
const BAR_TOP_PIXELS: usize = 21;
const BAR_PIXELS: usize = 11;

/// One server's ratio.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Bar<'a> {
    pub(crate) server: &'a str,
    pub(crate) median: f64,
    pub(crate) least: f64,
    pub(crate) most: f64,
}

/// One figure of all servers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Figure<'a> {
    pub(crate) name: &'a str,
    pub(crate) bars: &'a [Bar<'a>],
}

impl Figure<'_> {
    /// Appends the figure with its name.
    pub(crate) fn put(&self, out: &mut String) {
        let name = escaped(&self.name.replace('_', " "));
        let better = if more_is_better(self.name) { "more" } else { "less" };
        let _ = writeln!(out, "<figure>\n<figcaption>{name} <span>{better} is better</span>");
        out.push_str("</figcaption>\n");
        let height = self.bars.len() * ROW_PIXELS;
        let _ = writeln!(out, "<svg width=\"100%\" height=\"{height}\" role=\"img\">");
        let _ = writeln!(out, "<title>{name}</title>");
        let axis = self.axis();
        for (index, bar) in self.bars.iter().enumerate() {
            bar.put(out, index * ROW_PIXELS, axis);
        }
        for index in 0..self.bars.len() {
            let top = index * ROW_PIXELS + BAR_TOP_PIXELS;
            let (one, from, to) = (percent(1.0, axis), top - 2, top + BAR_PIXELS + 2);
            let _ = writeln!(
                out,
                "<line class=\"one\" x1=\"{one}\" x2=\"{one}\" y1=\"{from}\" y2=\"{to}\"/>"
            );
        }
        out.push_str("</svg>\n</figure>\n");
    }

    /// The ratio at the right end. One round that went wrong does not make all bars short: its
    /// range ends at the edge.
    fn axis(&self) -> f64 {
        let most = self.bars.iter().map(|bar| bar.median).fold(0.0, f64::max);
        (most * 1.15).max(1.25)
    }
}

impl Bar<'_> {
    fn put(&self, out: &mut String, top: usize, axis: f64) {
        let server = escaped(self.server);
        let class = match self.server {
            "tidings" => "ours",
            limit if limit.starts_with("limit-") => "limit",
            _ => "other",
        };
        let text = top + 14;
        let range = if self.least < self.most {
            format!(" ({} to {})", ratio(self.least), ratio(self.most))
        } else {
            String::new()
        };
        let _ = writeln!(out, "<text class=\"{class}\" x=\"0\" y=\"{text}\">{server}</text>");
        let _ = writeln!(
            out,
            "<text class=\"ratio\" x=\"100%\" y=\"{text}\">{}<tspan>{range}</tspan></text>",
            ratio(self.median)
        );
        let bar = top + BAR_TOP_PIXELS;
        let _ = writeln!(
            out,
            "<rect class=\"{class}\" x=\"0\" y=\"{bar}\" width=\"{}\" height=\"{BAR_PIXELS}\" \
             rx=\"2\"/>",
            percent(self.median, axis)
        );
        if self.least < self.most {
            let middle = bar + BAR_PIXELS / 2;
            let _ = writeln!(
                out,
                "<line class=\"range\" x1=\"{}\" x2=\"{}\" y1=\"{middle}\" y2=\"{middle}\"/>",
                percent(self.least, axis),
                percent(self.most, axis)
            );
        }
    }
}

/// Where a ratio is between the left and the right end.
fn percent(ratio: f64, axis: f64) -> String {
    format!("{:.2}%", (ratio / axis * 100.0).clamp(0.0, 100.0))
}

fn ratio(ratio: f64) -> String {
    if ratio >= 10.0 { format!("{ratio:.1}") } else { format!("{ratio:.2}") }
}

/// Rates, and the ratios of rates; everything else is a cost or a time.
fn more_is_better(figure: &str) -> bool {
    figure.ends_with("_per_s")
        || figure.ends_with("_rate_ratio")
        || figure == "delivered_least_ratio"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(name: &str, bars: &[Bar<'_>]) -> String {
        let mut out = String::new();
        Figure { name, bars }.put(&mut out);
        out
    }

    #[test]
    fn bars_are_as_long_as_their_ratios_and_a_bad_round_does_not_stretch_them() {
        let limit = Bar { server: "limit-log", median: 1.0, least: 1.0, most: 1.0 };
        let ours = Bar { server: "tidings", median: 4.0, least: 2.3, most: 90.0 };
        let svg = put("latency_p99_ms", &[limit, ours]);
        // The axis ends at 4.6.
        for part in [
            "<rect class=\"limit\" x=\"0\" y=\"21\" width=\"21.74%\"",
            "<rect class=\"ours\" x=\"0\" y=\"61\" width=\"86.96%\"",
            "<line class=\"range\" x1=\"50.00%\" x2=\"100.00%\"",
            "<line class=\"one\" x1=\"21.74%\"",
            "4.00<tspan> (2.30 to 90.0)</tspan>",
            "less is better",
        ] {
            assert!(svg.contains(part), "{part} is not in {svg}");
        }
        assert_eq!(svg.matches("class=\"range\"").count(), 1, "{svg}");
    }

    #[test]
    fn more_is_better_for_rates_alone() {
        for figure in ["acks_per_s", "deliveries_per_s", "group_to_durable_rate_ratio"] {
            assert!(more_is_better(figure), "{figure}");
        }
        for figure in ["server_cpu_s_per_million", "live_p99_ratio", "user_pss_bytes_each"] {
            assert!(!more_is_better(figure), "{figure}");
        }
    }
}
