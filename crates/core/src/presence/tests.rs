//! Bounds of presence, and what is left of those who left.

use super::*;
use crate::limits::{PRESENCE_EVENT_MEMBERS_MAX, PRESENCE_INTERVAL_MAX};

const SETTINGS: PresenceSettings = PresenceSettings {
    grace: Duration::from_secs(5),
    members_per_topic_max: 2_000,
    members_max: 3_000,
};

fn topic(name: &str) -> Topic {
    Topic::parse(name).unwrap()
}

fn member(number: usize) -> Member {
    Member {
        user: UserId::parse(&format!("user{number:05}")).unwrap(),
        client: ClientId::parse("phone").unwrap(),
    }
}

/// A machine and its time, which passes in steps of a millisecond.
struct Rig {
    presence: Presence,
    now: Instant,
    room: Topic,
}

impl Rig {
    fn new(settings: PresenceSettings) -> Self {
        Self {
            presence: Presence::new(settings),
            now: Instant::from_ms(1_000_000),
            room: topic("room"),
        }
    }

    fn join(&mut self, number: usize) -> Admission {
        let wall = Timestamp::from_ms(self.now.as_ms());
        self.presence.joined(self.now, wall, &self.room, &member(number))
    }

    fn leave(&mut self, number: usize, admission: Admission, departure: Departure) {
        self.presence.left(self.now, &self.room, &member(number), admission, departure);
    }

    /// Lets time pass and gathers what is announced.
    fn pass(&mut self, by: Duration) -> Vec<Announcement> {
        let end = self.now + by;
        let mut announced = Vec::new();
        while let Some(at) = self.presence.next_deadline().filter(|at| *at <= end) {
            self.now = at.max(self.now);
            announced.extend(self.presence.deadline_passed(self.now, 1000));
        }
        self.now = end;
        announced
    }
}

#[test]
fn a_crowd_that_joins_and_leaves_is_told_in_few_announcements_of_bounded_size() {
    for watchers in [1, 100, 10_000, 1_000_000] {
        let roomy =
            PresenceSettings { members_per_topic_max: 10_000, members_max: 10_000, ..SETTINGS };
        let mut rig = Rig::new(roomy);
        for _ in 0..watchers {
            rig.presence.watched(&topic("room"));
        }
        let (mut announced, mut names) = (0, 0);
        for second in 0..100 {
            for number in 0..100 {
                rig.join(second * 100 + number % 50);
                if number >= 50 {
                    rig.leave(second * 100 + number % 50, Admission::Listed, Departure::Meant);
                }
                for announcement in rig.pass(Duration::from_millis(10)) {
                    announced += 1;
                    if let News::Changes { joined, left } = announcement.news {
                        assert!(joined.len() + left.len() <= PRESENCE_EVENT_MEMBERS_MAX);
                        names += (joined.len() + left.len()) as u64;
                    }
                }
            }
        }
        assert!(announced <= 500, "{announced} in 100 s, for {watchers}");
        let bytes = names * watchers;
        let allowed = crate::limits::PRESENCE_NAMES_PER_SECOND_MAX * 100;
        assert!(bytes <= allowed * 11 / 10, "{bytes} names sent, for {watchers}");
    }
}

#[test]
fn too_many_changes_are_told_without_names_and_then_it_is_quiet() {
    let mut rig = Rig::new(SETTINGS);
    for _ in 0..10_000 {
        rig.presence.watched(&topic("room"));
    }
    for number in 0..1000 {
        rig.join(number);
    }
    let announced = rig.pass(Duration::from_millis(200));
    assert_eq!(announced.len(), 1);
    assert_eq!(announced[0].news, News::TooMany);
    rig.join(1000);
    let almost = PRESENCE_INTERVAL_MAX - Duration::from_millis(1);
    assert_eq!(rig.pass(almost), []);
    assert_eq!(rig.pass(Duration::from_millis(1)).len(), 1);
}

