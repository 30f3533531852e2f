//! What has expired is forgotten for good; what was saved again meanwhile is not.

use std::time::Duration;

use tidings_core::{ClientId, Session, SessionId, Timestamp, UserId};

use super::rig::{Plan, Rig, eventually};
use crate::embedded::simulated_disk::SimulatedDisk;
use crate::keep::Sweep;
use crate::store::{Store, Write};

/// More than upkeep looks at in one round.
const SESSIONS: u64 = 20_500;

fn session(n: u64, expires_at: Timestamp) -> Session {
    Session {
        id: SessionId::parse(&format!("s{n}")).unwrap(),
        user: UserId::parse("alice").unwrap(),
        client: ClientId::parse("phone").unwrap(),
        expires_at,
    }
}

fn kept(rig: &Rig) -> u64 {
    let ids = (0..SESSIONS).map(|n| session(n, Timestamp::default()).id);
    ids.filter(|id| rig.store.session(id).is_some()).count() as u64
}

#[test]
fn expired_sessions_are_forgotten_and_stay_so() {
    let disk = SimulatedDisk::new(0);
    let plan = Plan::with_upkeep(&[]);
    let mut rig = plan.open(&disk);
    let later = plan.now.plus(Duration::from_secs(3600));
    let sessions = (0..SESSIONS).map(|n| {
        let expires_at = if n % 2 == 0 { plan.now } else { later };
        Write::SaveSession(session(n, expires_at).into())
    });
    let tags = rig.submit(sessions.collect());
    rig.recorder.outcome(tags[tags.len() - 1]);
    eventually("expired sessions are forgotten", || kept(&rig) == SESSIONS / 2);
    drop(rig);
    assert_eq!(kept(&Plan::default().open(&disk)), SESSIONS / 2);
}

/// Between finding a session and forgetting it, its client may have come back.
#[test]
fn a_session_that_was_saved_again_is_not_forgotten() {
    let disk = SimulatedDisk::new(0);
    let plan = Plan::default();
    let mut rig = plan.open(&disk);
    let later = plan.now.plus(Duration::from_secs(3600));
    rig.write(Write::SaveSession(session(1, plan.now).into()));
    rig.write(Write::SaveSession(session(2, plan.now).into()));
    let mut sweep = Sweep::new(plan.config.cursor_expiry);
    let outdated = sweep.step(&rig.store.shared.keep(), plan.now, 100);
    assert_eq!(outdated.len(), 2);
    let tags = rig.submit(vec![Write::SaveSession(session(2, later).into())]);
    rig.store.shared.queue.submit_changes(outdated).unwrap();
    rig.recorder.outcome(tags[0]);
    eventually("the first is forgotten", || rig.store.session(&session(1, later).id).is_none());
    assert_eq!(rig.store.session(&session(2, later).id), Some(session(2, later)));
    // What is read from the log is decided alike.
    let rig = plan.open(&disk.after_kill());
    assert_eq!(rig.store.session(&session(1, later).id), None);
    assert_eq!(rig.store.session(&session(2, later).id), Some(session(2, later)));
}
