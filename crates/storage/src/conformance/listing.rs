//! Promises about listing cursors and sessions.

use std::ops::Bound;

use tidings_core::limits::ID_BYTES_MAX;
use tidings_core::{CursorKey, DurableKey, GroupKey, PolicyTable, Session, UserId};

use super::states::{cursor, save, session};
use super::{Engine, LONG, Lasting, START, Trial, topic};
use crate::store::{Cursor, CursorsOf, Write};

fn durable(user: &str, name: &str, of: &str) -> CursorKey {
    CursorKey::Durable(DurableKey {
        user: user.parse().expect("a valid user"),
        name: name.parse().expect("a valid name"),
        topic: topic(of),
    })
}

fn group(name: &str, filter: &str) -> GroupKey {
    let group = name.parse().expect("a valid group");
    GroupKey { group, filter: filter.parse().expect("a valid filter") }
}

fn grouped(name: &str, filter: &str, of: &str) -> CursorKey {
    CursorKey::Group { group: group(name, filter), topic: topic(of) }
}

fn user(name: &str) -> CursorsOf {
    CursorsOf::User(name.parse().expect("a valid user"))
}

fn keys(trial: &Trial, of: &CursorsOf) -> Vec<CursorKey> {
    trial.store().cursors(of, None, 100).into_iter().map(|cursor| cursor.key).collect()
}

pub(super) fn cursors(engine: Box<dyn Engine>) {
    let mut trial = Trial::new(engine, PolicyTable::default());
    // Names that begin alike, and parts that could be taken for each other.
    let all = [
        durable("alice", "phone", "a"),
        durable("alice", "phone", "a/b"),
        durable("alice", "tablet", "a"),
        durable("alice phone", "a", "a"),
        durable("alic", "phone", "a"),
        grouped("alice", "phone", "a"),
        grouped("alice", "#", "a"),
        grouped("alice", "#", "a/b"),
        grouped("alice", "+", "a"),
    ];
    for (next, key) in (1..).zip(&all) {
        save(&trial, Write::SaveCursor { key: key.clone(), state: cursor(next) });
    }
    save(&trial, Write::SaveCursor { key: durable("gone", "phone", "a"), state: cursor(1) });
    save(&trial, Write::DeleteCursor { key: durable("gone", "phone", "a") });
    let topic_a = CursorsOf::Topic(topic("a"));
    for _ in 0..2 {
        assert_eq!(keys(&trial, &user("alice")), all[..3]);
        assert_eq!(keys(&trial, &user("bob")), []);
        assert_eq!(keys(&trial, &user("gone")), []);
        assert_eq!(keys(&trial, &CursorsOf::Group(group("alice", "#"))), all[6..8]);
        assert_eq!(keys(&trial, &CursorsOf::Group(group("alice", "a"))), []);
        let of_groups = [6, 7, 8, 5].map(|n: usize| all[n].clone());
        assert_eq!(keys(&trial, &CursorsOf::Groups), of_groups);
        let of_users = [4, 3, 0, 1, 2].map(|n: usize| all[n].clone());
        let mut of_users = of_users.to_vec();
        of_users.sort();
        assert_eq!(keys(&trial, &CursorsOf::Users), of_users);
        let rest = trial.store().cursors(&CursorsOf::Groups, Some(&of_groups[1]), 1);
        assert_eq!(rest[0].key, of_groups[2]);
        let of_a = [6, 8, 5, 4, 0, 2, 3].map(|n: usize| all[n].clone());
        assert_eq!(keys(&trial, &topic_a), of_a);
        assert_eq!(keys(&trial, &CursorsOf::Topic(topic("phone"))), []);
        let first = trial.store().cursors(&user("alice"), None, 1);
        let expected = Cursor { key: all[0].clone(), state: cursor(1), saved_at: START };
        assert_eq!(first, [expected]);
        if trial.lasting() == Lasting::Yes {
            trial.reopen();
        }
    }
    // Saved again, it is the same one.
    save(&trial, Write::SaveCursor { key: all[0].clone(), state: cursor(50) });
    assert_eq!(keys(&trial, &topic_a).len(), 7);
    assert_eq!(trial.store().cursors(&user("alice"), None, 1)[0].state, cursor(50));
}