#[test]
fn who_finds_no_room_is_counted_and_leaves_as_they_came() {
    let mut rig =
        Rig::new(PresenceSettings { members_per_topic_max: 2, members_max: 3, ..SETTINGS });
    let room = topic("room");
    assert_eq!([rig.join(1), rig.join(2)], [Admission::Listed; 2]);
    assert_eq!([rig.join(3), rig.join(3)], [Admission::Unlisted; 2]);
    // A second connection of a listed member needs no room.
    assert_eq!(rig.join(2), Admission::Listed);
    let list = rig.presence.present(&room, 1000);
    assert_eq!((list.members.len(), list.total), (2, 4));
    rig.leave(1, Admission::Listed, Departure::Meant);
    // Now there is room; the connections that were there before stay uncounted as members.
    assert_eq!(rig.join(3), Admission::Listed);
    rig.leave(3, Admission::Unlisted, Departure::Meant);
    rig.leave(3, Admission::Unlisted, Departure::Broken);
    let list = rig.presence.present(&room, 1000);
    assert_eq!(
        list.members.iter().map(|p| &p.member).collect::<Vec<_>>(),
        [&member(2), &member(3)]
    );
    assert_eq!(list.total, 2);
    // All topics together have a bound too.
    rig.room = topic("hall");
    assert_eq!([rig.join(1), rig.join(2)], [Admission::Listed, Admission::Unlisted]);
    let counts = rig.presence.counts();
    assert_eq!((counts.listed, counts.unlisted), (3, 1));
}

#[test]
fn nothing_is_left_of_a_topic_that_everybody_left() {
    let mut rig = Rig::new(SETTINGS);
    let room = topic("room");
    rig.presence.watched(&room);
    for number in 0..100 {
        rig.join(number);
    }
    for number in 0..100 {
        rig.leave(number, Admission::Listed, Departure::Broken);
    }
    rig.pass(Duration::from_secs(20));
    rig.presence.unwatched(&room);
    assert!(rig.presence.rolls.is_empty());
    assert!(rig.presence.deadlines.is_empty());
    assert_eq!((rig.presence.counts().listed, rig.presence.counts().unlisted), (0, 0));
}

#[test]
fn a_list_of_a_topic_without_anybody_is_empty_and_costs_nothing() {
    let mut rig = Rig::new(SETTINGS);
    let list = rig.presence.present(&topic("room"), 10);
    assert_eq!(list, PresentList { members: vec![], total: 0 });
    assert!(rig.presence.rolls.is_empty());
}

#[test]
fn many_who_do_not_come_back_are_struck_off_in_pieces() {
    let many = PRESENCE_EXPIRIES_AT_ONCE_MAX + 1;
    let mut rig =
        Rig::new(PresenceSettings { members_per_topic_max: many, members_max: many, ..SETTINGS });
    for number in 0..many {
        rig.join(number);
        rig.leave(number, Admission::Listed, Departure::Broken);
    }
    let due = rig.now + SETTINGS.grace;
    assert_eq!(rig.presence.next_deadline(), Some(due));
    rig.presence.deadline_passed(due, 1000);
    assert_eq!(rig.presence.counts().listed, 1);
    assert_eq!(rig.presence.next_deadline(), Some(due), "the rest is due at once");
    rig.presence.deadline_passed(due, 1000);
    assert_eq!(rig.presence.counts().listed, 0);
    assert_eq!(rig.presence.next_deadline(), None);
}

#[test]
fn who_is_told_not_to_come_back_is_gone_at_once() {
    let meant: Vec<_> = CloseCode::ALL
        .into_iter()
        .filter(|code| Departure::closed_with(*code) == Departure::Meant)
        .collect();
    assert_eq!(
        meant,
        [CloseCode::Normal, CloseCode::Unauthenticated, CloseCode::BadFrame, CloseCode::Forbidden]
    );
}
