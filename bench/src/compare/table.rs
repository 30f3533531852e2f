//! Medians over the rounds, and how far each server is from the limit.

use std::fmt;

use serde::Serialize;

use crate::compare::Run;
use crate::compare::workload::Workload;
use crate::report::round;

/// One figure of one server at one workload.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Row {
    workload: String,
    server: &'static str,
    figure: &'static str,
    median: f64,
    min: f64,
    max: f64,
    /// The median of the ratios to the bare server of the same round: what else happened on the
    /// machine in a round hits both.
    #[serde(skip_serializing_if = "Option::is_none")]
    ratio_to_limit: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ratio_min: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ratio_max: Option<f64>,
    rounds: usize,
}

/// The rows of all workloads, in their order.
pub(crate) fn rows(workloads: &[Workload], runs: &[Run]) -> Vec<Row> {
    let mut rows = Vec::new();
    for workload in workloads {
        let runs: Vec<&Run> = runs.iter().filter(|run| run.workload == workload.name).collect();
        let mut servers: Vec<&'static str> = Vec::new();
        for run in &runs {
            if !servers.contains(&run.server) {
                servers.push(run.server);
            }
        }
        for figure in workload.shown {
            let of = |server| values(&runs, server, figure);
            let limit = workload.limit.as_ref().map_or(Vec::new(), |limit| of(limit.name()));
            rows.extend(
                servers
                    .iter()
                    .filter_map(|server| row(&workload.name, server, figure, &of(server), &limit)),
            );
        }
    }
    rows
}

/// The figure in each round where the server has it.
fn values(runs: &[&Run], server: &str, figure: &str) -> Vec<(u32, f64)> {
    runs.iter()
        .filter(|run| run.server == server)
        .filter_map(|run| Some((run.round, run.report.as_ref()?.value(figure)?)))
        .collect()
}

fn row(
    workload: &str,
    server: &'static str,
    figure: &'static str,
    of_server: &[(u32, f64)],
    of_limit: &[(u32, f64)],
) -> Option<Row> {
    let plain: Vec<f64> = of_server.iter().map(|(_, value)| *value).collect();
    let limit_in = |round| of_limit.iter().find(|(limit_round, _)| *limit_round == round);
    let ratios: Vec<f64> = of_server
        .iter()
        .filter_map(|(round, value)| Some(value / limit_in(*round)?.1))
        .filter(|ratio| ratio.is_finite())
        .collect();
    Some(Row {
        workload: workload.to_owned(),
        server,
        figure,
        median: median(&plain)?,
        min: plain.iter().copied().reduce(f64::min)?,
        max: plain.iter().copied().reduce(f64::max)?,
        ratio_to_limit: median(&ratios),
        ratio_min: ratios.iter().copied().reduce(f64::min),
        ratio_max: ratios.iter().copied().reduce(f64::max),
        rounds: plain.len(),
    })
}

fn median(values: &[f64]) -> Option<f64> {
    let mut values = values.to_vec();
    values.sort_unstable_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len() % 2 == 1 {
        return values.get(middle).copied();
    }
    Some((values.get(middle.checked_sub(1)?)? + values.get(middle)?) / 2.0)
}

/// Rows for people.
#[derive(Debug)]
pub(crate) struct Table<'a>(pub(crate) &'a [Row]);

impl fmt::Display for Table<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for workload in self.0.chunk_by(|a, b| a.workload == b.workload) {
            writeln!(f, "\n{} (median of {})", workload[0].workload, workload[0].rounds)?;
            for figure in workload.chunk_by(|a, b| a.figure == b.figure) {
                writeln!(f, "  {}", figure[0].figure)?;
                for row in figure {
                    let ratio = row.ratio_to_limit.map(|ratio| format!("x {ratio:.2}"));
                    writeln!(
                        f,
                        "    {:<21} {:>10}   {:>9}   [{} … {}]",
                        row.server,
                        round(row.median),
                        ratio.unwrap_or_default(),
                        round(row.min),
                        round(row.max),
                    )?;
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_are_in_the_middle() {
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[4.0, 1.0]), Some(2.5));
    }

    #[test]
    fn ratios_are_taken_within_a_round() {
        // The machine was twice as slow in round 2: the plain medians would say 1.5 to 1.5.
        let server = [(1, 2.0), (2, 4.0), (3, 2.0)];
        let limit = [(1, 1.0), (2, 2.0)];
        let row = row("w", "s", "f", &server, &limit).expect("three values");
        assert_eq!((row.ratio_to_limit, row.median, row.rounds), (Some(2.0), 2.0, 3));
        assert_eq!((row.min, row.max), (2.0, 4.0));
    }

    #[test]
    fn a_server_without_values_has_no_row() {
        assert_eq!(row("w", "s", "f", &[], &[(1, 1.0)]), None);
    }
}
