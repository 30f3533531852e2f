//! The store of a world: a model too simple to be wrong, or the real one on a simulated disk.

mod embedded;
mod model;

use std::collections::BTreeMap;
use std::time::Duration;

use tidings_core::{CursorState, Epoch, Offset, Position, Session, Timestamp, TopicState};

use super::event::{Batch, ConnectionId, Try};
use crate::history::{Name, SessionName};
use crate::mutation::Mutation;
use crate::random::Random;
use crate::run::Layer;
use crate::sometimes::Coverage;
use embedded::Embedded;
use model::Model;

/// How long what nobody waits for may stay unsynced: the server's default.
pub(super) const SYNC_INTERVAL: Duration = Duration::from_millis(50);

/// Messages that one read returns.
const READ_MAX: usize = 3;

#[derive(Clone, Debug)]
pub(super) enum Write {
    Publish {
        name: Name,
        keyed: bool,
        ttl: Option<Duration>,
    },
    SaveCursor {
        durable: usize,
        state: CursorState,
    },
    DeadLetter {
        durable: usize,
        position: Position,
    },
    /// An operator removes a dead letter.
    Purge {
        place: Offset,
    },
    SaveSession {
        name: SessionName,
        session: Session,
    },
}

/// Whom to tell.
#[derive(Clone, Copy, Debug)]
pub(super) enum Ticket {
    Nobody,
    Publisher(Try),
    NewCursor { durable: usize },
    LastCursor { durable: usize },
    Cursor { durable: usize, connection: ConnectionId, reserved: Offset },
    DeadLetter { durable: usize, connection: ConnectionId, offset: Offset },
    Session { connection: ConnectionId, session: SessionName, expires_at: Timestamp },
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Outcome {
    Published(Position),
    Duplicate { first: Position, found: Found },
    Saved,
    Refused,
}

/// Where the first of two publishes with one key was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    SameCommit,
    SameProcess,
    EarlierProcess,
}

/// The store takes no writes: it has failed, or too much waits.
#[derive(Clone, Copy, Debug)]
pub(super) struct Refused;

/// What a step of the store made known.
#[derive(Debug, Default)]
pub(super) struct Told {
    pub(super) outcomes: Vec<(Ticket, Outcome)>,
    /// The last message that subscribers heard of before.
    pub(super) head_before: Offset,
    /// What subscribers may see from now on, and hear of.
    pub(super) appended: Vec<(Offset, Name)>,
    /// What became durable, for the history.
    pub(super) durable: Vec<Change>,
}

/// What a crash of the server's process did to the store.
#[derive(Debug)]
pub(super) struct Crashed {
    /// What became durable and was not told, or was told in the last moment.
    pub(super) told: Told,
    pub(super) power: Power,
}

/// Whether only the process ended, or the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Power {
    Stayed,
    Lost,
}

/// What was found when the store was opened.
#[derive(Debug)]
pub(super) struct Opened {
    /// Whether the power went before this, in a start that came to nothing.
    pub(super) power: Power,
    /// From where on the log must be kept.
    pub(super) kept_from: Option<Offset>,
    /// What the log and its checkpoints add up to.
    pub(super) found: Vec<Change>,
    /// What the store says is damaged.
    pub(super) damage: Vec<String>,
}

/// Why a store was not opened.
#[derive(Debug)]
pub(super) enum NotOpened {
    /// The disk is full or failed: it may work the next time.
    Temporary(Power),
    /// It says that it never will.
    ForGood(String),
}

/// How long a message is worth delivering.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Perishes {
    pub(super) published_at: Timestamp,
    pub(super) ttl: Duration,
}

/// One record of the log.
#[derive(Clone, Debug)]
pub(super) enum Change {
    Message { offset: Offset, name: Name, keyed: bool, perishes: Option<Perishes> },
    Cursor { durable: usize, state: CursorState },
    DeadLetter { place: Offset, durable: usize, position: Position },
    Purge { place: Offset },
    Session { name: SessionName, session: Session },
}

/// The contents of a log with all that belongs to it.
#[derive(Clone, Debug)]
pub(super) struct View {
    pub(super) state: TopicState,
    pub(super) messages: BTreeMap<Offset, Name>,
    pub(super) perishable: BTreeMap<Offset, Perishes>,
    pub(super) cursors: BTreeMap<usize, CursorState>,
    /// Whose message each dead letter is.
    pub(super) letters: BTreeMap<Offset, (usize, Position)>,
    pub(super) sessions: BTreeMap<SessionName, Session>,
}

impl View {
    const fn empty(epoch: Epoch) -> Self {
        Self {
            state: TopicState::empty(epoch),
            messages: BTreeMap::new(),
            perishable: BTreeMap::new(),
            cursors: BTreeMap::new(),
            letters: BTreeMap::new(),
            sessions: BTreeMap::new(),
        }
    }

    fn apply(&mut self, change: &Change) {
        match change {
            Change::Message { offset, name, keyed: _, perishes } => {
                self.state.head = *offset;
                self.messages.insert(*offset, *name);
                if let Some(perishes) = perishes {
                    self.perishable.insert(*offset, *perishes);
                }
            }
            Change::Cursor { durable, state } => {
                self.cursors.insert(*durable, state.clone());
            }
            Change::DeadLetter { place, durable, position } => {
                self.letters.insert(*place, (*durable, *position));
            }
            Change::Purge { place } => {
                self.letters.remove(place);
            }
            Change::Session { name, session } => {
                self.sessions.insert(*name, session.clone());
            }
        }
    }

