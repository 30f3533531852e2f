//! The vocabulary and the decisions of Tidings.
//!
//! This crate decides and does nothing: it holds no clock, socket, task, thread, file or
//! unseeded randomness, and knows no wire format. `now` is always a parameter. The machines
//! ([`DeliveryWindow`], [`Group`], [`Connection`], [`LiveCursor`]) take *inputs* (`acked`, `tail_advanced`,
//! `deadline_passed`), give *effects* to be carried out by the caller, and say when they want to
//! be woken (`next_deadline`). An effect that can fail has an input that reports its outcome; a
//! machine never assumes success. Because of that, every promise of delivery is checked by seeded
//! simulation (crate `tidings-sim`).
//!
//! Read [`DeliveryWindow`] first: it is the heart of the product.

mod attempts;
mod audience;
mod backoff;
mod capability;
mod close;
mod connection;
mod cursor_key;
mod cursor_state;
mod delivery_window;
mod filter;
mod gap;
mod group;
mod id;
pub mod limits;
mod live_cursor;
mod message;
mod offset_set;
mod pace;
mod policy;
mod position;
mod presence;
mod priority;
mod recovery;
mod reservation;
mod schedule;
mod session;
mod time;
mod timer_wheel;
mod topic;
mod trace_context;
mod trie;

pub use attempts::{Attempt, AttemptEnd, AttemptLog, Attempts};
pub use audience::Audience;
pub use backoff::{Backoff, Jitter};
pub use capability::{Capabilities, Capability, Operation, Operations, Principal};
pub use close::{CloseCode, Comeback};
pub use connection::{Connection, ConnectionEffect, ConnectionSettings, ConnectionState};
pub use cursor_key::{CursorKey, DurableKey, GroupKey};
pub use cursor_state::CursorState;
pub use delivery_window::{
    DeliveryEffect, DeliveryPolicy, DeliveryWindow, GiveUp, SettleOutcome, Standing, Unanswered,
};
pub use filter::{Filter, FilterError};
pub use gap::gap;
pub use group::{Group, GroupEffect, MemberId, MemberStanding, TopicStanding};
pub use id::{
    ClientId, DedupKey, GroupName, IdError, MessageId, NodeId, OrderKey, SessionId,
    SubscriptionName, UserId,
};
pub use live_cursor::{LiveCursor, LiveStep};
pub use message::{ContentType, Data, DataKind, Headers, Message, NewMessage, OWN_HEADER_PREFIX};
pub use offset_set::OffsetSet;
pub use pace::Pace;
pub use policy::{Backlog, Durability, KeepsPresence, PolicyTable, Retention, TopicPolicy};
pub use position::{Epoch, EpochError, Offset, Position};
pub use presence::{
    Admission, Announcement, Departure, Member, News, Presence, PresenceCounts, PresenceSettings,
    Present, PresentList,
};
pub use priority::{Priority, PriorityQueue};
pub use recovery::{Recovery, ResetReason, TopicState, recover};
pub use schedule::{CancelError, Schedule, ScheduledMessage};
pub use session::{ConnectDecision, Session, SessionError, decide_connect, last_seen};
pub use time::{Instant, Timestamp};
pub use timer_wheel::TimerWheel;
pub use topic::{Topic, TopicError};
pub use trace_context::{
    Sampling, TRACEPARENT, TRACESTATE, TRACESTATE_BYTES_MAX, TraceId, TraceParent,
};
pub use trie::FilterTrie;
