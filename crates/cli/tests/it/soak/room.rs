//! Clients that come to a topic and leave it, and somebody who asks who is there.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use serde_json::json;
use tidings_sim::history::presence::{ClientNumber, Farewell, PresenceRecord};
use tidings_sim::{Violation, checker};

use super::ledger::{Count, Ledger, Stage};
use super::link::{Gone, Link};
use super::{RETRY, http};
use crate::program::Dice;

const ROOM: &str = "soak/room";

/// How many clients come and go.
pub(crate) const CLIENTS: usize = 6;

/// How long whoever breaks off may be on the list: the grace of the configuration, and what a busy
/// machine takes to notice.
const STAYS_MAX: Duration = Duration::from_millis(500 + 1_500);

/// The longest absence.
const AWAY: Duration = Duration::from_secs(4);

/// Between two questions.
const PAUSE: Duration = Duration::from_millis(50);

/// Comes to the topic and leaves it until the trouble is over.
pub(crate) fn visit(ledger: &Ledger, port: u16, number: usize, mut dice: Dice) {
    let client = ClientNumber::new(number);
    while ledger.stage() == Stage::Trouble {
        let connect = json!({"client": format!("c{number}")});
        let Ok((link, _)) = Link::open_with(ledger, port, connect) else {
            std::thread::sleep(RETRY);
            continue;
        };
        let process = link.process;
        ledger.record_presence(PresenceRecord::Entering { client, process });
        let farewell = stay(ledger, link, client, &mut dice).unwrap_or(Farewell::Broken);
        ledger.record_presence(PresenceRecord::Leaving { client });
        let at = ledger.now();
        ledger.record_presence(PresenceRecord::Left { client, farewell, at });
        // Some stay away for longer than anybody may be listed.
        let away = if dice.below(2) == 0 { AWAY } else { Duration::from_millis(dice.below(700)) };
        std::thread::sleep(away);
    }
}

/// One visit; gives how it ended.
fn stay(
    ledger: &Ledger,
    mut link: Link,
    client: ClientNumber,
    dice: &mut Dice,
) -> Result<Farewell, Gone> {
    let id = link.request("subscribe", json!({"topic": ROOM}))?;
    let answer = link.answer(id)?;
    assert!(answer.get("subscribed").is_some(), "cannot enter: {answer}");
    ledger.record_presence(PresenceRecord::Here { client, process: link.process });
    ledger.count(Count::Visits, 1);
    let until = Instant::now() + Duration::from_millis(100 + dice.below(1_500));
    while Instant::now() < until && ledger.stage() == Stage::Trouble {
        link.next()?;
        std::thread::sleep(RETRY);
    }
    ledger.record_presence(PresenceRecord::Leaving { client });
    match dice.below(3) {
        0 => link.cut(),
        1 => link.close(),
        _ => {
            let id = link.request("unsubscribe", json!({"sub": ROOM}))?;
            link.answer(id)?;
            link.cut();
            return Ok(Farewell::Answered);
        }
    }
    Ok(Farewell::Broken)
}

/// Asks who is there, again and again, until the trouble is over.
pub(crate) fn ask(ledger: &Ledger, port: u16) {
    let mut question = 0;
    while ledger.stage() == Stage::Trouble {
        question += 1;
        let (process, at) = (ledger.process(), ledger.now());
        ledger.record_presence(PresenceRecord::Asking { question, at });
        let answer = http::ask(port, "GET", &format!("/v1/presence?topic={ROOM}"));
        // An answer that may be of either of two processes says nothing about both.
        if let Ok((200, body)) = answer
            && ledger.process() == process
        {
            let members = body["members"].as_array().unwrap();
            assert_eq!(body["total"], members.len(), "{body}");
            let number = |name: &str| name.strip_prefix('c').unwrap().parse().unwrap();
            let listed: BTreeSet<_> = members
                .iter()
                .map(|member| ClientNumber::new(number(member["client"].as_str().unwrap())))
                .collect();
            ledger.count(Count::Listed, listed.len() as u64);
            ledger.record_presence(PresenceRecord::Answered { question, process, listed });
        }
        std::thread::sleep(PAUSE);
    }
}

/// The first promise about who is there that was not kept.
pub(crate) fn judge(ledger: &Ledger) -> Result<(), Violation> {
    checker::presence::check(&ledger.presence(), STAYS_MAX)
}
