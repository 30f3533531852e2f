//! Messages of one key are handled one after the other, whatever happens to members.

use std::time::Duration;

use serde_json::json;
use tokio::task::JoinSet;

use super::ledger::{End, Ledger};
use super::{Worker, ack, member};
use crate::peer::{Peer, config, start};

const MESSAGES: usize = 300;
const KEYS: usize = 7;

/// How a member behaves.
#[derive(Clone, Copy, Debug)]
enum Manner {
    Honest,
    /// Nacks every fifth first delivery.
    Hesitant,
    /// Dies when it has got so many.
    DiesAfter(usize),
}

#[tokio::test]
async fn each_message_is_handled_once_and_in_order_when_nobody_fails() {
    check(&[Manner::Honest; 5]).await;
}

#[tokio::test]
async fn order_holds_through_nacks() {
    check(&[Manner::Hesitant, Manner::Honest, Manner::Hesitant]).await;
}

#[tokio::test]
async fn order_holds_through_the_death_of_members() {
    let dies = Manner::DiesAfter;
    check(&[Manner::Honest, dies(3), dies(20), dies(40), Manner::Hesitant]).await;
}

async fn check(manners: &[Manner]) {
    let mut config = config();
    config.topic = vec![tidings_server::TopicSection {
        attempts_max: 20,
        backoff_base: Duration::from_millis(10),
        ..tidings_server::TopicSection::new("orders".parse().unwrap())
    }];
    let server = start(config).await;
    let address = server.public_addr();
    let ledger = Ledger::default();
    let mut members = JoinSet::new();
    for (number, manner) in manners.iter().enumerate() {
        let peer = member(address, "orders", 8).await;
        members.spawn(work(peer, number, *manner, ledger.clone()));
    }
    let mut publisher = Peer::connect(address).await;
    for n in 0..MESSAGES {
        let key = format!("account-{}", n % KEYS);
        let publish = json!({"topic": "orders", "data": n, "order_key": key});
        let reply = publisher.ask(json!({"publish": publish})).await;
        assert!(reply.get("published").is_some(), "{reply}");
    }
    let all = async {
        while ledger.handled() < MESSAGES {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let done = tokio::time::timeout(Duration::from_secs(60), all).await;
    members.shutdown().await;
    assert!(done.is_ok(), "{} of {MESSAGES} were handled", ledger.handled());
    ledger.judge(MESSAGES);
    server.shutdown().await;
}

async fn work(mut peer: Worker, number: usize, manner: Manner, ledger: Ledger) {
    let mut got = 0;
    loop {
        let message = peer.message().await;
        ledger.begin(number, &message);
        // Time for what should wait to come too early.
        tokio::task::yield_now().await;
        got += 1;
        let first = message.get("attempt").is_none();
        match manner {
            Manner::DiesAfter(most) if got >= most => {
                ledger.end(&message, End::Lost);
                return;
            }
            Manner::Hesitant if got % 5 == 0 && first => {
                ledger.end(&message, End::Nacked);
                let nack = json!({"nack": {"sub": "orders", "offset": message["offset"]}});
                peer.send(nack).await;
            }
            Manner::Honest | Manner::Hesitant | Manner::DiesAfter(_) => {
                ledger.end(&message, End::Acked);
                // Its answer says that the ack counts, so whoever dies later has not lost it. What
                // comes before the answer is handled next.
                peer.send(ack("orders", &message)).await;
            }
        }
    }
}
