//! An operator's questions about users, each of which takes a look through all connections.

use std::future::Future;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

use tidings_core::UserId;
use tokio::sync::oneshot;

use super::Rig;
use crate::inbox::{Letter, UserConnections, Waiting};

fn dev() -> UserId {
    UserId::parse("dev").unwrap()
}

/// Questions that wait in the inbox of the shard and are to be answered.
fn questions(rig: &Rig) -> usize {
    let mut waiting = Waiting::default();
    rig.shard.inbox.take(&mut waiting);
    let asked = std::iter::from_fn(|| waiting.next_letter());
    asked.filter(|letter| matches!(letter, Letter::Describe { .. })).count()
}

fn poll<T>(question: Pin<&mut (impl Future<Output = T> + ?Sized)>) -> Poll<T> {
    question.poll(&mut Context::from_waker(Waker::noop()))
}

#[tokio::test]
async fn nothing_is_looked_up_for_who_has_given_up() {
    let rig = Rig::start().await;
    let mut kept = Vec::new();
    for patience in [false, true, false, false] {
        let (reply, answer) = oneshot::channel();
        rig.shard.inbox.post(Letter::Describe { user: dev(), reply });
        kept.extend(patience.then_some(answer));
    }
    assert_eq!(questions(&rig), 1);
}

#[tokio::test]
async fn one_question_is_answered_at_a_time() {
    let mut rig = Rig::start().await;
    rig.connect();
    let (env, user) = (rig.shard.env.clone(), dev());
    let mut first = Box::pin(env.describe(&user));
    let mut second = pin!(env.describe(&user));
    assert!(poll(first.as_mut()).is_pending() && poll(second.as_mut()).is_pending());
    assert_eq!(questions(&rig), 1, "the second waits for the first");
    // Whoever asked goes away: the next one's turn.
    drop(first);
    assert!(poll(second.as_mut()).is_pending());
    rig.turn_once();
    let Poll::Ready(told) = poll(second.as_mut()) else { panic!("it is answered") };
    assert_eq!(told.iter().map(|shard| shard.total).sum::<usize>(), 1);
}

#[tokio::test]
async fn the_oldest_connections_are_told_and_all_are_counted() {
    let mut rig = Rig::start().await;
    let count = UserConnections::TOLD_MAX + 5;
    for _ in 0..count {
        rig.connect();
    }
    let mut all: Vec<_> = rig.shard.connections.iter().filter_map(|(_, c)| c.as_active()).collect();
    all.sort_by(|a, b| (a.since, &a.session.client).cmp(&(b.since, &b.session.client)));
    let mut expected: Vec<_> = all.iter().map(|active| active.session.client.clone()).collect();
    expected.truncate(UserConnections::TOLD_MAX);
    let (reply, mut answer) = oneshot::channel();
    rig.shard.describe_user(&dev(), reply);
    let UserConnections { mut oldest, total } = answer.try_recv().unwrap();
    oldest.sort_by(|a, b| (a.since, &a.client).cmp(&(b.since, &b.client)));
    let told: Vec<_> = oldest.into_iter().map(|connection| connection.client).collect();
    assert_eq!((told, total), (expected, count));
}
