//! Promises about cursors and sessions.

use std::time::Duration;

use tidings_core::{
    CursorKey, CursorState, DurableKey, Epoch, GroupKey, Offset, PolicyTable, Session,
};

use super::trial::eventually;
use super::{Engine, LONG, START, Setup, Trial, topic};
use crate::store::{Outcome, Write};

/// A cursor's key of this user's subscription.
pub(super) fn key_of(user: &str, name: &str) -> CursorKey {
    CursorKey::Durable(DurableKey {
        user: user.parse().expect("a valid user"),
        name: name.parse().expect("a valid name"),
        topic: topic("user/alice"),
    })
}

pub(super) fn key(name: &str) -> CursorKey {
    key_of("alice", name)
}

/// A cursor's key of this group, in the same topic.
pub(super) fn group_key(group: &str, filter: &str) -> CursorKey {
    let group = group.parse().expect("a valid group");
    let group = GroupKey { group, filter: filter.parse().expect("a valid filter") };
    CursorKey::Group { group, topic: topic("user/alice") }
}

pub(super) fn cursor(next: u64) -> CursorState {
    CursorState {
        settled: vec![(Offset::new(next + 2), Offset::new(next + 3))],
        attempts: vec![(Offset::new(next), 3)],
        reserved: Offset::new(next + 64),
        ..CursorState::at(Epoch::new(5), Offset::new(next))
    }
}

/// A session that lasts so long from the start of the checks.
pub(super) fn session(id: &str, lasts: Duration) -> Session {
    Session {
        id: id.parse().expect("a valid session"),
        user: "alice".parse().expect("a valid user"),
        client: "phone".parse().expect("a valid client"),
        expires_at: START.plus(lasts),
    }
}

pub(super) fn save(trial: &Trial, write: Write) {
    let outcome = trial.write_one(write);
    assert!(matches!(outcome, Outcome::Saved), "{outcome:?}");
}

pub(super) fn cursors(engine: Box<dyn Engine>) {
    let trial = Trial::new(engine, PolicyTable::default());
    assert_eq!(trial.store().cursor(&key("phone")), None);
    save(&trial, Write::DeleteCursor { key: key("phone") });
    for next in [1, 5, 3] {
        save(&trial, Write::SaveCursor { key: key("phone"), state: cursor(next) });
        assert_eq!(trial.store().cursor(&key("phone")), Some(cursor(next)));
    }
    let both = vec![
        Write::SaveCursor { key: key("tablet"), state: cursor(8) },
        Write::SaveCursor { key: key("tablet"), state: cursor(9) },
        Write::DeleteCursor { key: key("phone") },
    ];
    trial.write(both);
    assert_eq!(trial.store().cursor(&key("phone")), None);
    assert_eq!(trial.store().cursor(&key("tablet")), Some(cursor(9)));
}

pub(super) fn cursors_of_groups(engine: Box<dyn Engine>) {
    let trial = Trial::new(engine, PolicyTable::default());
    let keys = [
        group_key("workers", "user/#"),
        group_key("workers", "user/+"),
        group_key("others", "user/#"),
        key("workers"),
    ];
    for (next, key) in (1..).zip(&keys) {
        assert_eq!(trial.store().cursor(key), None);
        save(&trial, Write::SaveCursor { key: key.clone(), state: cursor(next) });
    }
    for (next, key) in (1..).zip(&keys) {
        assert_eq!(trial.store().cursor(key), Some(cursor(next)));
    }
    save(&trial, Write::DeleteCursor { key: keys[0].clone() });
    let left = keys.iter().filter(|key| trial.store().cursor(key).is_some()).count();
    assert_eq!((left, trial.store().cursor(&keys[0])), (3, None));
}

pub(super) fn sessions(engine: Box<dyn Engine>) {
    let trial = Trial::new(engine, PolicyTable::default());
    let id = session("s1", LONG).id;
    assert_eq!(trial.store().session(&id), None);
    for lasts in [2 * LONG, LONG] {
        save(&trial, Write::SaveSession(session("s1", lasts).into()));
        assert_eq!(trial.store().session(&id), Some(session("s1", lasts)));
    }
    save(&trial, Write::DeleteSession(id.clone()));
    save(&trial, Write::DeleteSession(id.clone()));
    assert_eq!(trial.store().session(&id), None);
}

pub(super) fn cursors_are_counted(engine: Box<dyn Engine>) {
    let trial = Trial::new(engine, PolicyTable::default());
    let count = |user: &str, limit| {
        trial.store().count_cursors(&user.parse().expect("a valid user"), limit)
    };
    assert_eq!(count("alice", 10), 0);
    for name in ["phone", "tablet", "phone"] {
        save(&trial, Write::SaveCursor { key: key(name), state: cursor(1) });
    }
    save(&trial, Write::SaveCursor { key: key_of("bob", "phone"), state: cursor(1) });
    // A group is no user's, whatever it is called.
    for name in ["alice", "bob"] {
        save(&trial, Write::SaveCursor { key: group_key(name, "user/#"), state: cursor(1) });
    }
    assert_eq!((count("alice", 10), count("alice", 1), count("bob", 10)), (2, 1, 1));
    save(&trial, Write::DeleteCursor { key: key("phone") });
    assert_eq!(count("alice", 10), 1);
}

pub(super) fn expired_sessions_are_forgotten(engine: Box<dyn Engine>) {
    let trial = Trial::new(engine, PolicyTable::default());
    let short = Duration::from_secs(60);
    for (id, lasts) in [("s1", short), ("s2", short), ("s3", LONG)] {
        save(&trial, Write::SaveSession(session(id, lasts).into()));
    }
    save(&trial, Write::SaveSession(session("s2", LONG).into()));
    trial.clock.advance(short);
    let is_there = |id| trial.store().session(&session(id, LONG).id).is_some();
    eventually("the session is forgotten", || !is_there("s1"));
    assert!(is_there("s2") && is_there("s3"));
}

pub(super) fn outdated_cursors_are_forgotten(engine: Box<dyn Engine>) {
    let expiry = Duration::from_secs(60);
    let setup = |setup: &mut Setup| setup.cursor_expiry = expiry;
    let trial = Trial::with(engine, PolicyTable::default(), setup);
    for name in ["phone", "tablet", "watch"] {
        save(&trial, Write::SaveCursor { key: key(name), state: cursor(1) });
    }
    let (idle, busy) = (group_key("idle", "user/#"), group_key("busy", "user/#"));
    save(&trial, Write::SaveCursor { key: idle.clone(), state: cursor(1) });
    trial.clock.advance(expiry / 2);
    // Saving counts, whether it changes anything or not.
    save(&trial, Write::SaveCursor { key: key("tablet"), state: cursor(1) });
    save(&trial, Write::SaveCursor { key: busy.clone(), state: cursor(1) });
    trial.clock.advance(expiry / 2);
    eventually("cursors are forgotten", || {
        trial.store().cursor(&key("phone")).is_none()
            && trial.store().cursor(&key("watch")).is_none()
            && trial.store().cursor(&idle).is_none()
    });
    assert_eq!(trial.store().cursor(&busy), Some(cursor(1)));
    assert_eq!(trial.store().cursor(&key("tablet")), Some(cursor(1)));
    // A forgotten one may come back.
    save(&trial, Write::SaveCursor { key: key("phone"), state: cursor(7) });
    assert_eq!(trial.store().cursor(&key("phone")), Some(cursor(7)));
}
