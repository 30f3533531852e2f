//! Random joins, leaves, breaks and crashes: whoever puts together a list and what is told after
//! it must end up with the truth, however late and in whatever pieces it arrives.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use tidings_core::{
    Admission, Departure, Instant, Jitter, Member, News, Presence, PresenceSettings, Timestamp,
    Topic, limits,
};

const SEEDS: u64 = 400;
const STEPS: u64 = 400;
const GRACE: Duration = Duration::from_secs(2);

/// What one watcher believes.
#[derive(Default)]
struct Watcher {
    /// What was told and has not arrived.
    under_way: VecDeque<News>,
    believed: BTreeSet<Member>,
    must_ask: bool,
}

impl Watcher {
    fn arrives(&mut self) {
        match self.under_way.pop_front() {
            Some(News::Changes { joined, left }) => {
                self.believed.extend(joined.into_iter().map(|present| present.member));
                for present in left {
                    self.believed.remove(&present.member);
                }
            }
            Some(News::TooMany) => self.must_ask = true,
            None => {}
        }
    }

    /// There is no room for it: it is told later that it missed something.
    fn misses(&mut self) {
        if self.under_way.pop_back().is_some() {
            self.under_way.push_back(News::TooMany);
        }
    }

    fn asks(&mut self, presence: &mut Presence, topic: &Topic) {
        let list = presence.present(topic, usize::MAX);
        self.believed = list.members.into_iter().map(|present| present.member).collect();
        self.must_ask = false;
    }
}

struct World {
    presence: Presence,
    random: Jitter,
    now: Instant,
    topic: Topic,
    connections: Vec<(Member, Admission)>,
    watchers: Vec<Watcher>,
    last_told: Option<Instant>,
}

impl World {
    fn new(seed: u64) -> Self {
        Self {
            presence: presence(),
            random: Jitter::new(seed),
            now: Instant::from_ms(1_000_000),
            topic: Topic::parse("room").expect("a topic"),
            connections: Vec::new(),
            watchers: Vec::new(),
            last_told: None,
        }
    }

    fn step(&mut self) {
        match self.random.below(100) {
            0..30 => self.join(),
            30..50 => self.leave(Departure::Meant),
            50..65 => self.leave(Departure::Broken),
            65..68 => self.watch(),
            68..70 => self.unwatch(),
            70..80 => self.of_watcher(Watcher::arrives),
            80..82 => self.of_watcher(Watcher::misses),
            82..86 => self.ask(),
            86 => self.crowd(),
            87 if self.random.below(10) == 0 => self.crash(),
            _ => {
                let by = self.random.below(600);
                self.pass(Duration::from_millis(by));
            }
        }
    }

    fn join(&mut self) {
        let (user, client) = (self.random.below(8), self.random.below(2));
        let member = Member {
            user: format!("user{user}").parse().expect("a user"),
            client: format!("client{client}").parse().expect("a client"),
        };
        self.join_as(member);
    }

    fn join_as(&mut self, member: Member) {
        let wall = Timestamp::from_ms(self.now.as_ms());
        let admission = self.presence.joined(self.now, wall, &self.topic, &member);
        self.connections.push((member, admission));
    }

    /// More come at once than can be told by name.
    fn crowd(&mut self) {
        for number in 0..limits::PRESENCE_EVENT_MEMBERS_MAX as u64 + self.random.below(20) {
            self.join_as(Member {
                user: format!("crowd{number}").parse().expect("a user"),
                client: "web".parse().expect("a client"),
            });
        }
    }

    fn leave(&mut self, departure: Departure) {
        let count = self.connections.len() as u64;
        if count == 0 {
            return;
        }
        // Some of the time many go at once.
        let going = if self.random.below(20) == 0 { count / 2 } else { 1 };
        for _ in 0..going {
            let at = self.random.below(self.connections.len() as u64) as usize;
            let (member, admission) = self.connections.swap_remove(at);
            self.presence.left(self.now, &self.topic, &member, admission, departure);
        }
    }

    fn watch(&mut self) {
        self.presence.watched(&self.topic);
        let mut watcher = Watcher::default();
        watcher.asks(&mut self.presence, &self.topic);
        self.watchers.push(watcher);
    }

    fn unwatch(&mut self) {
        if self.watchers.pop().is_some() {
            self.presence.unwatched(&self.topic);
        }
    }

    fn of_watcher(&mut self, act: impl Fn(&mut Watcher)) {
        let at = self.random.below(self.watchers.len() as u64) as usize;
        if let Some(watcher) = self.watchers.get_mut(at) {
            act(watcher);
        }
    }

    fn ask(&mut self) {
        let at = self.random.below(self.watchers.len() as u64) as usize;
        if let Some(watcher) = self.watchers.get_mut(at) {
            watcher.asks(&mut self.presence, &self.topic);
        }
    }

    /// Nothing outlives the process, nor do its connections.
    fn crash(&mut self) {
        self.presence = presence();
        self.connections.clear();
        self.watchers.clear();
        self.last_told = None;
    }

    fn pass(&mut self, by: Duration) {
        let end = self.now + by;
        while let Some(at) = self.presence.next_deadline().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            for announcement in self.presence.deadline_passed(self.now, 10) {
                let since = self.last_told.map(|told| self.now.since(told));
                assert!(since.is_none_or(|since| since >= limits::PRESENCE_INTERVAL_MIN));
                self.last_told = Some(self.now);
                for watcher in &mut self.watchers {
                    watcher.under_way.push_back(announcement.news.clone());
                }
            }
        }
        self.now = end;
    }

    /// Everything arrives, everybody who must ask asks: then all must know who is there.
    fn settle(&mut self) {
        self.pass(GRACE);
        self.pass(limits::PRESENCE_INTERVAL_MAX + limits::PRESENCE_INTERVAL_MIN);
        for watcher in &mut self.watchers {
            while !watcher.under_way.is_empty() {
                watcher.arrives();
            }
            if watcher.must_ask {
                watcher.asks(&mut self.presence, &self.topic);
            }
        }
    }

    fn check(&mut self, seed: u64) {
        let mut truth = BTreeMap::<Member, usize>::new();
        for (member, admission) in &self.connections {
            assert_eq!(*admission, Admission::Listed);
            *truth.entry(member.clone()).or_default() += 1;
        }
        let truth: BTreeSet<_> = truth.into_keys().collect();
        let list = self.presence.present(&self.topic, usize::MAX);
        let listed: BTreeSet<_> = list.members.into_iter().map(|p| p.member).collect();
        assert_eq!(listed, truth, "the list, seed {seed}");
        assert_eq!(list.total, truth.len() as u64, "the total, seed {seed}");
        for watcher in &self.watchers {
            assert_eq!(watcher.believed, truth, "a watcher's view, seed {seed}");
        }
    }
}

fn presence() -> Presence {
    let most = 100_000;
    let settings =
        PresenceSettings { grace: GRACE, members_per_topic_max: most, members_max: most };
    Presence::new(settings)
}

#[test]
fn whoever_watches_ends_up_with_the_truth() {
    let mut watched = 0;
    for seed in 0..SEEDS {
        let mut world = World::new(seed);
        for step in 0..STEPS {
            world.step();
            if step % 100 == 99 {
                world.settle();
                world.check(seed);
                watched += world.watchers.len();
            }
        }
    }
    assert!(watched > SEEDS as usize, "only {watched} views were compared");
}
