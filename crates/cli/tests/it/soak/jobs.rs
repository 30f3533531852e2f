//! The groups of a soak: on a topic and on filters, over topics that wait long and shortly for acks.

use std::ops::Range;
use std::time::{Duration, Instant};

use serde_json::Value;
use tidings_core::{Epoch, Offset};
use tidings_sim::history::Name;
use tidings_sim::history::groups::{GroupNumber, GroupRecord, LaneNumber, Place, TopicNumber};
use tidings_sim::{Violation, checker};

use super::ledger::Ledger;
use super::{CURSOR_LAG_MAX, DRAIN_MAX, RETRY, http, log_of, names_in, topic_number};
use crate::program::Server;

/// The topics of groups.
pub(crate) const JOBS: Range<usize> = 3..5;

/// The one whose acks may take a minute: nobody ever waits that long.
pub(crate) const PATIENT: usize = 4;

/// How long an ack may take in each of [`JOBS`].
const PATIENCE: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(60)];

/// A group on a filter looks every second for topics in which something waits.
const LOOKS_AGAIN: Duration = Duration::from_millis(1_500);

/// Order keys; messages of a fifth have none.
const LANES: u64 = 8;

/// A group.
#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) name: &'static str,
    /// Its topic or filter.
    pub(crate) sub: &'static str,
    topics: Range<usize>,
}

/// All groups.
pub(crate) const GROUPS: [Group; 3] = [
    Group { name: "quick", sub: "soak/jobs/quick", topics: 3..4 },
    Group { name: "all", sub: "soak/jobs/#", topics: 3..5 },
    Group { name: "patient", sub: "soak/+/patient", topics: 4..5 },
];

/// The order key of a message.
pub(crate) fn lane(name: Name) -> Option<LaneNumber> {
    let number = name.number() % (LANES + LANES / 4);
    (number < LANES).then(|| LaneNumber::new(number))
}

/// Lets the history know which groups there are.
pub(crate) fn open(ledger: &Ledger) {
    for (number, group) in GROUPS.iter().enumerate() {
        let topics = group
            .topics
            .clone()
            .map(|topic| (TopicNumber::new(topic), PATIENCE[topic - JOBS.start]));
        let topics = topics.collect();
        ledger.record_group(GroupRecord::Opened { group: GroupNumber::new(number), topics });
    }
}

/// Waits until nothing waits for any group, and lets the members know.
pub(crate) fn wait(ledger: &Ledger, server: &Server) {
    let until = Instant::now() + DRAIN_MAX;
    let mut nothing_since = None;
    let lag = |group: &Group| {
        let sub = group.sub.replace('#', "%23").replace('+', "%2B");
        let path = format!("/v1/groups/{}?filter={sub}", group.name);
        let (status, answer) = http::ask(server.operator_port, "GET", &path).ok()?;
        assert_eq!(status, 200, "{answer}");
        let lags = answer["groups"].as_array().unwrap().iter();
        Some(lags.map(|group| group["lag"].as_u64().unwrap()).sum::<u64>())
    };
    while Instant::now() < until {
        if GROUPS.iter().any(|group| lag(group) != Some(0)) {
            nothing_since = None;
        } else if nothing_since.get_or_insert_with(Instant::now).elapsed() > LOOKS_AGAIN {
            break;
        }
        std::thread::sleep(RETRY);
    }
    ledger.jobs_are_done();
}

/// What one dead letter says, if it is a group's.
pub(crate) fn dead_letter(ledger: &Ledger, letter: &Value) -> Option<GroupRecord> {
    let header = |name: &str| letter["headers"][name].as_str();
    let (name, sub) = (header("tidings-group")?, header("tidings-filter")?);
    let group = GROUPS.iter().position(|group| group.name == name && group.sub == sub);
    let group = group.unwrap_or_else(|| panic!("a dead letter of nobody's: {letter}"));
    let topic = topic_number(header("tidings-topic")?);
    let epoch: Epoch = header("tidings-epoch")?.parse().unwrap();
    let offset = Offset::new(header("tidings-offset")?.parse().unwrap());
    let place = Place { topic: TopicNumber::new(topic), epoch, offset };
    let at = ledger.at(letter["at"].as_u64().unwrap());
    Some(GroupRecord::DeadLettered { group: GroupNumber::new(group), place, at })
}

/// The first promise to members that was not kept.
pub(crate) fn judge(ledger: &Ledger, server: &Server) -> Result<(), Violation> {
    for topic in JOBS {
        let (state, messages) = log_of(server, topic);
        let number = TopicNumber::new(topic);
        let place = |offset| Place { topic: number, epoch: state.epoch, offset };
        let names = names_in(&messages).into_iter();
        let messages = names.map(|(offset, name)| (place(offset), name)).collect();
        ledger.record_group(GroupRecord::LogFound { messages });
    }
    checker::groups::check(&ledger.group_history(), CURSOR_LAG_MAX)
}
