//! Members of groups: what a connection does for the shared subscriptions it takes part in. What is
//! delivered to whom is decided by the group, on the shard that owns it.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tidings_core::{
    Departure, Durability, GroupKey, Instant, MemberId, Message, Offset, Topic, UserId,
};
use tidings_protocol::{
    ErrorBody, ErrorCode, RequestId, ServerBody, StartFrom, Subscribed, SubscribedPlace,
};

use super::groups::owner_of;
use super::subscription::{Kind, Subscription};
use super::{ConnectionKey, Shard};
use crate::directory::Place;
use crate::group_letter::{Answer, GroupLetter, GroupWord, Joining, MemberLetter, MemberWord};
use crate::inbox::Letter;
use crate::presence::Watch;
use crate::problem::RETRY_SOON;

/// How long deliveries wait for room in a connection before others get them.
const GIVE_BACK_AFTER: Duration = Duration::from_secs(2);

/// Deliveries that a member is remembered to have, in windows. Those it never answered went to
/// others long ago; forgetting them means that an ack which is that late does not count.
const WINDOWS_REMEMBERED: usize = 4;

/// Requests for more time that may be on their way to the group.
const EXTENSIONS_MAX: u32 = 1024;

/// A shared subscription of a connection.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) key: GroupKey,
    pub(super) member: MemberId,
    window: u32,
    /// Whether it is told who joins and leaves the topic.
    watch: Watch,
    stage: Stage,
    /// What it was sent and has not answered, by when it was sent.
    in_hand: BTreeMap<(Topic, Offset), u64>,
    sent: u64,
    /// Deliveries without room in the connection.
    unsent: VecDeque<(Arc<Message>, u32)>,
    unsent_bytes: usize,
    flow: Flow,
    extensions: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// The group has not answered; the client waits for this request.
    Joining(RequestId),
    Member,
}

/// Whether the connection keeps up with what the group sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flow {
    Flowing,
    /// It has had no room since then.
    Stuck(Instant),
    /// It gave back what it could not take, and gets nothing.
    Paused,
}

impl Shared {
    /// Whether the client was told that it begins.
    pub(super) const fn has_begun(&self) -> bool {
        matches!(self.stage, Stage::Member)
    }

    /// When what the connection has no room for goes to others.
    pub(super) fn gives_back_at(&self) -> Option<Instant> {
        match self.flow {
            Flow::Stuck(since) => Some(since + GIVE_BACK_AFTER),
            Flow::Flowing | Flow::Paused => None,
        }
    }

    fn took(&mut self, message: &Message) {
        self.sent += 1;
        self.in_hand.insert((message.topic().clone(), message.offset), self.sent);
        if self.in_hand.len() > self.window as usize * WINDOWS_REMEMBERED {
            let oldest = self.in_hand.iter().min_by_key(|(_, sent)| **sent);
            if let Some(oldest) = oldest.map(|(which, _)| which.clone()) {
                self.in_hand.remove(&oldest);
            }
        }
    }

    fn take_unsent(&mut self) -> Vec<(Topic, Offset)> {
        self.unsent_bytes = 0;
        let unsent = std::mem::take(&mut self.unsent);
        unsent.into_iter().map(|(m, _)| (m.topic().clone(), m.offset)).collect()
    }
}

/// The shared subscription of a connection as `member`.
fn member_of(shard: &mut Shard, key: ConnectionKey, member: MemberId) -> Option<&mut Shared> {
    let active = shard.connection(key)?.active()?;
    active.subscriptions.iter_mut().find_map(|s| match &mut s.kind {
        Kind::Shared(shared) if shared.member == member => Some(&mut **shared),
        Kind::Shared(_)
        | Kind::Durable(_)
        | Kind::Live { .. }
        | Kind::LiveFilter(_)
        | Kind::Waiting(_) => None,
    })
}

