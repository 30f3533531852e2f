//! The work that servers are compared at.

mod made;

use std::fmt;
use std::path::Path;
use std::rc::Rc;

use anyhow::bail;

use crate::compare::peer::Peer;
use crate::load::{Pace, ServerOptions, Sizes, Subscription};
use crate::report::Report;

/// Does the work on a server, which verifies tokens with the secret in that file.
type Work = dyn Fn(ServerOptions, Option<&Path>) -> anyhow::Result<Report>;

/// One kind of work at one size.
#[derive(Clone)]
pub(crate) struct Workload {
    pub(crate) name: String,
    /// The bare server that sets the limit, to which ratios are; `None` where the figure is a ratio
    /// itself.
    pub(crate) limit: Option<Peer>,
    /// The figures a table shows, the one that matters most first.
    pub(crate) shown: &'static [&'static str],
    takers: Takers,
    work: Rc<Work>,
}

impl fmt::Debug for Workload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Workload").field(&self.name).finish()
    }
}

/// Which servers can do a work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Takers {
    /// All that send what one publishes to many, with TLS too.
    Fanout,
    /// All that send what one publishes to many as fast as they can.
    FullLoad,
    /// The bare ones that answer, and keep nothing, with TLS too.
    Sockets,
    /// The bare one that answers, and keeps nothing.
    Growth,
    /// The bare one that sends from one to one.
    Pairs,
    /// All that keep what is published.
    Publish,
    /// No other server.
    Tidings,
}

/// Those of all workloads whose name contains one of `only`, or all.
pub(crate) fn chosen(
    quick: bool,
    only: &[String],
    fanout_topic: &str,
) -> anyhow::Result<Vec<Workload>> {
    let all = if quick { quick_ones(fanout_topic) } else { full_ones(fanout_topic) };
    let names: Vec<String> = all.iter().map(|workload| workload.name.clone()).collect();
    let wanted = |workload: &Workload| {
        only.is_empty() || only.iter().any(|part| workload.name.contains(part))
    };
    let chosen: Vec<Workload> = all.into_iter().filter(wanted).collect();
    if chosen.is_empty() {
        bail!("no workload is called like {only:?}, there are {}", names.join(", "));
    }
    Ok(chosen)
}

fn full_ones(topic: &str) -> Vec<Workload> {
    vec![
        // 50 000 deliveries a second in both, in a thousand sends or ten thousand.
        Workload::fanout(1000, Pace::Rate(50.0), 10.0, topic),
        Workload::fanout(10_000, Pace::Rate(5.0), 10.0, topic),
        Workload::fanout(1000, Pace::InFlight(16), 10.0, topic),
        Workload::pairs(1000, 10_000.0, 10.0),
        Workload::publish(1, 1, 5.0),
        Workload::publish(64, 1, 10.0),
        Workload::publish(256, 1, 10.0),
        Workload::idle(10_000, Subscription::Live, 5.0),
        Workload::idle(10_000, Subscription::Durable, 5.0),
        Workload::heartbeats(15_000, 60.0),
        Workload::settle(10_000, 3.0, 10.0),
        Workload::growth(Sizes::CONNECTIONS, 50_000.0, 5.0),
        Workload::topics(Sizes::MANY, 1000, 10_000.0, 5.0),
        Workload::memory_topics(Sizes::MANY, 1000, 10_000.0, 5.0),
        Workload::cursors(Sizes::MANY, 1000, 10_000.0, 5.0),
        Workload::storm(5000),
        Workload::overload(1000, 5.0),
        Workload::mixed(500, 3, 5.0),
        Workload::group(1, 3, 3.0),
        Workload::group(4, 3, 3.0),
        Workload::group(16, 3, 3.0),
        Workload::lagging(1000, 2000, 3, 3.0),
    ]
}

fn quick_ones(topic: &str) -> Vec<Workload> {
    vec![
        Workload::fanout(100, Pace::Rate(50.0), 1.0, topic),
        Workload::fanout(100, Pace::InFlight(16), 1.0, topic),
        Workload::pairs(50, 1000.0, 1.0),
        Workload::publish(16, 1, 1.0),
        Workload::idle(2000, Subscription::Live, 0.5),
        Workload::idle(2000, Subscription::Durable, 0.5),
        Workload::heartbeats(500, 1.0),
        Workload::settle(500, 0.5, 0.5),
        Workload::growth(Sizes::FEW, 2000.0, 0.5),
        Workload::topics(Sizes::FEW, 50, 1000.0, 0.5),
        Workload::memory_topics(Sizes::FEW, 50, 1000.0, 0.5),
        Workload::cursors(Sizes::FEW, 50, 1000.0, 0.5),
        Workload::storm(500),
        Workload::overload(100, 1.0),
        Workload::mixed(50, 1, 1.0),
        Workload::group(4, 1, 0.5),
        Workload::lagging(100, 500, 1, 0.5),
    ]
}

impl Takers {
    /// The bare server among them.
    const fn limit(self) -> Option<Peer> {
        match self {
            Self::Fanout | Self::FullLoad | Self::Sockets | Self::Growth => {
                Some(Peer::LimitCoalesced)
            }
            Self::Pairs => Some(Peer::LimitPairs),
            Self::Publish => Some(Peer::LimitLog),
            Self::Tidings => None,
        }
    }
}

impl Workload {
    /// Whether this is work for `peer`.
    pub(crate) const fn takes(&self, peer: &Peer) -> bool {
        match peer {
            Peer::Tidings { .. } => true,
            Peer::LimitDirect
            | Peer::NatsCore { .. }
            | Peer::Mosquitto { .. }
            | Peer::Ws { .. } => matches!(self.takers, Takers::Fanout | Takers::FullLoad),
            Peer::LimitCoalesced => matches!(
                self.takers,
                Takers::Fanout | Takers::FullLoad | Takers::Sockets | Takers::Growth
            ),
            Peer::LimitTls | Peer::TidingsTls { .. } => {
                matches!(self.takers, Takers::Fanout | Takers::Sockets)
            }
            Peer::LimitPairs => matches!(self.takers, Takers::Pairs),
            Peer::LimitLog | Peer::Redis | Peer::JetStream { .. } => {
                matches!(self.takers, Takers::Publish)
            }
        }
    }

    /// Does the work on a server that verifies tokens with the secret in `secret_file`.
    pub(crate) fn run(
        &self,
        server: ServerOptions,
        secret_file: Option<&Path>,
    ) -> anyhow::Result<Report> {
        (self.work)(server, secret_file)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_workload_has_its_limit_among_the_servers_that_take_it() {
        for workload in full_ones("bench").iter().chain(&quick_ones("bench")) {
            let taken = workload.limit.as_ref().is_none_or(|limit| workload.takes(limit));
            assert!(taken, "{}", workload.name);
        }
    }

    #[test]
    fn an_unknown_name_lists_the_known_ones() {
        let error = chosen(true, &["nonsense".to_owned()], "bench").expect_err("no such workload");
        assert!(error.to_string().contains("publish 16"), "{error}");
        let some = chosen(true, &["idle".to_owned()], "bench").expect("two of them");
        assert_eq!(some.len(), 2);
    }
}
