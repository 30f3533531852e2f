//! Sessions that the store has not heard of yet.

use std::sync::Arc;

use tidings_core::{CloseCode, Session, SessionId};

use super::Rig;
use crate::directory::Place;

impl Rig {
    fn session(&mut self, slot: u32) -> SessionId {
        self.shard.connections[slot as usize].active().unwrap().session.id.clone()
    }
}

/// Nothing is written between a connect and the next: both are of one turn.
#[tokio::test]
async fn a_session_is_known_before_it_is_saved() {
    let mut rig = Rig::start().await;
    let first = rig.connect();
    let session = rig.session(first);
    let second = rig.connect_with(Some(session.clone()));
    assert_eq!(rig.session(second), session);
    rig.turn_until(first, |client| client.got.contains("taken_over"));
    assert!(rig.clients[&first].got.contains("taken_over"), "{}", rig.clients[&first].got);
}

#[tokio::test]
async fn a_session_is_known_after_its_connection_has_ended_and_before_it_is_saved() {
    let mut rig = Rig::start().await;
    let first = rig.connect();
    let session = rig.session(first);
    rig.shard.close(first, CloseCode::Normal);
    let second = rig.connect_with(Some(session.clone()));
    assert_eq!(rig.session(second), session);
}

#[tokio::test]
async fn who_has_left_a_session_holds_it_no_longer() {
    let mut rig = Rig::start().await;
    let first = rig.connect();
    let session = rig.session(first);
    rig.shard.close(first, CloseCode::Normal);
    rig.turn_until(first, |_| true);
    assert_eq!(rig.shard.env.directory.session(&session), None);
    let kept = rig.shard.env.store.session(&session).expect("it waits for its client");
    assert_eq!(kept.id, session);
}

/// It may go on under another name while what its former connection left is still being saved.
#[tokio::test]
async fn the_record_of_who_took_a_session_over_is_the_one_that_stays() {
    let mut rig = Rig::start().await;
    let first = rig.connect();
    let session = rig.session(first);
    rig.shard.close(first, CloseCode::Normal);
    let second = rig.connect_with(Some(session.clone()));
    let record = Arc::clone(&rig.shard.connections[second as usize].active().unwrap().session);
    let renamed = Arc::new(Session { client: "renamed".parse().unwrap(), ..(*record).clone() });
    let connection = rig.shard.key(second).unwrap();
    assert!(rig.shard.env.directory.renew_session(&renamed, Place { lane: 0, connection }));
    for _ in 0..5 {
        rig.turn_once();
    }
    let kept = rig.shard.env.store.session(&session).unwrap();
    assert_eq!(kept.client.as_str(), "renamed");
}