impl Shard {
    /// Asks the owner of a group to take this connection in.
    pub(super) fn join_group(
        &mut self,
        slot: u32,
        id: RequestId,
        key: GroupKey,
        window: u32,
        (from, watch): (StartFrom, Watch),
    ) {
        if let Err(error) = self.check_join(&key, from) {
            return self.send_error(slot, Some(id), error);
        }
        let lane = self.inbox.lane();
        let Some(connection) = self.key(slot) else { return };
        let Some(active) = self.connections.get_mut(slot as usize).and_then(|c| c.active()) else {
            return;
        };
        let (user, client): (UserId, _) =
            (active.principal.user.clone(), active.session.client.clone());
        self.members_made += 1;
        // Unlike every member that any shard makes while this process runs.
        let member = MemberId::new(u64::from(lane) << 48 | self.members_made);
        let shared = Shared {
            key: key.clone(),
            member,
            window,
            watch,
            stage: Stage::Joining(id),
            in_hand: BTreeMap::new(),
            sent: 0,
            unsent: VecDeque::new(),
            unsent_bytes: 0,
            flow: Flow::Flowing,
            extensions: 0,
        };
        self.add(slot, key.filter.clone(), Kind::Shared(Box::new(shared)));
        let joining = Joining { place: Place { lane, connection }, user, client, window, from };
        self.write_to_group(key, member, GroupWord::Join(joining));
    }

    fn check_join(&self, key: &GroupKey, from: StartFrom) -> Result<(), ErrorBody> {
        let filter = &key.filter;
        match (filter.as_topic(), from) {
            (Some(topic), _) => match self.env.policies.policy(&topic).durability {
                Durability::Sync | Durability::Async => Ok(()),
                Durability::Memory => {
                    let message = format!(
                        "`{topic}` keeps nothing (`durability = \"memory\"`), so nothing can be \
                         delivered again: subscribe to it live"
                    );
                    Err(ErrorBody::new(ErrorCode::Unsupported, message))
                }
            },
            (None, StartFrom::First | StartFrom::New) => Ok(()),
            (None, StartFrom::Last | StartFrom::After(_)) => {
                let message = format!(
                    "`{filter}` has wildcards: a group starts there with `\"from\":\"first\"` or \
                     `\"from\":\"new\"`"
                );
                Err(ErrorBody::new(ErrorCode::Unsupported, message))
            }
        }
    }

    pub(super) fn write_to_group(&self, key: GroupKey, member: MemberId, word: GroupWord) {
        let owner = owner_of(&key, self.env.inboxes.len());
        let letter = GroupLetter { key, member, word };
        self.env.inboxes[owner].post(Letter::ToGroup(Box::new(letter)));
    }

    /// The connection takes part no more.
    pub(super) fn leave_group(&mut self, slot: u32, mut shared: Shared, departure: Departure) {
        match (shared.stage, shared.key.filter.as_topic()) {
            (Stage::Joining(id), _) => {
                let message = "the subscription ended before it began";
                let error = ErrorBody::new(ErrorCode::NotSubscribed, message);
                self.send_error(slot, Some(id), error);
            }
            (Stage::Member, Some(topic)) => self.depart(slot, &topic, departure),
            (Stage::Member, None) => {}
        }
        let unsent = shared.take_unsent();
        self.write_to_group(shared.key, shared.member, GroupWord::Leave { unsent, departure });
    }

    pub(super) fn tell_member(&mut self, letter: MemberLetter) {
        let MemberLetter { connection, member, word } = letter;
        // Whoever left in the meantime has told the group, which gives everything to others.
        if member_of(self, connection, member).is_none() {
            return;
        }
        match word {
            MemberWord::Joined { place, pending } => {
                self.joined(connection, member, place, pending);
            }
            MemberWord::Refused(error) => self.join_refused(connection, member, error),
            MemberWord::Deliver { message, attempt } => {
                self.deliver_to_member(connection, member, message, attempt);
            }
            MemberWord::Settled { id, count, of } => {
                if of == Answer::Extend
                    && let Some(shared) = member_of(self, connection, member)
                {
                    shared.extensions = shared.extensions.saturating_sub(1);
                }
                if id.is_some() {
                    self.send(connection.slot, id, ServerBody::Settled { count });
                }
            }
            MemberWord::Reset { topic, reason, first } => {
                let Some(shared) = member_of(self, connection, member) else { return };
                let sub = shared.key.filter.clone();
                self.send_reset(connection.slot, &sub, &topic, reason, first);
            }
        }
    }

