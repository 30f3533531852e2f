//! More is offered than the server can deliver: what it delivers must not get less for it.

use anyhow::{Context as _, bail};

use crate::load::crowd::{Crowd, Group, Members, Subscription, Topics};
use crate::load::fanout::{self, Carried, Fanout, FanoutOptions};
use crate::load::meter::wait_for_calm;
use crate::load::pace::Pace;
use crate::report::Report;
use crate::target::Dialect;

/// Connections that are being made at once.
const AT_ONCE: usize = 256;
/// Messages in flight while the capacity is measured.
const IN_FLIGHT: u32 = 16;

/// One step: how many times the capacity, and what its figures are called.
struct Step {
    factor: f64,
    offered: &'static str,
    published: &'static str,
    delivered: &'static str,
    refused: &'static str,
}

const STEPS: [Step; 3] = [
    Step {
        factor: 2.0,
        offered: "offered_per_s_x2",
        published: "published_per_s_x2",
        delivered: "delivered_per_s_x2",
        refused: "refused_x2",
    },
    Step {
        factor: 4.0,
        offered: "offered_per_s_x4",
        published: "published_per_s_x4",
        delivered: "delivered_per_s_x4",
        refused: "refused_x4",
    },
    Step {
        factor: 8.0,
        offered: "offered_per_s_x8",
        published: "published_per_s_x8",
        delivered: "delivered_per_s_x8",
        refused: "refused_x8",
    },
];

/// Measures the capacity, then offers more in steps, and says what came of it.
pub(crate) fn run(options: &FanoutOptions) -> anyhow::Result<Report> {
    if options.server.url.dialect != Dialect::Tidings {
        bail!("overload is measured over WebSocket only, use a ws:// url");
    }
    let closed = fanout::run(options, Pace::in_flight(IN_FLIGHT)?)?;
    closed.check().context("not even the closed loop went well")?;
    let capacity = closed.value("deliveries_per_s").filter(|per_s| *per_s > 0.0);
    let capacity = capacity.context("nothing was delivered in the closed loop")?;
    let messages_per_s = capacity / f64::from(options.subscribers);

    let mut carried = Vec::new();
    for step in &STEPS {
        wait_for_calm(options.server.server_pid)?;
        let mut crowd = open(options)?;
        carried.push(Fanout::offer(&mut crowd, options, messages_per_s * step.factor)?);
    }
    let mut report = Report::new("overload");
    report.setting("url", options.server.url.to_string());
    report.setting("subscribers", options.subscribers);
    report.setting("seconds", options.seconds);
    let rates: Vec<f64> = carried.iter().map(|step| step.delivered_per_s).collect();
    report.figure("delivered_least_ratio", least_ratio(capacity, &rates));
    report.figure("delivered_per_s_closed_loop", capacity);
    for (step, carried) in STEPS.iter().zip(&carried) {
        report.figure(step.delivered, carried.delivered_per_s);
        report.figure(step.offered, messages_per_s * step.factor);
        report.figure(step.published, carried.published_per_s);
        report.figure(step.refused, carried.refused as f64);
    }
    let sum = |of: fn(&Carried) -> u64| carried.iter().map(of).sum::<u64>() as f64;
    report.figure("lost", sum(|step| step.gaps));
    report.figure("duplicates", sum(|step| step.duplicates));
    report.figure("order_errors", sum(|step| step.order_errors));
    Ok(report)
}

fn open(options: &FanoutOptions) -> anyhow::Result<Crowd> {
    let group = Group {
        count: options.subscribers as usize,
        topics: Topics::One(options.topic.clone()),
        subscription: Subscription::Live,
    };
    let token = options.server.token.clone();
    let members = Members { publishers: 1, groups: vec![group], token, identities: Vec::new() };
    Crowd::open(&options.server, members, AT_ONCE)
}

/// The smallest ratio of a rate to the best one before it.
fn least_ratio(capacity: f64, rates: &[f64]) -> f64 {
    let (mut best, mut least) = (capacity, f64::INFINITY);
    for rate in rates {
        least = least.min(rate / best);
        best = best.max(*rate);
    }
    least
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fall_shows_wherever_it_is_and_a_rise_does_not_hide_it() {
        assert_eq!(least_ratio(10.0, &[10.0, 20.0, 20.0]), 1.0);
        assert_eq!(least_ratio(10.0, &[20.0, 10.0, 30.0]), 0.5);
        assert_eq!(least_ratio(10.0, &[5.0, 40.0, 40.0]), 0.5);
    }
}