pub(super) fn cursors_in_pages(engine: Box<dyn Engine>) {
    let trial = Trial::new(engine, PolicyTable::default());
    let mut expected: Vec<_> = (0..50).map(|n| durable(&format!("u{n:02}"), "d", "a")).collect();
    expected.extend((0..50).map(|n| durable("u99", &format!("d{n:02}"), "a")));
    for key in expected.iter().rev() {
        save(&trial, Write::SaveCursor { key: key.clone(), state: cursor(1) });
    }
    for (of, expected) in [
        (CursorsOf::Topic(topic("a")), &expected[..]),
        (CursorsOf::Users, &expected[..]),
        (user("u99"), &expected[50..]),
    ] {
        for step in [1, 7, 50, 99, 100, 101] {
            let (mut read, mut after) = (Vec::new(), None);
            loop {
                let page = trial.store().cursors(&of, after.as_ref(), step);
                assert!(page.len() <= step);
                let Some(last) = page.last() else { break };
                after = Some(last.key.clone());
                read.extend(page.into_iter().map(|cursor| cursor.key));
            }
            assert_eq!(read, expected);
        }
        assert_eq!(trial.store().cursors(&of, None, 0), []);
        // Pages go on also where the last key of the one before is gone.
        let after = &expected[10];
        save(&trial, Write::DeleteCursor { key: after.clone() });
        let page = trial.store().cursors(&of, Some(after), 1);
        assert_eq!(page.first().map(|cursor| &cursor.key), expected.get(11));
        save(&trial, Write::SaveCursor { key: after.clone(), state: cursor(1) });
    }
}

pub(super) fn sessions(engine: Box<dyn Engine>) {
    let mut trial = Trial::new(engine, PolicyTable::default());
    let of = |user: &str, id: &str| Session {
        user: user.parse().expect("a valid user"),
        ..session(id, LONG)
    };
    for (user, id) in [("bob", "s1"), ("alice", "s2"), ("alice", "s3"), ("alice", "s4")] {
        save(&trial, Write::SaveSession(of(user, id).into()));
    }
    save(&trial, Write::DeleteSession(of("alice", "s4").id));
    let list = |trial: &Trial, user: &str, limit| {
        trial.store().sessions_of(&user.parse().expect("a valid user"), limit)
    };
    for _ in 0..2 {
        assert_eq!(list(&trial, "alice", 10), [of("alice", "s2"), of("alice", "s3")]);
        assert_eq!(list(&trial, "alice", 1), [of("alice", "s2")]);
        assert_eq!(list(&trial, "bob", 10), [of("bob", "s1")]);
        assert_eq!(list(&trial, "carol", 10), []);
        if trial.lasting() == Lasting::Yes {
            trial.reopen();
        }
    }
    // An id that goes to another user is listed there alone.
    save(&trial, Write::SaveSession(of("carol", "s2").into()));
    assert_eq!(list(&trial, "alice", 10), [of("alice", "s3")]);
    assert_eq!(list(&trial, "carol", 10), [of("carol", "s2")]);
}

pub(super) fn users(engine: Box<dyn Engine>) {
    let mut trial = Trial::new(engine, PolicyTable::default());
    let id = |user: &str| user.parse::<UserId>().expect("a valid user");
    let longest = "z".repeat(ID_BYTES_MAX);
    let last = char::MAX.to_string().repeat(ID_BYTES_MAX / char::MAX.len_utf8());
    for user in ["alice", "alice phone", "both", &longest] {
        for name in ["a", "b"] {
            let key = durable(user, name, "a");
            save(&trial, Write::SaveCursor { key, state: cursor(1) });
        }
    }
    // Also with the ids that come first and last of all.
    for (n, user) in ["both", "alic", "zoe", &longest, &last].into_iter().enumerate() {
        for id in [" ", &last, "s"].map(|id| format!("{id:.30}{n}")) {
            let session =
                Session { user: user.parse().expect("a valid user"), ..session(&id, LONG) };
            save(&trial, Write::SaveSession(session.into()));
        }
    }
    save(&trial, Write::SaveCursor { key: grouped("workers", "#", "a"), state: cursor(1) });
    save(&trial, Write::SaveCursor { key: durable("gone", "a", "a"), state: cursor(1) });
    save(&trial, Write::DeleteCursor { key: durable("gone", "a", "a") });
    let all = ["alic", "alice", "alice phone", "both", "zoe", &longest, &last].map(id);
    let list = |trial: &Trial, from: Bound<&UserId>, limit| trial.store().users(from, limit);
    for _ in 0..2 {
        assert_eq!(list(&trial, Bound::Unbounded, 100), all);
        assert_eq!(list(&trial, Bound::Unbounded, 0), []);
        for (n, user) in all.iter().enumerate() {
            assert_eq!(list(&trial, Bound::Included(user), 2), all[n..all.len().min(n + 2)]);
            assert_eq!(list(&trial, Bound::Excluded(user), 100), all[n + 1..]);
        }
        // From a name that nobody has, such as what names begin with.
        assert_eq!(list(&trial, Bound::Included(&id("al")), 1), all[..1]);
        assert_eq!(list(&trial, Bound::Excluded(&id("alice ")), 1), all[2..3]);
        assert_eq!(list(&trial, Bound::Included(&id("c")), 1), all[4..5]);
        if trial.lasting() == Lasting::Yes {
            trial.reopen();
        }
    }
}