    fn joined(
        &mut self,
        connection: ConnectionKey,
        member: MemberId,
        place: Option<SubscribedPlace>,
        pending: u64,
    ) {
        let Some(shared) = member_of(self, connection, member) else { return };
        let Stage::Joining(id) = std::mem::replace(&mut shared.stage, Stage::Member) else {
            return;
        };
        let (sub, watch) = (shared.key.filter.clone(), shared.watch);
        let topic = sub.as_topic();
        let pending = place.is_none().then_some(pending);
        let subscribed = Subscribed { sub, place, pending, durable: None };
        self.send(connection.slot, Some(id), ServerBody::Subscribed(subscribed));
        if let Some(topic) = topic {
            self.attend(connection.slot, &topic, watch);
        }
    }

    fn join_refused(&mut self, connection: ConnectionKey, member: MemberId, error: ErrorBody) {
        let Some(active) = self.connection(connection).and_then(|c| c.active()) else { return };
        let is_it = |s: &Subscription| match &s.kind {
            Kind::Shared(shared) => shared.member == member,
            Kind::Durable(_) | Kind::Live { .. } | Kind::LiveFilter(_) | Kind::Waiting(_) => false,
        };
        let Some(at) = active.subscriptions.iter().position(is_it) else { return };
        let Kind::Shared(shared) = active.subscriptions.swap_remove(at).kind else { return };
        self.env.metrics.subscriptions.dec();
        if let Stage::Joining(id) = shared.stage {
            self.send_error(connection.slot, Some(id), error);
        }
    }

    fn deliver_to_member(
        &mut self,
        key: ConnectionKey,
        member: MemberId,
        message: Arc<Message>,
        attempt: u32,
    ) {
        let (now, outbound_bytes) = (self.now, self.env.settings.outbound_bytes);
        let priority = self.priority(message.topic());
        let Some(connection) = self.connection(key) else { return };
        let has_room = connection.has_room_for(priority, outbound_bytes);
        connection.starved |= !has_room;
        let Some(shared) = member_of(self, key, member) else { return };
        if shared.flow == Flow::Paused {
            // It was on its way when the member gave everything back.
            let unsent = vec![(message.topic().clone(), message.offset)];
            let group = shared.key.clone();
            return self.write_to_group(group, member, GroupWord::Pause { unsent });
        }
        if !has_room || !shared.unsent.is_empty() {
            shared.unsent_bytes += message.content.data.bytes().len();
            shared.unsent.push_back((message, attempt));
            if shared.flow == Flow::Flowing {
                shared.flow = Flow::Stuck(now);
            }
            if shared.unsent_bytes > outbound_bytes {
                self.give_back(key, member);
            }
            return self.arm(key.slot);
        }
        self.push_to_member(key, member, &message, attempt);
    }

    fn push_to_member(
        &mut self,
        key: ConnectionKey,
        member: MemberId,
        message: &Message,
        attempt: u32,
    ) {
        let priority = self.priority(message.topic());
        let Some(shared) = member_of(self, key, member) else { return };
        shared.took(message);
        let sub = shared.key.filter.clone();
        let Some(connection) = self.connections.get_mut(key.slot as usize) else { return };
        connection.push_to_member(message, attempt, &sub, priority);
        connection.queue_flush(key.slot, &mut self.unflushed);
        self.env.metrics.deliveries.inc();
        if attempt > 1 {
            self.env.metrics.redeliveries.inc();
        }
    }

    /// The connection has room again: what waited is sent, and the group told if it had to pause.
    pub(super) fn send_unsent(&mut self, slot: u32, member: MemberId) {
        let outbound_bytes = self.env.settings.outbound_bytes;
        let Some(key) = self.key(slot) else { return };
        loop {
            let Some(connection) = self.connection(key) else { return };
            let has_room = connection.has_room(outbound_bytes);
            let Some(shared) = member_of(self, key, member) else { return };
            if !has_room {
                break;
            }
            let Some((message, attempt)) = shared.unsent.pop_front() else { break };
            shared.unsent_bytes -= message.content.data.bytes().len();
            self.push_to_member(key, member, &message, attempt);
        }
        let Some(connection) = self.connection(key) else { return };
        let has_room = connection.has_room(outbound_bytes);
        connection.starved |= !has_room;
        let now = self.now;
        let Some(shared) = member_of(self, key, member) else { return };
        if !shared.unsent.is_empty() {
            // It takes something: it is slow, and not stuck.
            shared.flow = Flow::Stuck(now);
            return self.arm(slot);
        }
        let flow = std::mem::replace(&mut shared.flow, Flow::Flowing);
        if flow == Flow::Paused {
            let group = shared.key.clone();
            self.write_to_group(group, member, GroupWord::Resume);
        }
    }

