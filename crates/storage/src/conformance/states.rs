//! Promises about cursors and sessions.

use tidings_core::{CursorState, DurableKey, Epoch, Offset, PolicyTable, Session, Timestamp};

use super::{Engine, Trial, topic};
use crate::store::{Outcome, Write};

pub(super) fn key(name: &str) -> DurableKey {
    DurableKey {
        user: "alice".parse().expect("a valid user"),
        name: name.parse().expect("a valid name"),
        topic: topic("user/alice"),
    }
}

pub(super) fn cursor(next: u64) -> CursorState {
    CursorState {
        settled: vec![(Offset::new(next + 2), Offset::new(next + 3))],
        attempts: vec![(Offset::new(next), 3)],
        ..CursorState::at(Epoch::new(5), Offset::new(next))
    }
}

pub(super) fn session(id: &str, expires_at: u64) -> Session {
    Session {
        id: id.parse().expect("a valid session"),
        user: "alice".parse().expect("a valid user"),
        client: "phone".parse().expect("a valid client"),
        expires_at: Timestamp::from_ms(expires_at),
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

pub(super) fn sessions(engine: Box<dyn Engine>) {
    let trial = Trial::new(engine, PolicyTable::default());
    let id = session("s1", 0).id;
    assert_eq!(trial.store().session(&id), None);
    for expires_at in [10, 20] {
        save(&trial, Write::SaveSession(session("s1", expires_at)));
        // Expired or not is not the store's to say.
        assert_eq!(trial.store().session(&id), Some(session("s1", expires_at)));
    }
    save(&trial, Write::DeleteSession(id.clone()));
    save(&trial, Write::DeleteSession(id.clone()));
    assert_eq!(trial.store().session(&id), None);
}