    /// The place of the last dead letter.
    fn letters_head(&self) -> Offset {
        self.letters.last_key_value().map_or(Offset::ORIGIN, |(place, _)| *place)
    }

    fn trim(&mut self, first: Offset) {
        self.state.first = self.state.first.max(first);
        self.messages = self.messages.split_off(&first);
    }
}

/// Which store a world has.
#[derive(Debug)]
pub(super) enum Store {
    Model(Box<Model>),
    Embedded(Box<Embedded>),
}

macro_rules! either {
    ($store:expr, $either:ident => $do:expr) => {
        match $store {
            Self::Model($either) => $do,
            Self::Embedded($either) => $do,
        }
    };
}

impl Store {
    pub(super) fn new(layer: Layer, mutation: Option<Mutation>, epoch: Epoch) -> Self {
        match layer {
            Layer::Window | Layer::Group | Layer::World => {
                Self::Model(Box::new(Model::new(mutation, epoch)))
            }
            Layer::Disk => Self::Embedded(Box::new(Embedded::new(mutation, epoch))),
        }
    }

    /// What readers see.
    pub(super) const fn told(&self) -> &View {
        either!(self, store => store.told())
    }

    pub(super) fn is_poisoned(&self) -> bool {
        either!(self, store => store.is_poisoned())
    }

    /// Whether something is written that is not synced, and whether something is synced that is
    /// not told.
    pub(super) fn unsynced_and_untold(&self) -> (bool, bool) {
        either!(self, store => store.unsynced_and_untold())
    }

    pub(super) fn letter_waits(&self) -> bool {
        either!(self, store => store.letter_waits())
    }

    pub(super) fn fail_next_sync(&mut self) {
        either!(self, store => store.fail_next_sync());
    }

    pub(super) fn fill(&mut self) {
        either!(self, store => store.fill());
    }

    pub(super) const fn is_full(&self) -> bool {
        either!(self, store => store.is_full())
    }

    /// There is space again.
    pub(super) fn free_space(&mut self) {
        either!(self, store => store.free_space());
    }

    pub(super) fn heal(&mut self) {
        either!(self, store => store.heal());
    }

    pub(super) fn submit(&mut self, write: Write, ticket: Ticket) -> Result<(), Refused> {
        either!(self, store => store.submit(write, ticket))
    }

    /// Begins a commit of what waits, if there is any and none is under way.
    pub(super) fn begin(&mut self, wall: Timestamp) -> bool {
        either!(self, store => store.begin(wall))
    }

    /// The commit under way gets one phase further.
    pub(super) fn step(&mut self, wall: Timestamp) -> Told {
        match self {
            Self::Model(store) => {
                let head_before = store.told().state.head;
                Told { head_before, ..store.step() }
            }
            Self::Embedded(store) => store.step(wall),
        }
    }

    /// Reads from `from` on, as far as readers see.
    pub(super) fn read(&self, from: Offset) -> Batch {
        either!(self, store => store.read(from))
    }

    /// Retention does its work, which for a model is to remove the first `count`; returns the
    /// first offset kept, if that is another than before.
    pub(super) fn retain(&mut self, count: u64, wall: Timestamp) -> Option<Offset> {
        match self {
            Self::Model(store) => store.retain(count),
            Self::Embedded(store) => store.retain(wall),
        }
    }

    /// What became durable meanwhile, for the history.
    pub(super) fn changed(&mut self) -> Vec<Change> {
        match self {
            Self::Model(_) => Vec::new(),
            Self::Embedded(store) => store.changed(),
        }
    }

    /// After how long what nobody waits for is to be synced, if there is any that is not yet.
    pub(super) fn sync_wanted(&mut self) -> Option<Duration> {
        match self {
            // Everything is synced before it is told.
            Self::Model(_) => None,
            Self::Embedded(store) => store.sync_wanted(),
        }
    }

    pub(super) fn sync(&mut self) {
        match self {
            Self::Model(_) => {}
            Self::Embedded(store) => store.sync(),
        }
    }

    /// The process ends.
    pub(super) fn crash(&mut self, random: &mut Random) -> Crashed {
        match self {
            Self::Model(store) => {
                let durable = store.crash(random);
                Crashed { told: Told { durable, ..Told::default() }, power: Power::Stayed }
            }
            Self::Embedded(store) => store.crash(),
        }
    }

    /// The disk is lost; a new log takes its place.
    pub(super) fn lose(&mut self, epoch: Epoch) {
        either!(self, store => store.lose(epoch));
    }

    /// The next process begins.
    pub(super) fn open(&mut self, wall: Timestamp) -> Result<Opened, NotOpened> {
        match self {
            Self::Model(_) => Ok(Opened {
                power: Power::Stayed,
                kept_from: None,
                found: Vec::new(),
                damage: Vec::new(),
            }),
            Self::Embedded(store) => store.open(wall),
        }
    }

    /// Adds what the store itself has met.
    pub(super) fn add_coverage(&self, coverage: &mut Coverage) {
        match self {
            Self::Model(_) => {}
            Self::Embedded(store) => coverage.add(store.coverage()),
        }
    }
}