    /// Gives back what this connection has had no room for since long.
    pub(super) fn give_back_late(&mut self, key: ConnectionKey) {
        let now = self.now;
        let Some(active) = self.connection(key).and_then(|c| c.active()) else { return };
        let late = active.subscriptions.iter().filter_map(|s| match &s.kind {
            Kind::Shared(shared) if shared.gives_back_at().is_some_and(|at| at <= now) => {
                Some(shared.member)
            }
            Kind::Shared(_)
            | Kind::Durable(_)
            | Kind::Live { .. }
            | Kind::LiveFilter(_)
            | Kind::Waiting(_) => None,
        });
        for member in late.collect::<Vec<_>>() {
            self.give_back(key, member);
        }
    }

    fn give_back(&mut self, key: ConnectionKey, member: MemberId) {
        let Some(shared) = member_of(self, key, member) else { return };
        shared.flow = Flow::Paused;
        let (unsent, group) = (shared.take_unsent(), shared.key.clone());
        tracing::info!(%group.group, %group.filter, messages = unsent.len(),
            "a member has no room: others get its messages");
        self.env.metrics.given_back.inc_by(unsent.len() as u64);
        self.write_to_group(group, member, GroupWord::Pause { unsent });
    }

    /// Passes the part of an answer on that speaks of what the member has. The rest is stale.
    pub(super) fn answer_as_member(
        &mut self,
        slot: u32,
        member: MemberId,
        id: Option<RequestId>,
        word: GroupWord,
    ) {
        let Some(key) = self.key(slot) else { return };
        let Some(shared) = member_of(self, key, member) else { return };
        let word = match word {
            GroupWord::Ack { topic, offsets, id } => {
                let mut has = |offset: &Offset| shared.in_hand.remove(&(topic.clone(), *offset));
                let offsets: Vec<_> = offsets.into_iter().filter(|o| has(o).is_some()).collect();
                (!offsets.is_empty()).then_some(GroupWord::Ack { topic, offsets, id })
            }
            GroupWord::Nack { topic, offset, delay, reason, dead, id } => {
                let has = shared.in_hand.contains_key(&(topic.clone(), offset));
                has.then(|| {
                    shared.in_hand.remove(&(topic.clone(), offset));
                    GroupWord::Nack { topic, offset, delay, reason, dead, id }
                })
            }
            GroupWord::Extend { topic, offset, by, id } => {
                if shared.extensions >= EXTENSIONS_MAX {
                    let message = format!(
                        "{EXTENSIONS_MAX} requests for more time are on their way: wait for some"
                    );
                    let mut error = ErrorBody::new(ErrorCode::LimitReached, message);
                    error.retry_after = Some(RETRY_SOON);
                    return self.send_error(slot, id, error);
                }
                let has = shared.in_hand.contains_key(&(topic.clone(), offset));
                shared.extensions += u32::from(has);
                has.then_some(GroupWord::Extend { topic, offset, by, id })
            }
            other @ (GroupWord::Join(_)
            | GroupWord::Leave { .. }
            | GroupWord::Pause { .. }
            | GroupWord::Resume) => Some(other),
        };
        match word {
            Some(word) => {
                let group = shared.key.clone();
                self.write_to_group(group, member, word);
            }
            None if id.is_some() => self.send(slot, id, ServerBody::Settled { count: 0 }),
            None => {}
        }
    }

    /// Which member of which group a connection is by its subscription `sub`.
    pub(super) fn member_by(&mut self, slot: u32, sub: &tidings_core::Filter) -> Option<MemberId> {
        let active = self.connections.get_mut(slot as usize)?.active()?;
        match &active.subscription(sub)?.kind {
            Kind::Shared(shared) => Some(shared.member),
            Kind::Durable(_) | Kind::Live { .. } | Kind::LiveFilter(_) | Kind::Waiting(_) => None,
        }
    }
}
